"""`eidolon export`: runs as tables for other programs."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from eidolon.benchmark.cli.common import make_console, print_written, with_examples


@with_examples(
    "eidolon export results/runs/demo --to parquet --out tables",
)
def export(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN…", help="Run folders, or folders of them.")],
    out: Annotated[Path, typer.Option(help="Folder for the tables.")],
    to: Annotated[Literal["parquet"], typer.Option(help="Format of the tables.")] = "parquet",
) -> None:
    """Write the samples, responses, mentions and scores of runs as tables.

    DuckDB, pandas and datasets read them.
    """
    from eidolon.benchmark.report.export.parquet import write_tables
    from eidolon.benchmark.report.finished_runs import find_runs
    from eidolon.benchmark.store.files import RUN
    from eidolon.benchmark.store.loaded import LoadedRun
    from eidolon.benchmark.terminal.progress import busy
    from eidolon.scorers.core.errors import UserError

    if (out / RUN).is_file() or (out.exists() and not out.is_dir()):
        raise UserError(f"--out {out}: is a run folder or a file; give a folder of its own")
    found = [LoadedRun(path) for path in find_runs(runs)]
    try:
        with busy(f"writing the tables of {len(found)} runs"):
            written = write_tables(found, out)
    except OSError as error:
        raise UserError(f"--out {out}: cannot be written ({error.strerror})") from error
    for path, count in written.items():
        typer.echo(f"{path.stem}: {count} rows")
    print_written(make_console(), *written)
