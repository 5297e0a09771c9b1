"""`eidolon train`: make a shipped model, judge or aligner again, from nothing."""

from pathlib import Path
from typing import Annotated, Any

import typer

from eidolon.benchmark.cli.common import with_examples
from eidolon.benchmark.cli.options import flags_of, with_settings
from eidolon.benchmark.settings.train import MemoryTrainingSettings


@with_examples(
    "eidolon train scenes-small --out trained/scenes-small",
    "eidolon train memory --layout GDN-GDN-GDN-* --out trained/hybrid",
)
@with_settings(MemoryTrainingSettings)
def train(
    recipe: Annotated[
        str,
        typer.Argument(
            help="A shipped model or judge, aligner, a recipe.json, or memory: a model of the memory family."
        ),
    ],
    *,
    out: Annotated[
        Path,
        typer.Option(help="Folder for the training's state and the checkpoint.", rich_help_panel="Output"),
    ],
    scenes: Annotated[
        int, typer.Option(min=2, help="Held-out scenes to evaluate on.", rich_help_panel="Data")
    ] = 300,
    steps: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Stop after this many steps; the same command resumes.",
            rich_help_panel="Advanced",
        ),
    ] = None,
    **options: Any,
) -> None:
    """Train a VL model, a judge or an aligner from scratch on Scenes, evaluate it and write its card.

    The same command again resumes. Under `accelerate launch` it uses every process.
    """
    from eidolon.benchmark.engine.launch import find_world
    from eidolon.benchmark.settings.fields import flag_name
    from eidolon.benchmark.settings.load import load_settings
    from eidolon.benchmark.study.training.train import train_recipe
    from eidolon.scorers.core.errors import UserError

    find_world()  # fails if a launcher that was told several processes started one
    flags = flags_of(MemoryTrainingSettings, options)
    if recipe == "memory":
        from eidolon.benchmark.study.training.memory import read_options, train_memory_recipe

        given = load_settings(MemoryTrainingSettings, None, flags).settings
        memory = given.model_dump(include={"layout", "window", "store", "selection"})
        chosen = read_options(memory, given.seed or 0, given.order, given.precision)
        train_memory_recipe(chosen, out, given.eye, given.batches, scenes=scenes, stop_at=steps)
        return
    for field, value in flags.items():
        flag = flag_name(MemoryTrainingSettings, field)
        raise UserError(f"{flag} {value}: is for the recipe memory only; leave it out")
    train_recipe(recipe, out, scenes=scenes, stop_at=steps)
