"""The shipped checkpoints of the memory family, which share the file of the picture side that is the same in all.

    python -m eidolon.models.memory.sharing CHECKPOINT NAME

puts a training's checkpoint among the shipped ones, under the name of its variant or `eye`.
"""

import argparse
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from eidolon.models.base.checkpoint_files import INDEX
from eidolon.models.base.shipped import EYE, MEMORY_CHECKPOINTS

if TYPE_CHECKING:
    import torch

WEIGHTS = "model.safetensors"
VISION = "vision.safetensors"
"""What all share, and …"""
TEXT = "text.safetensors"
"""… what each has of its own."""


def is_shared(tensor: str) -> bool:
    """Whether a tensor belongs to the picture side: the vision tower, and the projection into words."""
    return tensor.startswith(("model.vision_model.", "model.connector."))


def split_eye(checkpoint: Path, out: Path) -> None:
    """Copy a checkpoint whose picture side others look through, that side in a file of its own."""
    from safetensors.torch import load_file

    tensors = load_file(checkpoint / WEIGHTS)
    _write(checkpoint, out, tensors, VISION)
    _save({name: tensor for name, tensor in tensors.items() if is_shared(name)}, out / VISION)


def share_eye(checkpoint: Path, out: Path, eye: Path) -> None:
    """Copy a checkpoint so that it takes its picture side from the folder `eye` beside `out`.

    Raises:
        ValueError: its picture side is not that one, bit for bit.
    """
    import torch
    from safetensors.torch import load_file

    tensors = load_file(checkpoint / WEIGHTS)
    theirs = load_file(eye / VISION)
    own = {name for name in tensors if is_shared(name)}
    if own != theirs.keys() or not all(torch.equal(tensors[name], theirs[name]) for name in own):
        raise ValueError(f"{checkpoint}: its picture side is not that of {eye}")
    _write(checkpoint, out, tensors, f"../{eye.name}/{VISION}")


def _write(checkpoint: Path, out: Path, tensors: Mapping[str, "torch.Tensor"], vision: str) -> None:
    shutil.copytree(checkpoint, out, ignore=shutil.ignore_patterns(WEIGHTS), dirs_exist_ok=True)
    _save({name: tensor for name, tensor in tensors.items() if not is_shared(name)}, out / TEXT)
    index = {
        "metadata": {"total_size": sum(tensor.nbytes for tensor in tensors.values())},
        "weight_map": {name: vision if is_shared(name) else TEXT for name in sorted(tensors)},
    }
    (out / INDEX).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")


def _save(tensors: Mapping[str, "torch.Tensor"], path: Path) -> None:
    from safetensors.torch import save_file

    save_file(dict(tensors), path, metadata={"format": "pt"})


def main() -> None:
    """Ship a checkpoint."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("name")
    given = parser.parse_args()
    if given.name == EYE:
        split_eye(given.checkpoint, MEMORY_CHECKPOINTS / EYE)
    else:
        share_eye(given.checkpoint, MEMORY_CHECKPOINTS / given.name, MEMORY_CHECKPOINTS / EYE)


if __name__ == "__main__":
    main()
