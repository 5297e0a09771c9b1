"""`eidolon merge`: the shards of a run, joined to one run."""

from pathlib import Path
from typing import Annotated

import typer

from eidolon.benchmark.cli.common import make_console, print_written, report_unscored, with_examples
from eidolon.benchmark.settings.judged import JudgedSettings


@with_examples(
    "eidolon merge results/runs/mine",
    "eidolon merge downloaded/shard-* --out results/runs/mine",
)
def merge(
    shards: Annotated[
        list[Path], typer.Argument(metavar="FOLDER…", help="Run folders of shards, or folders above them.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the run folders.", show_default="the first FOLDER"),
    ] = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="Merge the finished shards, if others are missing.")
    ] = False,
    max_unscored: Annotated[
        float,
        typer.Option(min=0, max=1, help="Share of unscored responses above which the exit code is 3."),
    ] = JudgedSettings().max_unscored,
) -> int:
    """Join the shards of a run (eidolon run --shard K/N), and score them together.

    The shards must be of one run and complete. Neither the dataset nor the model is needed.
    """
    from eidolon.benchmark.report import leaderboard
    from eidolon.benchmark.report.page import render_report
    from eidolon.benchmark.run.merging import find_shards, merge
    from eidolon.benchmark.run.pipeline import execute

    out = shards[0] if out is None else out
    merged = [merge(name, found, out, partial=partial) for name, found in find_shards(shards).items()]
    shares = {}
    for run, producer in merged:
        for text in run.warnings:
            typer.echo(f"warning: {run.path}: {text}", err=True)
        scores = execute(run, producer, render_report)
        shares[str(run.path)] = scores.n.unscored / scores.n.requested
    console = make_console()
    board = leaderboard.collect([run.path for run, _ in merged], relative_to=out)
    leaderboard.write(board, out / leaderboard.FILE)
    leaderboard.show(board, console)
    print_written(console, *(run.path for run, _ in merged), out / leaderboard.FILE)
    return report_unscored(shares, max_unscored)
