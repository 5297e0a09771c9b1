"""Finds the checkpoints of a bench in folders of trainings, and names them by the memories of their layers."""

import hashlib
import json
import re
from collections.abc import Sequence
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from safetensors import SafetensorError, deserialize

from eidolon.benchmark.scenes.memory_training import VARIANTS
from eidolon.benchmark.study.memory.archive import SUFFIX, is_archive, open_archive
from eidolon.benchmark.study.memory.trained import CONFIG, TrainedCheckpoint
from eidolon.benchmark.tasks.forget.retention.lengths import RECIPE, trained_words
from eidolon.models.base.checkpoint_files import INDEX, checkpoint_files
from eidolon.models.base.shipped import NOT_INSTALLED, memory_models
from eidolon.models.memory.layout import Memory, layout_text
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import user_path

CHECKPOINT = "checkpoint"
"""The folder of the weights in the folder of a training."""
MAIN = ("attention", "swa", "gdn", "bm")
"""The variants that the study compares. The others only have rows in the table."""
STUDY = Memory(layout=("*",), heads=2)
"""The sizes of the study. Other sizes are part of the name of a variant."""
_SIZES = (
    "window", "store", "fading", "selection", "predictor", "store_position", "query_key_norm",
    "heads", "head_dim", "rotary", "rotary_base",
)  # fmt: skip
_IRRELEVANT = (INDEX, RECIPE, "evaluation.json")
"""Files of a checkpoint that do not affect its answers."""
_ATTENTION = ("*", "SWA", "BMF", "BM")
_NEEDED = {
    "window": ("SWA", "BMF", "BM"),
    "store": ("BM",),
    "fading": ("BMF", "BM"),
    "selection": ("BM",),
    "predictor": ("BM",),
    "store_position": ("BM",),
    "query_key_norm": _ATTENTION,
    "rotary": _ATTENTION,
    "rotary_base": _ATTENTION,
}
"""Sizes that only some layers have."""


def find_checkpoints(given: Sequence[str]) -> list[TrainedCheckpoint]:
    """Return the checkpoints that the command line names; without any names, the shipped ones.

    A name is a shipped variant, the folder of a checkpoint or training, a folder of trainings, an archive of
    measurements, or a folder of archives. `NAME=` before it gives the variant another name.

    Raises:
        UserError: a folder without checkpoints of the memory family, a file that is no archive, two checkpoints of one
            variant and seed, or one name for different memories.
    """
    shipped = memory_models()
    if not given:
        if not shipped:
            raise UserError(f"{NOT_INSTALLED}; or name a checkpoint's folder")
        given = [*shipped]
    found: list[TrainedCheckpoint] = []
    for text in given:
        label, equals, place = ("", "", text) if user_path(text).exists() else text.rpartition("=")
        if equals and not label:
            raise UserError(f"{text!r}: the name before = is missing; write VARIANT=FOLDER")
        path = user_path(place)
        if place in shipped and not path.is_dir():
            found.append(_read(label or place, shipped[place], found))
            continue
        if path.is_file() and not is_archive(path):
            raise UserError(f"{text!r}: is not a folder, and its name does not end with {SUFFIX}")
        if not path.exists():
            raise UserError(
                f"{text!r}: is neither a folder nor a shipped variant ({', '.join(shipped) or 'none'})"
            )
        places = [path] if path.is_file() else _checkpoints_in(path) + _archives_in(path)
        if not places:
            raise UserError(f"{text!r}: holds no checkpoint (no {CONFIG} of the memory family)")
        for each in places:
            found.append(_read(label, each, found))
    for one in found:
        other = next(other for other in found if other.variant == one.variant)
        if other.memory != one.memory:
            raise UserError(
                f"{one.variant}: {other.folder} and {one.folder} have different memories; give each another name"
            )
    names = [one.name for one in found]
    for one in found:
        if names.count(one.name) > 1:
            twice = ", ".join(str(other.folder) for other in found if other.name == one.name)
            raise UserError(f"{one.variant}, seed {one.seed}: given more than once ({twice}); leave one out")
    return found


def variant_name(memory: Memory) -> str:
    """Return the name of a layout, with the sizes that differ from those of the study."""
    layout = layout_text(memory.layout)
    known = {text: name for name, text in VARIANTS.items()}
    own, usual = memory.model_dump(), STUDY.model_dump()
    sizes = [
        f"{size}={own[size]}"
        for size in _SIZES
        if own[size] != usual[size] and (size not in _NEEDED or set(_NEEDED[size]) & set(memory.layout))
    ]
    return known.get(layout, layout) + (f"({','.join(sizes)})" if sizes else "")


def _checkpoints_in(path: Path) -> list[Path]:
    """Return the folder itself, its `checkpoint`, or the checkpoints of the trainings in it."""
    for folder in (path, path / CHECKPOINT):
        if _is_ours(folder):
            return [folder]
    below = [folder for folder in sorted(path.iterdir()) if folder.is_dir()]
    return [inner for folder in below for inner in (folder, folder / CHECKPOINT) if _is_ours(inner)]


def _is_ours(folder: Path) -> bool:
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and config.get("model_type") == "eidolon_memory"


def _archives_in(path: Path) -> list[Path]:
    return [file for file in sorted(path.iterdir()) if is_archive(file)]


def _read(label: str, place: Path, before: Sequence[TrainedCheckpoint]) -> TrainedCheckpoint:
    """Return what a checkpoint or an archive says of its model."""
    if place.is_file():
        folder, summary = open_archive(place)
        usual, digest, archive = summary.variant, summary.digest, place
    else:
        folder, usual, digest, archive = place, "", _digest(place), None
    memory = read_memory(folder)
    variant = re.sub(r"\s+", "-", label.strip()) or usual or variant_name(memory)
    recipe = _recipe(folder)
    training, data_seed = recipe.get("training"), recipe.get("data_seed")
    seed = training.get("seed") if isinstance(training, dict) else None
    if not isinstance(seed, int):
        seed = sum(one.variant == variant for one in before)
    return TrainedCheckpoint(
        variant,
        folder,
        memory,
        seed,
        trained_words(folder),
        digest,
        archive,
        data_seed if isinstance(data_seed, int) else None,
    )


def read_memory(folder: Traversable) -> Memory:
    """Return the layout and sizes in the configuration of a checkpoint. Raises UserError if they are invalid."""
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    text: dict[str, Any] = config.get("text_config", {})
    names = {"heads": "num_attention_heads"}
    fields = {
        name: text[names.get(name, name)] for name in Memory.model_fields if names.get(name, name) in text
    }
    try:
        return Memory.model_validate(fields)
    except ValidationError as error:
        problem = error.errors()[0]
        raise UserError(f"{folder / CONFIG}: text_config.{problem['loc'][0]}: {problem['msg']}") from error


def _recipe(folder: Traversable) -> dict[str, Any]:
    try:
        recipe = json.loads((folder / RECIPE).read_text(encoding="utf-8"))
    except (OSError, KeyError, ValueError):  # KeyError: an archive without it
        return {}
    return recipe if isinstance(recipe, dict) else {}


def _digest(folder: Path) -> str:
    """Return a hash of the tensors, however they are split into files, and of the other files that affect the
    answers."""
    digest = hashlib.sha256()
    tensors: dict[str, str] = {}
    for name, file in checkpoint_files(folder).items():
        if file.suffix == ".safetensors":
            tensors |= _tensor_hashes(file)
        elif name not in _IRRELEVANT:
            digest.update(f"{name}\0{file.stat().st_size}\0".encode() + file.read_bytes())
    for tensor, content in sorted(tensors.items()):
        digest.update(f"{tensor}\0{content}\0".encode())
    return digest.hexdigest()


def _tensor_hashes(file: Path) -> dict[str, str]:
    try:
        tensors = deserialize(file.read_bytes())  # type: ignore[no-untyped-call]
    except SafetensorError as error:
        raise UserError(f"{file}: is not a valid safetensors file ({error}); copy it again") from error
    return {
        name: hashlib.sha256(f"{tensor['dtype']}{tensor['shape']}\0".encode() + tensor["data"]).hexdigest()
        for name, tensor in tensors
    }
