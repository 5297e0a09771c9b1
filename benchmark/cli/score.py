"""`eidolon score`: responses or answers that exist already, judged and scored."""

from pathlib import Path
from typing import Annotated, Any

import typer

from eidolon.benchmark.cli.common import (
    make_console,
    print_written,
    report_conditions,
    report_unscored,
    with_examples,
)
from eidolon.benchmark.cli.options import flags_of, with_settings
from eidolon.benchmark.settings.score import ScoreSettings


@with_examples(
    "eidolon score --responses responses.jsonl --objects objects.jsonl --out results/runs/mine",
    "eidolon score --metric pope --questions coco_pope_random.json --answers answers.jsonl --policy all --out DIR",
)
@with_settings(ScoreSettings)
def score(
    more_answers: Annotated[
        list[Path] | None,
        typer.Argument(metavar="FILE", help="Further files of --answers.", hidden=True),
    ] = None,
    *,
    out: Annotated[Path, typer.Option(help="The run folder to write.", rich_help_panel="Output")],
    config: Annotated[
        Path | None,
        typer.Option(help="YAML file with these settings; flags win over it.", rich_help_panel="Advanced"),
    ] = None,
    **options: Any,
) -> int:
    """Score what exists already.

    The same command again resumes, or confirms what is there.
    """
    from eidolon.benchmark.report import calibration_table, leaderboard
    from eidolon.benchmark.report.page import render_report
    from eidolon.benchmark.run.executor import cluster, judged_by
    from eidolon.benchmark.run.pipeline import execute
    from eidolon.benchmark.run.score_plan import load_score_settings, make_score_plan, with_processes
    from eidolon.benchmark.tasks.protocol import TabulatedTask
    from eidolon.benchmark.terminal.progress import busy
    from eidolon.benchmark.terminal.safe_text import one_line
    from eidolon.benchmark.verify.gates import check_names, judge_conditions
    from eidolon.scorers.core.errors import UserError

    flags = flags_of(ScoreSettings, options)
    if more_answers:
        if "answers" not in flags:
            raise UserError(
                f"unexpected argument {str(more_answers[0])!r}: give responses by --responses FILE, and answers by "
                "--answers FILE (it takes several)"
            )
        flags["answers"] = [*flags["answers"], *more_answers]
    given = with_processes(load_score_settings(config, flags))
    with busy("reading the inputs"):
        plan = make_score_plan(given, out)
    check_names(given.settings.require, plan.run.work)
    for hint in plan.run.hints:
        typer.echo(one_line(f"note: {hint}"), err=True)
    with cluster(given) as coordinator:
        run = plan.run if coordinator is None else judged_by(plan.run, coordinator.pool)
        scores = execute(run, plan.producer, render_report)
    for note in plan.run.config.inputs.notes:
        typer.echo(f"{note.kind}: {one_line(note.text())}", err=True)
    console = make_console()
    if isinstance(plan.task, TabulatedTask):
        plan.task.show([(plan.run, scores)], console)
    else:
        leaderboard.show(leaderboard.collect([out], relative_to=out.parent), console)
    if scores.calibration is not None:
        calibration_table.show(scores.calibration, plan.run.name, console)
    print_written(console, out)
    total = scores.n.requested
    if plan.run.config.task != "responses":
        total = max(1, scores.n.samples)
        if scores.n.samples < scores.n.requested:
            typer.echo(
                f"warning: {out}: {scores.n.samples} answers to {scores.n.requested} items of the same kinds",
                err=True,
            )
    verdicts = {str(out): judge_conditions(given.settings.require, scores)}
    return max(
        report_unscored({str(out): scores.n.unscored / total}, given.settings.max_unscored),
        report_conditions(verdicts),
    )
