"""From a layout to a checkpoint of the memory family with its card; what `eidolon train memory` does."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from rich.console import Console

from eidolon.benchmark.launch import follows
from eidolon.benchmark.scenes.memory import VARIANTS, MemoryRecipe, memory_recipe
from eidolon.benchmark.scenes.train import CHECKPOINT, is_finished, prepare, show_progress
from eidolon.models.memory.layout import Memory
from eidolon.models.shipped import EYE, MEMORY_CHECKPOINTS
from eidolon.scorers.errors import UserError


def read_options(options: Mapping[str, Any], seed: int) -> MemoryRecipe:
    """Return the recipe that the command line's options ask for.

    Raises:
        UserError: no layout, or an option that cannot be.
    """
    given = {name: value for name, value in options.items() if value is not None}
    layout = given.pop("layout", None)
    if layout is None:
        raise UserError(f"--layout: name a variant ({', '.join(VARIANTS)}) or a layout such as GDN-GDN-GDN-*")
    try:
        return memory_recipe(Memory(layout=VARIANTS.get(layout, layout), **given), seed)
    except ValidationError as error:
        problem = error.errors()[0]
        flag = str(problem["loc"][0]) if problem["loc"] else "layout"
        raise UserError(f"--{flag} {problem['input']!r}: {problem['msg']}") from error


def train_memory_recipe(
    recipe: MemoryRecipe,
    out: Path,
    eye: Path | None,
    batches: Path | None,
    *,
    scenes: int,
    stop_at: int | None = None,
) -> None:
    """Train, evaluate and write the checkpoint into `out/checkpoint`, resuming where an earlier run stopped."""
    prepare(out)
    from eidolon.benchmark.scenes.card import describe_machine, write_memory_card
    from eidolon.benchmark.scenes.evaluation import evaluate_checkpoint
    from eidolon.benchmark.scenes.training import training_samples
    from eidolon.models.memory.building import make_memory_model
    from eidolon.models.memory.training import train_memory

    looked_through = eye or MEMORY_CHECKPOINTS / EYE
    if not (looked_through / "config.json").is_file():
        raise UserError(f"--eye {looked_through}: is no checkpoint: it holds no config.json")
    console = Console(stderr=True, quiet=follows())
    model, processor = make_memory_model(recipe.architecture, looked_through, recipe.training.seed)
    grid = round(processor.image_seq_len**0.5)
    with show_progress(recipe.name, recipe.training.steps, console) as show:
        report = train_memory(
            model,
            processor,
            training_samples(recipe, grid),
            recipe.training,
            out,
            batches=batches,
            stop_at=stop_at,
            on_step=show,
        )
    if not is_finished(report, recipe.training.steps, console):
        return
    folder = out / CHECKPOINT
    # Half the bytes; what is evaluated, and measured ever after, are the rounded weights.
    model.half().save_pretrained(folder)  # type: ignore[no-untyped-call]
    processor.save_pretrained(folder)
    console.print(f"evaluating on {scenes} scenes")
    evaluation = evaluate_checkpoint(folder, n=scenes)
    write_memory_card(folder, recipe, report, evaluation, describe_machine())
    console.print(f"{folder}: recall {evaluation.recall}, CHAIR_i {evaluation.chair_i}")
