"""How far from the picture is asked, and how far a shipped model has ever been."""

import json
from pathlib import Path

LENGTHS = (16, 32, 64, 128, 256, 512, 1024, 2048)
"""Tokens of text before the question, beside none."""
RECIPE = "recipe.json"
"""Lies beside the weights of a model that was trained on Scenes."""


def trained_words(checkpoint: Path) -> int | None:
    """Return the words of the longest text that a model trained on Scenes has read; None for other models."""
    if not (checkpoint / RECIPE).is_file():
        return None
    from eidolon.benchmark.scenes.dialogue import Mixture
    from eidolon.benchmark.scenes.dialogue_training import DialogueRecipe

    try:
        told = json.loads((checkpoint / RECIPE).read_text(encoding="utf-8"))
        shared = {name: told[name] for name in DialogueRecipe.model_fields if name in told}
        recipe = DialogueRecipe.model_validate(shared)
    except (ValueError, TypeError):
        return None
    phases = [phase for phase in recipe.training.phases if phase.kind == "dialogue"]
    return max((recipe.mixtures.get(phase.name, Mixture()).max_words for phase in phases), default=None)
