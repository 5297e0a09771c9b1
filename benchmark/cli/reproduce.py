"""`eidolon reproduce`: published numbers from their raw responses."""

from pathlib import Path
from typing import Annotated

import typer

from eidolon.benchmark.cli.common import make_console, print_written, with_examples


@with_examples(
    "eidolon reproduce --list",
    "eidolon reproduce published --out reproduced.md",
)
def reproduce(
    folder: Annotated[
        Path | None, typer.Argument(metavar="FOLDER", help="Folder with published result files.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the table as a Markdown page.")] = None,
    sources: Annotated[
        bool, typer.Option("--list", help="List the sources: where their files are, and their licences.")
    ] = False,
) -> None:
    """Score published result files again, and say which give their printed values.

    The files are those of CHAIR programs, with printed values inside. None ships with Eidolon.
    """
    from eidolon.benchmark.store.atomic import write_atomically
    from eidolon.benchmark.terminal.safe_text import one_line
    from eidolon.benchmark.verify.published.reproduction import reproduce as score_again
    from eidolon.benchmark.verify.published.reproduction import to_markdown
    from eidolon.benchmark.verify.published.sources import SOURCES
    from eidolon.scorers.core.errors import UserError

    if sources:
        for source in SOURCES:
            typer.echo(f"{source.name}: {source.where} (licence: {source.licence}; reading={source.reading})")
        return
    if folder is None:
        raise UserError("reproduce: give a folder with published files, or --list to see where they are")
    found = score_again(folder)
    for one in found:
        s, i = one.here
        typer.echo(
            f"{one_line(one.file)}: {100 * s:.1f} / {100 * i:.2f} reading={one.reading}: {one.verdict}"
        )
    typer.echo(f"{sum(one.equal for one in found)} of {len(found)} files equal")
    if out is not None:
        try:
            write_atomically(out, to_markdown(found))
        except OSError as error:
            raise UserError(f"--out {out}: cannot be written ({error.strerror})") from error
        print_written(make_console(), out)
