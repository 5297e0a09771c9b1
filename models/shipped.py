"""The checkpoints that come with Eidolon: trained from scratch on Scenes, each with its model card."""

from pathlib import Path

CHECKPOINTS = Path(__file__).parent / "checkpoints"


def shipped_models() -> dict[str, Path]:
    """Return the shipped VL checkpoints by name, sorted."""
    return {path.parent.name: path.parent for path in sorted(CHECKPOINTS.glob("*/processor_config.json"))}
