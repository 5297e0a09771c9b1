"""The checkpoints that come with Eidolon: trained from scratch on Scenes, each with its model card."""

import json
from importlib.util import find_spec
from pathlib import Path

PACKAGE = "eidolon_checkpoints"
NOT_INSTALLED = (
    "the package eidolon-checkpoints, which holds the shipped models, is not installed; "
    "in a checkout of Eidolon: pip install ./models/checkpoints"
)


def _find() -> Path:
    """Return the folder of the checkpoints: in a checkout the one beside the code, else the installed package.

    The checkout comes first because its code and its checkpoints belong together, whatever is installed. Where
    there is neither, the folder does not exist.
    """
    beside = Path(__file__).parent.parent / "checkpoints"
    if not beside.is_dir() and (package := find_spec(PACKAGE)) and package.submodule_search_locations:
        return Path(package.submodule_search_locations[0])
    return beside


CHECKPOINTS = _find()
RECIPE = "recipe.json"
"""The file of a checkpoint that `eidolon train` made."""
TRAINED_ON = "scenes"
"""The dataset that every recipe of `eidolon train` draws its texts and pictures from."""
MEMORY_CHECKPOINTS = CHECKPOINTS / "memory"
EYE = "eye"
"""The checkpoint with the vision side that all models of the memory family share. It is not a model by itself."""


def shipped_models() -> dict[str, Path]:
    """Return the shipped VL checkpoints by name, sorted."""
    return {path.parent.name: path.parent for path in sorted(CHECKPOINTS.glob("*/processor_config.json"))}


def memory_models() -> dict[str, Path]:
    """Return the shipped checkpoints of the memory family by variant, sorted."""
    found = (path.parent for path in sorted(MEMORY_CHECKPOINTS.glob("*/processor_config.json")))
    return {folder.name: folder for folder in found if folder.name != EYE}


def describe(checkpoint: Path) -> str:
    """Return the first sentence of a checkpoint's model card, empty where it has none."""
    try:
        card = (checkpoint / "README.md").read_text(encoding="utf-8")
    except OSError:
        return ""
    _, _, body = card.partition("\n# ")
    paragraph = " ".join(body.partition("\n\n")[2].partition("\n\n")[0].split())
    return paragraph.partition(". ")[0].rstrip(".")


def shipped_judges() -> dict[str, Path]:
    """Return the shipped language models that answer a judge's questions by name, sorted."""
    return {
        path.parent.name: path.parent
        for path in sorted(CHECKPOINTS.glob("*/config.json"))
        if json.loads(path.read_text(encoding="utf-8")).get("model_type") == "t5"
    }
