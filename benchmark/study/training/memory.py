"""From a layout to a checkpoint of the memory family with its card; what `eidolon train memory` does."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast, get_args

from pydantic import ValidationError
from rich.console import Console

from eidolon.benchmark.engine.launch import is_follower
from eidolon.benchmark.scenes.memory_training import ORDER, VARIANTS, MemoryRecipe, memory_recipe
from eidolon.benchmark.study.training.session import CHECKPOINT, identity, is_finished, prepare, show_progress
from eidolon.models.base.checkpoint_files import checkpoint_files
from eidolon.models.base.identity import file_sha256
from eidolon.models.base.shipped import EYE, MEMORY_CHECKPOINTS
from eidolon.models.memory.layout import Memory
from eidolon.models.training.loop import Precision
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.signature import HASH_DIGITS


def read_options(
    options: Mapping[str, Any], seed: int, order: int | None = None, precision: str | None = None
) -> MemoryRecipe:
    """Return the recipe that the command line's options ask for.

    `precision` is bfloat16 on a GPU and float32 on a CPU unless it is given, as a study must that mixes machines.

    Raises:
        UserError: no layout, or an option that cannot be.
    """
    given = {name: value for name, value in options.items() if value is not None}
    layout = given.pop("layout", None)
    if layout is None:
        raise UserError(f"--layout: name a variant ({', '.join(VARIANTS)}) or a layout such as GDN-GDN-GDN-*")
    try:
        memory = Memory(layout=VARIANTS.get(layout, layout), **given)
    except ValidationError as error:
        problem = error.errors()[0]
        flag = str(problem["loc"][0]) if problem["loc"] else "layout"
        raise UserError(f"--{flag} {problem['input']!r}: {problem['msg']}") from error
    if precision is None:
        import torch

        precision = "bf16" if torch.cuda.is_available() else "no"
    if precision not in get_args(Precision):
        raise UserError(f"--precision {precision!r}: must be one of {', '.join(get_args(Precision))}")
    return memory_recipe(
        memory, seed, order=ORDER if order is None else order, precision=cast("Precision", precision)
    )


def batches_key(recipe: MemoryRecipe, eye: str) -> str:
    """Return a name for the batches of a recipe behind an eye: the same for all models that are trained on the same."""
    training = recipe.training
    decides = {
        "phases": training.model_dump(mode="json")["phases"],
        "order": training.seed if training.order is None else training.order,
        **recipe.model_dump(mode="json", exclude={"name", "architecture", "training"}),
        "eye": eye,
    }
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:HASH_DIGITS]


def _content(checkpoint: Path) -> str:
    files = checkpoint_files(checkpoint)
    return hashlib.sha256(
        "".join(f"{name}\0{file_sha256(file)}\0" for name, file in files.items()).encode()
    ).hexdigest()


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
    from eidolon.benchmark.scenes.dialogue_training import training_samples
    from eidolon.benchmark.study.machine import describe_machine
    from eidolon.benchmark.study.training.card import write_memory_card
    from eidolon.benchmark.study.training.evaluation import evaluate_checkpoint
    from eidolon.models.memory.building import EyeError, make_memory_model
    from eidolon.models.training.memory_training import train_memory

    looked_through = eye or MEMORY_CHECKPOINTS / EYE
    console = Console(stderr=True, quiet=is_follower())
    try:
        model, processor = make_memory_model(recipe.architecture, looked_through, recipe.training.seed)
    except EyeError as error:
        raise UserError(f"--eye {looked_through}: {error}") from error
    made_by = {**identity(recipe), "eye": _content(looked_through)}
    if batches is not None:
        batches /= batches_key(recipe, made_by["eye"])
        try:
            batches.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"--batches {batches.parent}: {error.strerror}") from error
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
            identity=made_by,
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
