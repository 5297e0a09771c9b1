"""`eidolon memory`: studies of the memory family, one sub-verb each."""

from pathlib import Path
from typing import Annotated

import typer

from eidolon.benchmark.cli.common import with_examples
from eidolon.benchmark.cli.memory_search import MAX_SIZE, search
from eidolon.benchmark.settings.fields import MAX_COUNT, MAX_SEED

MAX_TEXT = 100_000
"""The longest text between picture and question, in tokens."""

memory = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@memory.callback(invoke_without_command=True)
def _memory(context: typer.Context) -> None:
    """Study the memory family: what each memory keeps, and for how long."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@memory.command()
@with_examples(
    "eidolon memory mqar --out results/runs/mqar",
    "eidolon memory mqar --layout GDN-* --steps 200 --out results/runs/mqar-gdn",
)
def mqar(
    out: Annotated[Path, typer.Option(help="Folder for mqar.json, mqar.png and the trainings.")],
    layout: Annotated[
        list[str] | None,
        typer.Option(
            help="A memory for every layer (*, SWA, M2, GDN, GKA, BMF, BM), or a layer's after the other: GDN-*. "
            "Repeatable; default: the whole study."
        ),
    ] = None,
    store: Annotated[
        list[int] | None,
        typer.Option(min=1, max=MAX_SIZE, help="Tokens that a store holds, for layouts with BM. Repeatable."),
    ] = None,
    selection: Annotated[
        list[str] | None,
        typer.Option(
            metavar="innovation|recent|random",
            help="Which tokens a store keeps, for layouts with BM. Repeatable.",
        ),
    ] = None,
    seed: Annotated[
        list[int] | None, typer.Option(min=0, max=MAX_SEED - 1, help="Of weights and training. Repeatable.")
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(min=1, max=MAX_COUNT, help="Training steps of each model; default: the study's."),
    ] = None,
    sequences: Annotated[
        int | None,
        typer.Option(min=2, max=MAX_COUNT, help="Test sequences of each kind and number of pairs."),
    ] = None,
) -> None:
    """Associative recall: small models learn to name the value that followed a key; how many do they remember?

    The same command again resumes; what is finished is not done again.
    """
    from eidolon.benchmark.study.recall.run import run_mqar

    run_mqar(out, layout, store, selection, seed, steps=steps, sequences=sequences)


@memory.command()
@with_examples(
    "eidolon memory recall",
    "eidolon memory recall --layout GDN-GDN --head-dim 16 --head-dim 32 --setting 64x4 --out results/runs/recall-gdn",
    "eidolon memory recall --setting 256x16 --setting 512x64 --width 128 --out results/runs/recall-large --dry-run",
    "eidolon memory recall --setting 256x16 --setting 512x64 --width 128 --out results/runs/recall-large",
)
def recall(
    out: Annotated[
        Path, typer.Option(help="Folder for the record of each training, and recall.json.")
    ] = Path("results/memory/recall"),
    work: Annotated[
        Path, typer.Option(help="Folder for the states of trainings that are not finished.")
    ] = Path("results/runs/recall"),
    layout: Annotated[
        list[str] | None,
        typer.Option(
            help="The memories of the layers, such as GDN-GDN. Repeatable; default: all, two layers each."
        ),
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LENGTHxPAIRS", help="Tokens and pairs of a sequence. Repeatable; default: 64x4, 128x8."
        ),
    ] = None,
    head_dim: Annotated[
        list[int] | None,
        typer.Option(
            min=2,
            max=MAX_SIZE,
            help="Size of the head. A state has its square of numbers. Repeatable; default: 64.",
        ),
    ] = None,
    seed: Annotated[
        list[int] | None,
        typer.Option(
            min=0, max=MAX_SEED - 1, help="Repeatable. Rates are swept on the first; default: 0, 1, 2."
        ),
    ] = None,
    width: Annotated[
        int | None, typer.Option(min=2, max=MAX_SIZE, help="Width of the models; default: 64.")
    ] = None,
    budget: Annotated[
        int | None, typer.Option(min=1, help="Most training sequences of a model; default: 100,000.")
    ] = None,
    train: Annotated[
        bool, typer.Option(help="Train what is missing; otherwise only write recall.json from the records.")
    ] = True,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Time a few steps of each memory, print what all cost at most, stop."),
    ] = False,
) -> None:
    """Associative recall at published sizes: each memory with the best of four learning rates, then with more seeds.

    The same command again continues; what is finished is not done again.
    """
    from eidolon.benchmark.study.recall.sweep import run_sweep
    from eidolon.benchmark.study.recall.sweep_recipe import (
        LAYOUTS,
        SEEDS,
        SETTINGS,
        SweepRecipe,
        parse_setting,
    )

    changed = {"width": width, "budget": budget}
    recipe = SweepRecipe.model_validate({k: v for k, v in changed.items() if v is not None})
    settings = [parse_setting(text) for text in setting] if setting else list(SETTINGS)
    chosen = (layout or LAYOUTS, settings, seed or SEEDS)
    if dry_run:
        from rich.console import Console

        from eidolon.benchmark.study.recall.sweep_cost import cost_table, measure_costs

        costs = measure_costs(out, *chosen, head_dims=head_dim or (64,), recipe=recipe)
        Console().print(cost_table(costs))
        return
    sweep = run_sweep(out, work, *chosen, head_dims=head_dim or (64,), recipe=recipe, train=train)
    typer.echo(f"{out / 'recall.json'}: {len(sweep.missing)} trainings left")


@memory.command()
@with_examples(
    "eidolon memory study",
    "eidolon memory study --variant attention --variant gdn",
)
def study(
    out: Annotated[
        Path, typer.Option(help="Folder for the record of each trained model, and its measurements.")
    ] = Path("results/memory/study"),
    work: Annotated[Path, typer.Option(help="Folder for the trainings and their checkpoints.")] = Path(
        "results/runs/memory-study"
    ),
    variant: Annotated[
        list[str] | None, typer.Option(help="A variant of the plan. Repeatable; default: all.")
    ] = None,
    scenes: Annotated[
        int, typer.Option(min=2, max=MAX_COUNT, help="Held-out scenes to evaluate each model on.")
    ] = 300,
) -> None:
    """Train and measure the models of the registered memory study: three learning rates on one seed, then more seeds.

    The same command again continues. Then `eidolon memory bench OUT` computes the table from the measurements.
    """
    from eidolon.benchmark.study.memory.study_training import run_study

    missing = run_study(out, work, variant or (), scenes=scenes)
    typer.echo(f"{out}: {len(missing)} models left")


@memory.command()
@with_examples(
    "eidolon memory bench",
    "eidolon memory bench gdn mine=trained/hybrid --limit 64 --out results/runs/mine",
)
def bench(
    checkpoints: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[CHECKPOINT]…",
            help="A shipped variant, a checkpoint's folder, a folder of trainings, or measurements of `memory study`; "
            "NAME=FOLDER calls it so. "
            "Default: all shipped variants.",
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for memory.json, the plots and the measurements.")] = Path(
        "results/runs/memory"
    ),
    limit: Annotated[int, typer.Option(min=2, max=MAX_COUNT, help="Held-out scenes to ask about.")] = 128,
    descriptions: Annotated[
        int | None,
        typer.Option(
            min=2,
            max=MAX_COUNT,
            help="Held-out scenes to describe, those among them. Default: 8 times --limit.",
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(min=0, max=MAX_SEED - 1, help="Seed of the scenes, the questions and sampling.")
    ] = 0,
    lengths: Annotated[
        str | None, typer.Option(metavar="N,N,…", help="Tokens of text between picture and question.")
    ] = None,
    resamples: Annotated[int, typer.Option(min=0, help="Resamples of every interval.")] = 4000,
    other_stores: Annotated[
        bool,
        typer.Option(help="Also fill the stores of trained models at random and with the latest tokens."),
    ] = True,
) -> None:
    """How long does each memory remember? The study's table from its checkpoints: scores, retention, bytes, speed.

    The same command again resumes; what is measured is not measured again.
    """
    from eidolon.benchmark.cli.common import make_console
    from eidolon.benchmark.study.memory.bench import run_bench
    from eidolon.benchmark.study.memory.measurements import BenchSettings
    from eidolon.benchmark.study.memory.table import show
    from eidolon.scorers.core.errors import UserError

    if descriptions is not None and descriptions < limit:
        raise UserError(f"--descriptions {descriptions}: must be --limit ({limit}) or more")
    settings = BenchSettings(limit=limit, descriptions=descriptions or 8 * limit, seed=seed)
    if lengths is not None:
        try:
            chosen = tuple(sorted({int(n) for n in lengths.split(",")}))
        except ValueError:
            chosen = (0,)
        if min(chosen) < 1 or max(chosen) > MAX_TEXT:
            raise UserError(
                f"--lengths {lengths!r}: must be whole numbers from 1 to {MAX_TEXT}, such as 64,256,512"
            )
        settings = settings.model_copy(update={"lengths": chosen})
    study = run_bench(checkpoints or [], out, settings, resamples=resamples, other_stores=other_stores)
    show(study, make_console())
    typer.echo(str(out / "memory.json"))


memory.command()(search)
