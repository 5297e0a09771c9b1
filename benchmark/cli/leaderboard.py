"""`eidolon leaderboard`: the scores of several runs side by side."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eidolon.benchmark.cli.common import make_console, print_written, with_examples

if TYPE_CHECKING:
    from eidolon.benchmark.report.board.hub import Benchmark

EXPORT = "Export"


def _export(about: str, metavar: str = "FILE") -> Any:
    return typer.Option(metavar=metavar, help=about, rich_help_panel=EXPORT)


@with_examples(
    "eidolon leaderboard results/runs/demo results/runs/mine",
    "eidolon leaderboard results/runs --html board.html --latex table.tex",
)
def leaderboard(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Run folders, or folders of them.")],
    out: Annotated[Path | None, typer.Option(help="Also write the leaderboard to this JSON file.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON in place of a table.")] = False,
    html: Annotated[
        Path | None, _export("Write a page with tables to sort and filter, which links to the runs' reports.")
    ] = None,
    links: Annotated[
        bool,
        typer.Option(
            "--links/--no-links",
            help="For --html: link each row to its report, or not, for a page without the run folders.",
            rich_help_panel=EXPORT,
        ),
    ] = True,
    csv: Annotated[Path | None, _export("Write every number with its interval as CSV.")] = None,
    markdown: Annotated[Path | None, _export("Write the tables as Markdown.")] = None,
    latex: Annotated[Path | None, _export("Write the tables as LaTeX, for booktabs.")] = None,
    hub: Annotated[
        Path | None,
        _export(
            "Write the headline of each run as an evaluation result of the Hugging Face Hub, "
            "DIR/MODEL/.eval_results/RUN.yaml.",
            "DIR",
        ),
    ] = None,
    hub_dataset: Annotated[
        str | None, _export("For --hub: the dataset that is the benchmark.", "ORG/NAME")
    ] = None,
    hub_task: Annotated[
        str | None, _export("For --hub: the task in the dataset's eval.yaml. Default: default.", "ID")
    ] = None,
) -> None:
    """Collect the scores of runs into a leaderboard, and say which of them may not be compared."""

    from eidolon.benchmark.report import leaderboard as boards
    from eidolon.benchmark.report.board.export import write_files
    from eidolon.benchmark.report.finished_runs import find_runs

    files = {"--html": html, "--csv": csv, "--markdown": markdown, "--latex": latex}
    _check_places({"--out": out, **files})
    benchmark = _benchmark(hub, hub_dataset, hub_task)
    base = out.parent if out is not None else Path()
    board = boards.collect(find_runs(folders), relative_to=base)
    if out is not None:
        boards.write(board, out)
    written = write_files(board, base if links else None, files)
    left_out: list[str] = []
    if hub is not None and benchmark is not None:
        from eidolon.benchmark.report.board.hub import write_results

        results, left_out = write_results(board, hub, benchmark)
        written += results
    if json:
        typer.echo(board.to_json(), nl=False)
    else:
        console = make_console()
        boards.show(board, console)
        print_written(console, *written)
    for line in left_out:
        typer.echo(f"warning: --hub: no file for {line}", err=True)


def _check_places(files: Mapping[str, Path | None]) -> None:
    """Refuse a file in a run folder.

    Raises:
        UserError: it could replace a file of the run.
    """
    from eidolon.benchmark.store.files import RUN
    from eidolon.scorers.core.errors import UserError

    for flag, path in files.items():
        if path is not None and os.path.isfile(path.parent / RUN):
            raise UserError(
                f"{flag} {path}: lies in a run folder, whose files it could replace; give another place"
            )


def _benchmark(hub: Path | None, dataset: str | None, task: str | None) -> "Benchmark | None":
    """Return the benchmark of `--hub`.

    Raises:
        UserError: an option is missing or no name of the Hub, or the folder is a run.
    """
    from eidolon.benchmark.report.board.hub import DEFAULT_TASK, Benchmark
    from eidolon.benchmark.store.files import RUN
    from eidolon.scorers.core.errors import UserError

    if hub is None:
        if dataset is not None or task is not None:
            raise UserError("--hub-dataset and --hub-task: need --hub DIR, the folder to write to")
        return None
    if os.path.isfile(hub / RUN):
        raise UserError(f"--hub {hub}: is a run folder, whose files are its own; give another place")
    if dataset is None:
        raise UserError(f"--hub {hub}: name the benchmark with --hub-dataset ORG/NAME")
    return Benchmark(dataset, task or DEFAULT_TASK)
