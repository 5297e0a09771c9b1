"""The shipped checkpoints of the memory family. All have the same vision side, whose weights are in one shared file.

    python -m eidolon.models.memory.sharing CHECKPOINT NAME

adds a training's checkpoint to the shipped ones. NAME is its variant, or `eye` for the shared vision side.
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
"""The weights that all share."""
TEXT = "text.safetensors"
"""The other weights of a checkpoint."""


def is_shared(tensor: str) -> bool:
    """Return whether a tensor belongs to the vision side: the vision tower and its projection to the text width."""
    return tensor.startswith(("model.vision_model.", "model.connector."))


def split_eye(checkpoint: Path, out: Path) -> None:
    """Copy the checkpoint of the shared vision side, with that side in a separate file."""
    from safetensors.torch import load_file

    tensors = load_file(checkpoint / WEIGHTS)
    _write(checkpoint, out, tensors, VISION)
    _save({name: tensor for name, tensor in tensors.items() if is_shared(name)}, out / VISION)


def share_eye(checkpoint: Path, out: Path, eye: Path) -> None:
    """Copy a checkpoint so that its vision side is that of the folder `eye`, which is beside `out`.

    Raises:
        ValueError: the two vision sides are not equal bit for bit.
    """
    import torch
    from safetensors.torch import load_file

    tensors = load_file(checkpoint / WEIGHTS)
    shared = load_file(eye / VISION)
    own = {name for name in tensors if is_shared(name)}
    if own != shared.keys() or not all(torch.equal(tensors[name], shared[name]) for name in own):
        raise ValueError(f"{checkpoint}: its vision side differs from that of {eye}")
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
    """Add a checkpoint to the shipped ones."""
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
