"""A trained model of the memory family, described without loading it."""

from dataclasses import dataclass
from importlib.resources.abc import Traversable
from pathlib import Path

from eidolon.models.memory.layout import Memory

CONFIG = "config.json"


@dataclass(frozen=True, slots=True)
class TrainedCheckpoint:
    """One checkpoint, described without loading it."""

    variant: str
    folder: Traversable
    """The checkpoint; inside an archive, all of it except the weights."""
    memory: Memory
    seed: int
    """Seed of the weights from the recipe. Without a recipe, the number of the checkpoint in its variant."""
    trained_words: int | None
    """Words of the longest training text, if known."""
    digest: str
    """SHA-256 of weights and configuration."""
    archive: Path | None = None
    """The archive of its measurements, if the weights are not here."""
    data_seed: int | None = None
    """Seed of the training scenes, if known."""

    @property
    def name(self) -> str:
        """Variant and seed."""
        return f"{self.variant}-s{self.seed}"
