"""Trains a model of the memory family: what `eidolon train memory` does."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

from pydantic import ValidationError
from rich.console import Console

from eidolon.benchmark.engine.launch import is_follower
from eidolon.benchmark.scenes.memory_training import ORDER, VARIANTS, MemoryRecipe, memory_recipe
from eidolon.benchmark.study.training.session import CHECKPOINT, identity, is_finished, prepare, show_progress
from eidolon.models.base.checkpoint_files import checkpoint_files, file_sha256
from eidolon.models.base.shipped import EYE, MEMORY_CHECKPOINTS
from eidolon.models.memory.layout import Memory
from eidolon.models.training.loop import Precision
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.signature import HASH_DIGITS

if TYPE_CHECKING:
    from transformers import Idefics3Processor

    from eidolon.benchmark.study.training.evaluation import Evaluation
    from eidolon.models.training.loop import TrainingReport


@dataclass(frozen=True, slots=True)
class TrainedMemory:
    """A finished training and its results."""

    report: "TrainingReport"
    evaluation: "Evaluation"
    predictor_r_squared: tuple[float, ...] | None
    """R² of the predictor of each layer with a store (`predictors_on_references`). None without a store."""


def read_options(
    options: Mapping[str, Any], seed: int, order: int | None = None, precision: str | None = None
) -> MemoryRecipe:
    """Return the recipe for the options of the command line.

    Args:
        options: The fields of `Memory` by name; None for those that are not given.
        seed: Seed of the weights.
        order: Seed of the order of the batches; None for that of the study.
        precision: `no` (float32) or `bf16`; None for bfloat16 on a GPU and float32 on a CPU. A study on several kinds
            of machines must give it.

    Raises:
        UserError: no layout, or an invalid option.
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


KEY_SAMPLES = 64
"""Samples of each phase whose texts are part of the name of the batches."""


def batches_key(recipe: MemoryRecipe, eye: str, processor: "Idefics3Processor") -> str:
    """Return the name of the batches of a recipe, given the hash of the eye. Models with the same data share it.

    The first samples of each phase are part of it, as the present code makes them, and the versions of the libraries
    that see the pictures. So batches of other code are not read, unless it makes these samples alike.
    """
    import torch
    import transformers

    from eidolon.benchmark.scenes.dialogue_training import training_samples
    from eidolon.models.training.vl_training import Collator

    training, collator = recipe.training, Collator(processor)
    sample = training_samples(recipe, image_grid(processor))
    first = [sample(phase, index) for phase in range(len(training.phases)) for index in range(KEY_SAMPLES)]
    encoded = [collator.encode(one) for one in first]
    made = collator.dialogues(first[::KEY_SAMPLES], encoded[::KEY_SAMPLES])
    texts = json.dumps([asdict(one) for one in encoded], default=float)
    content = {
        "phases": training.model_dump(mode="json")["phases"],
        "order": training.seed if training.order is None else training.order,
        **recipe.model_dump(mode="json", exclude={"name", "architecture", "training"}),
        "eye": eye,
        "texts": hashlib.sha256(texts.encode()).hexdigest(),
        "first": {
            name: hashlib.sha256(tensor.numpy().tobytes()).hexdigest() for name, tensor in made.items()
        },
        "versions": [torch.__version__, transformers.__version__],
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:HASH_DIGITS]


def image_grid(processor: "Idefics3Processor") -> int:
    """Return the number of image tokens in a row."""
    return round(processor.image_seq_len**0.5)  # type: ignore[no-any-return]


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
) -> TrainedMemory | None:
    """Train, evaluate and write the checkpoint into `out/checkpoint`. A training that was stopped is resumed.

    Returns the results; None if the training is not finished or another process writes them.

    Args:
        recipe: The recipe of the model.
        out: Folder for the state of the training and the checkpoint.
        eye: Checkpoint of the vision encoder; None for the shipped one.
        batches: Folder that keeps the prepared batches for other trainings; None to keep none.
        scenes: Held-out scenes to evaluate on.
        stop_at: Stop after so many steps.

    Raises:
        UserError: an eye that cannot be loaded, or a folder that cannot be written.
    """
    prepare(out)
    from eidolon.benchmark.scenes.dialogue_training import training_samples
    from eidolon.benchmark.study.machine import describe_machine
    from eidolon.benchmark.study.training.card import write_memory_card
    from eidolon.benchmark.study.training.evaluation import evaluate
    from eidolon.benchmark.study.training.predictors import predictors_on_references
    from eidolon.models.backends.transformers import TransformersModel
    from eidolon.models.memory.building import EyeError, make_memory_model
    from eidolon.models.training.memory_training import train_memory

    eye_folder = eye or MEMORY_CHECKPOINTS / EYE
    console = Console(stderr=True, quiet=is_follower())
    try:
        model, processor = make_memory_model(recipe.architecture, eye_folder, recipe.training.seed)
    except EyeError as error:
        raise UserError(f"--eye {eye_folder}: {error}") from error
    made_of = {**identity(recipe), "eye": _content(eye_folder)}
    if batches is not None:
        batches /= batches_key(recipe, made_of["eye"], processor)
        try:
            batches.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"--batches {batches.parent}: {error.strerror}") from error
    with show_progress(recipe.name, recipe.training.steps, console) as show:
        report = train_memory(
            model,
            processor,
            training_samples(recipe, image_grid(processor)),
            recipe.training,
            out,
            batches=batches,
            stop_at=stop_at,
            on_step=show,
            identity=made_of,
        )
    if not is_finished(report, recipe.training.steps, console):
        return None
    folder = out / CHECKPOINT
    # Half the size. The rounded weights are those that are evaluated and measured.
    model.half().save_pretrained(folder)  # type: ignore[no-untyped-call]
    processor.save_pretrained(folder)
    console.print(f"evaluating on {scenes} scenes")
    trained = TransformersModel(str(folder))
    r_squared = predictors_on_references(trained) if "BM" in recipe.architecture.memory.layout else None
    found = TrainedMemory(report, evaluate(trained, n=scenes), r_squared)
    write_memory_card(folder, recipe, report, found.evaluation, describe_machine(), found.predictor_r_squared)
    console.print(f"{folder}: recall {found.evaluation.recall}, CHAIR_i {found.evaluation.chair_i}")
    return found
