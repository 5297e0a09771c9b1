"""Registration of the memory family with transformers, for checkpoints that need it."""

import json

from eidolon.scorers.core.input_files import user_path

MODEL_TYPES = ("eidolon_memory", "eidolon_memory_text")


def register_own(checkpoint: str) -> None:
    """Register the memory family's classes if the folder is one of its checkpoints. Imports nothing for others."""
    config = user_path(checkpoint) / "config.json"
    try:
        described = json.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return  # loading the checkpoint will report it
    if isinstance(described, dict) and described.get("model_type") in MODEL_TYPES:
        from eidolon.models.memory.modeling import register

        register()
