"""`eidolon run`: models look at a dataset and describe it, or answer questions; metrics are printed."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eidolon.benchmark.cli.common import (
    make_console,
    print_written,
    report_conditions,
    report_failed,
    report_unscored,
    with_examples,
)
from eidolon.benchmark.cli.options import flags_of, with_settings
from eidolon.benchmark.settings.run import RunSettings

if TYPE_CHECKING:
    from eidolon.benchmark.engine.coordinator import Follower, Leader, SingleProcess
    from eidolon.benchmark.run.planning import Plan
    from eidolon.benchmark.settings.load import Given
    from eidolon.scorers.core.scores import Scores


@with_examples(
    "eidolon run",
    "eidolon run --model scenes-base --task probe --limit 60 --policy all",
    "eidolon run --model python/mine.py:Blind --dataset folder/PATH --out results/runs/mine",
)
@with_settings(RunSettings)
def run(
    context: typer.Context,
    *,
    config: Annotated[
        Path | None,
        typer.Option(help="YAML file with these settings; flags win over it.", rich_help_panel="Advanced"),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the run folders.",
            rich_help_panel="Output",
            show_default="results/runs/DATASET-TASK-HASH",
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Check everything, print what would be done, stop.", rich_help_panel="Output"
        ),
    ] = False,
    rate: Annotated[
        float | None,
        typer.Option(
            metavar="R",
            help="With --dry-run: responses a second, for its estimate of the time.",
            rich_help_panel="Output",
            show_default="that of an earlier run like this one",
        ),
    ] = None,
    watch: Annotated[
        bool,
        typer.Option(
            "--watch",
            help="Keep a status page fresh, watch.html in --out: progress, and the first hallucinations.",
            rich_help_panel="Output",
        ),
    ] = False,
    doctor: Annotated[
        bool,
        typer.Option(
            "--doctor",
            help="Examine each model first, as eidolon doctor does; exit code 3 if a check failed.",
            rich_help_panel="Advanced",
        ),
    ] = False,
    **options: Any,
) -> int:
    """Let models describe images, or answer what is in them, and measure what they hallucinate.

    The same command again resumes.
    """
    from eidolon.benchmark.engine.launch import find_world, join, start
    from eidolon.benchmark.run.executor import actor_options
    from eidolon.benchmark.run.planning import check_processes, load_run_settings, summary
    from eidolon.scorers.core.errors import UserError

    given = load_run_settings(config, flags_of(RunSettings, options))
    settings = given.settings
    if rate is not None and not (dry_run and 0 < rate < inf):
        hint = "must be above 0" if dry_run else "is for --dry-run only; leave it out"
        raise UserError(f"--rate {rate:g}: {hint}")
    world = find_world(settings.processes)
    actor_options(given, world)
    check_processes(settings, world.size)
    if world.size > 1 and not world.launched and not dry_run:
        return start(world.size, context.obj)
    if dry_run:
        plan = _checked_plan(given, out)
        if world.rank == 0:
            _show_summary(summary(plan, rate))
        return 0
    if settings.executor == "ray":
        return _run_on_ray(given, out, doctor=doctor, watch=watch)
    with join(world) as coordinator:
        plan = _checked_plan(given, out)
        if not _takes_the_lead(coordinator, plan):
            return 0
        return _execute_and_show(plan, settings, doctor=doctor, watch=watch)


def _checked_plan(given: "Given[RunSettings]", out: Path | None) -> "Plan":
    """Return the plan, with the names in its conditions checked."""
    from eidolon.benchmark.run.planning import make_plan
    from eidolon.benchmark.verify.gates import check_names

    plan = make_plan(given, out)
    for run, _ in plan.runs:
        check_names(given.settings.require, run.work)
    return plan


def _takes_the_lead(coordinator: "SingleProcess | Leader | Follower", plan: "Plan") -> bool:
    """Connect the models with the processes that answer together. Return False at the end of a follower."""
    from eidolon.benchmark.engine.coordinator import Follower, Leader

    workers = [worker for _, worker in plan.runs]
    if isinstance(coordinator, Follower):
        coordinator.serve(plan.sha256(), workers)
        return False
    if isinstance(coordinator, Leader):
        coordinator.gather(plan.sha256(), workers)
    for worker in workers:
        worker.coordinator = coordinator
    return True


def _run_on_ray(given: "Given[RunSettings]", out: Path | None, *, doctor: bool, watch: bool) -> int:
    """Plan, connect with the cluster, and bring all runs to their ends there."""
    from eidolon.benchmark.run.executor import cluster, judged_by

    plan = _checked_plan(given, out)
    with cluster(given) as coordinator:
        assert coordinator is not None
        for _, worker in plan.runs:
            worker.coordinator = coordinator
        runs = tuple((judged_by(run, coordinator.pool), worker) for run, worker in plan.runs)
        return _execute_and_show(replace(plan, runs=runs), given.settings, doctor=doctor, watch=watch)


def _show_summary(found: Mapping[str, Any]) -> None:
    """Print what a dry run would do, a line for each item."""
    for name, value in found.items():
        shown = value
        if isinstance(value, Mapping):
            shown = ", ".join(f"{key}: {item}" for key, item in value.items())
        elif isinstance(value, Sequence) and not isinstance(value, str):
            shown = ", ".join(map(str, value))
        typer.echo(f"{name}: {shown}")


def _execute_and_show(plan: "Plan", settings: RunSettings, *, doctor: bool, watch: bool) -> int:
    """Bring all runs to their ends, print the results, and return the exit code."""
    from eidolon.benchmark.report import calibration_table, leaderboard
    from eidolon.benchmark.report.examples import show_examples
    from eidolon.benchmark.report.finished_runs import find_runs, finished_runs
    from eidolon.benchmark.report.live.watch import watching
    from eidolon.benchmark.report.page import render_report
    from eidolon.benchmark.run.pipeline import execute
    from eidolon.benchmark.tasks.protocol import TabulatedTask
    from eidolon.benchmark.verify.gates import judge_conditions

    console = make_console()
    # An old folder beside the new ones that cannot be read is better known before the work than after it.
    leaderboard.collect(finished_runs(plan.out), relative_to=plan.out)
    if doctor:
        from eidolon.benchmark.verify.doctor import diagnosis_store, table

        diagnosis_store.check_all_examinable(run for run, _ in plan.runs)
    scores: dict[Path, Scores] = {}
    failed: dict[str, tuple[str, ...]] = {}
    with watching(plan) if watch else nullcontext() as page:
        for run, generation in plan.runs:
            if page is not None:
                page.begin(run, generation)
            if doctor:
                found = diagnosis_store.examine_run(run, generation, plan.source)
                table.show(found, console)
                run, failed[str(run.path)] = replace(run, doctor=found), found.failed
            scores[run.path] = execute(run, generation, render_report)
            if page is not None:
                page.end(run, scores[run.path])
    board = leaderboard.collect(find_runs([plan.out]), relative_to=plan.out)
    leaderboard.write(board, plan.out / leaderboard.FILE)
    best = next(run for row in board.rows for run, _ in plan.runs if run.path == plan.out / row.run)
    show_examples(best.path, best.name, console)
    console.print()
    leaderboard.show(board, console)
    for run, _ in plan.runs:
        if (calibration := scores[run.path].calibration) is not None:
            calibration_table.show(calibration, run.name, console)
    if isinstance(plan.task, TabulatedTask):
        plan.task.show([(run, scores[run.path]) for run, _ in plan.runs], console)
    print_written(console, *scores, plan.out / leaderboard.FILE)
    shares = {str(path): found.n.unscored / found.n.requested for path, found in scores.items()}
    verdicts = {str(path): judge_conditions(settings.require, found) for path, found in scores.items()}
    return max(
        report_unscored(shares, settings.max_unscored), report_failed(failed), report_conditions(verdicts)
    )
