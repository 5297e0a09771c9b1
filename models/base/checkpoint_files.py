"""The files of a checkpoint: those in its folder, and those of another folder that its index of weights names."""

import json
from pathlib import Path

INDEX = "model.safetensors.index.json"
"""Which tensor is in which file, as transformers reads it; a file may stand in a neighbouring folder."""


def checkpoint_files(folder: Path) -> dict[str, Path]:
    """Return what decides what a checkpoint answers, by path from its folder: neither cards nor hidden files."""
    inside = {file.relative_to(folder).as_posix(): file for file in folder.rglob("*")}
    found = _indexed(folder) | inside
    return {
        name: file
        for name, file in sorted(found.items())
        if file.suffix != ".md" and not file.name.startswith(".") and file.is_file()
    }


def _indexed(folder: Path) -> dict[str, Path]:
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        return {str(name): folder / str(name) for name in index["weight_map"].values()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}  # none, or one about which loading it will say more
