"""The lengths of text before the questions, and the longest training text of a shipped model."""

import json
from importlib.resources.abc import Traversable

LENGTHS = (16, 32, 64, 128, 256, 512, 1024, 2048)
"""Tokens of text before the question. Every question is also asked without any text."""
RECIPE = "recipe.json"
"""The file beside the weights of a model that was trained on Scenes."""


def trained_words(checkpoint: Traversable) -> int | None:
    """Return the number of words of the longest training text of a model trained on Scenes; None for other models."""
    if not (checkpoint / RECIPE).is_file():
        return None
    from eidolon.benchmark.scenes.dialogue import Mixture
    from eidolon.benchmark.scenes.dialogue_training import DialogueRecipe

    try:
        fields = json.loads((checkpoint / RECIPE).read_text(encoding="utf-8"))
        shared = {name: fields[name] for name in DialogueRecipe.model_fields if name in fields}
        recipe = DialogueRecipe.model_validate(shared)
    except (ValueError, TypeError):
        return None
    phases = [phase for phase in recipe.training.phases if phase.kind == "dialogue"]
    return max((recipe.mixtures.get(phase.name, Mixture()).max_words for phase in phases), default=None)
