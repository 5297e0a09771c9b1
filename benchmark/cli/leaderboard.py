"""`eidolon leaderboard`: the scores of several runs side by side."""

import os
from pathlib import Path
from typing import Annotated

import typer

from eidolon.benchmark.cli.common import make_console, with_examples


@with_examples(
    "eidolon leaderboard results/runs/demo results/runs/mine",
)
def leaderboard(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Run folders, or folders of them.")],
    out: Annotated[Path | None, typer.Option(help="Also write the leaderboard to this file.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON in place of a table.")] = False,
) -> None:
    """Collect the scores of runs into a leaderboard, and say which of them may not be compared."""

    from eidolon.benchmark.report import leaderboard as boards
    from eidolon.benchmark.store.files import RUN
    from eidolon.scorers.core.errors import UserError

    base = out.parent if out is not None else Path()
    if out is not None and os.path.isfile(base / RUN):
        raise UserError(
            f"--out {out}: lies in a run folder, whose files it could replace; give another place"
        )
    board = boards.collect(boards.find_runs(folders), relative_to=base)
    if out is not None:
        boards.write(board, out)
    if json:
        typer.echo(board.to_json(), nl=False)
    else:
        boards.show(board, make_console())
