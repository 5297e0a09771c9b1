"""`eidolon run`: models look at a dataset and describe it, or answer questions; metrics are printed."""

from dataclasses import replace
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eidolon.benchmark.cli.common import make_console, report_failed, report_unscored, split_names

if TYPE_CHECKING:
    from eidolon.benchmark.run.planning import Plan
    from eidolon.scorers.core.scores import Scores


def run(
    context: typer.Context,
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="backend/name, or a shipped model's name; repeatable. Default: the shipped models."
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(help="scenes, coco, objects365, amber, folder/PATH, hf/NAME, … Default: scenes."),
    ] = None,
    dataset_option: Annotated[
        list[str] | None,
        typer.Option("-D", metavar="KEY=VALUE", help="An option of the dataset; repeatable."),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(help="What is asked of the models: describe, probe or forget. Default: describe."),
    ] = None,
    limit: Annotated[int | None, typer.Option(help="At most so many samples of the dataset.")] = None,
    sample_ids: Annotated[
        Path | None, typer.Option(help="A file with the ids of the samples to take, one a line.")
    ] = None,
    pick: Annotated[
        str | None,
        typer.Option(help="Which samples --limit keeps: first, or random by the seed. Default: first."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(help="Of drawn data, sampling and bootstrap. Default: 0.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Where the run folders go. Default: results/runs/DATASET-TASK-HASH.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="YAML file with these settings; flags win over it.")
    ] = None,
    model_option: Annotated[
        list[str] | None,
        typer.Option("-M", metavar="KEY=VALUE", help="An option for every model of the command; repeatable."),
    ] = None,
    judge: Annotated[str | None, typer.Option(help="Who reads the responses. Default: lexicon.")] = None,
    judge_option: Annotated[
        list[str] | None, typer.Option("-J", metavar="KEY=VALUE", help="An option of the judge; repeatable.")
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            help="Metrics, separated by commas. Default: chair,objects,forgetting. With --judge qa: throne,objects."
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            help="probe: how absent objects are chosen: random, popular, adversarial or all. Default: all."
        ),
    ] = None,
    policy: Annotated[
        str | None,
        typer.Option(
            help="probe: how answers are read: original, exact, lenient, strict, or all side by side. "
            "Default: original."
        ),
    ] = None,
    pairs: Annotated[
        int | None,
        typer.Option(help="probe: present and absent objects asked about an image and split. Default: 3."),
    ] = None,
    min_objects: Annotated[
        int | None, typer.Option(help="probe: leave out images with fewer objects. Default: as --pairs.")
    ] = None,
    lengths: Annotated[
        str | None,
        typer.Option(
            metavar="N,N,…",
            help="forget: tokens of text before the questions. Default: 16,32,64,128,256,512,1024,2048.",
        ),
    ] = None,
    trained_length: Annotated[
        int | None,
        typer.Option(
            help="forget: tokens of the longest text of the models' training; longer ones are marked. "
            "Default: known of the shipped models."
        ),
    ] = None,
    prompt: Annotated[
        str | None,
        typer.Option(
            help="A preset's name or a text of your own, for probe with {question} in it. Default: describe. "
            "probe: question."
        ),
    ] = None,
    max_new_tokens: Annotated[
        int | None, typer.Option(help="Longest response. Default: 512. probe: 32.")
    ] = None,
    temperature: Annotated[float | None, typer.Option(help="0 is greedy. Default: 0.6. probe: 0.")] = None,
    top_p: Annotated[float | None, typer.Option(help="Nucleus sampling. Default: 1.")] = None,
    decoding: Annotated[
        str | None,
        typer.Option(
            help="plain, or m3id or contrastive: weigh every token against what the model would say without "
            "the picture. Default: plain."
        ),
    ] = None,
    decoding_option: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="An option of the decoding; repeatable."),
    ] = None,
    generations: Annotated[int | None, typer.Option(help="Responses a sample. Default: 1.")] = None,
    batch_size: Annotated[
        str | None,
        typer.Option(
            metavar="N",
            help="Requests a batch, or auto: what fits the model's device, 16 where memory is no matter, "
            "with vLLM 256. Default: auto.",
        ),
    ] = None,
    resamples: Annotated[int | None, typer.Option(help="Of the bootstrap. Default: 2000.")] = None,
    processes: Annotated[
        int | None,
        typer.Option(help="Processes that answer together, one a GPU where there are GPUs. Default: 1."),
    ] = None,
    max_unscored: Annotated[
        float | None, typer.Option(help="Share of unscored responses that is still fine. Default: 0.05.")
    ] = None,
    no_cache: Annotated[
        bool,
        typer.Option(
            "--no-cache", help="Ask the model everything anew; without it, earlier responses are given again."
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, say what would be done, stop.")
    ] = False,
    doctor: Annotated[
        bool,
        typer.Option(
            "--doctor",
            help="Examine each model first (eidolon doctor) and keep the verdicts in its run.json; "
            "exit code 3 if a check failed.",
        ),
    ] = False,
    rate: Annotated[
        float | None,
        typer.Option(
            metavar="R",
            help="With --dry-run: responses a second, for its estimate of the time. "
            "Default: that of an earlier run like this one, if there is one.",
        ),
    ] = None,
) -> int:
    """Let models describe images, or answer what is in them, and measure what they hallucinate.

    The same command again resumes.
    """
    from eidolon.benchmark.engine.coordinator import Follower, Leader
    from eidolon.benchmark.engine.launch import find_world, join, start
    from eidolon.benchmark.run.planning import check_processes, make_plan, summary
    from eidolon.benchmark.run.settings import load_config
    from eidolon.models.base.options import parse_options
    from eidolon.scorers.core.errors import UserError

    flags = {
        "dataset": dataset,
        "task": task,
        "limit": limit,
        "sample_ids": sample_ids,
        "pick": pick,
        "seed": seed,
        "split": split,
        "policy": policy,
        "pairs": pairs,
        "min_objects": min_objects,
        "lengths": None if lengths is None else lengths.split(","),
        "trained_length": trained_length,
        "prompt": prompt,
        "max_new_tokens": max_new_tokens,
        "temperature": temperature,
        "top_p": top_p,
        "decoding": decoding,
        "decoding_options": parse_options(decoding_option or [], "--decoding-option") or None,
        "generations": generations,
        "batch_size": batch_size,
        "resamples": resamples,
        "processes": processes,
        "max_unscored": max_unscored,
        "cache": False if no_cache else None,
        "models": model or None,
        "dataset_options": parse_options(dataset_option or [], "-D") or None,
        "model_options": parse_options(model_option or [], "-M") or None,
        "metrics": split_names(metric) or None,
    }
    settings = load_config(
        config,
        flags,
        judge=judge,
        judge_options=parse_options(judge_option or [], "-J"),
    )
    if rate is not None and not (dry_run and 0 < rate < inf):
        mend = "must be above 0" if dry_run else "is for --dry-run only; leave it out"
        raise UserError(f"--rate {rate:g}: {mend}")
    world = find_world(settings.processes)
    check_processes(settings, world.size)
    if world.size > 1 and not world.launched and not dry_run:
        return start(world.size, context.obj)
    if dry_run:
        for name, value in summary(make_plan(settings, out), rate).items() if world.rank == 0 else ():
            typer.echo(f"{name}: {value}")
        return 0
    with join(world) as coordinator:
        plan = make_plan(settings, out)
        workers = [worker for _, worker in plan.runs]
        if isinstance(coordinator, Follower):
            coordinator.serve(plan.sha256(), workers)
            return 0
        if isinstance(coordinator, Leader):
            coordinator.gather(plan.sha256(), workers)
        for worker in workers:
            worker.coordinator = coordinator
        return _answer_and_show(plan, settings.max_unscored, doctor=doctor)


def _answer_and_show(plan: "Plan", max_unscored: float, *, doctor: bool) -> int:
    """Bring all runs to their ends, print what came out, and return the exit code."""
    from eidolon.benchmark.report import calibration_table, leaderboard
    from eidolon.benchmark.report.examples import show_examples
    from eidolon.benchmark.run.pipeline import execute

    console = make_console()
    # An old folder beside the new ones that cannot be read is better known before the work than after it.
    leaderboard.collect(leaderboard.finished_runs(plan.out), relative_to=plan.out)
    if doctor:
        from eidolon.benchmark.verify.doctor import diagnosis_store as storing
        from eidolon.benchmark.verify.doctor import table

        storing.check_all_examinable(run for run, _ in plan.runs)
    scores: dict[Path, Scores] = {}
    failed: dict[str, tuple[str, ...]] = {}
    for run, generation in plan.runs:
        if doctor:
            found = storing.examine_run(run, generation, plan.source)
            table.show(found, console)
            run, failed[str(run.path)] = replace(run, doctor=found), found.failed
        scores[run.path] = execute(run, generation)
    board = leaderboard.collect(leaderboard.find_runs([plan.out]), relative_to=plan.out)
    leaderboard.write(board, plan.out / leaderboard.FILE)
    best = next(run for row in board.rows for run, _ in plan.runs if run.path == plan.out / row.run)
    show_examples(best.path, best.name, console)
    console.print()
    leaderboard.show(board, console)
    for run, _ in plan.runs:
        if (calibration := scores[run.path].calibration) is not None:
            calibration_table.show(calibration, run.name, console)
    if probed := [(run.name, run.probe, scores[run.path]) for run, _ in plan.runs if run.probe]:
        from eidolon.benchmark.tasks.probe.table import show

        show(probed, console)
    if forgotten := [(run.name, run.path) for run, _ in plan.runs if run.forget]:
        from eidolon.benchmark.tasks.forget.forced_orders import table as orders_table
        from eidolon.benchmark.tasks.forget.retention import table as retention_table

        retention_table.show(forgotten, console)
        orders_table.show(forgotten, console)
    for path in (*scores, plan.out / leaderboard.FILE):
        console.print(f"written: {path}", markup=False, emoji=False, highlight=False, soft_wrap=True)
    shares = {str(path): found.n.unscored / found.n.requested for path, found in scores.items()}
    return max(report_unscored(shares, max_unscored), report_failed(failed))
