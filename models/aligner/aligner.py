"""`Aligner`: a trained dual encoder behind two functions that return NumPy arrays."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from eidolon.models.aligner.architecture import AlignerArchitecture
from eidolon.models.aligner.checkpoint import load_encoder, save_encoder
from eidolon.models.aligner.pictures import to_tensor
from eidolon.models.aligner.text_features import hash_texts
from eidolon.models.aligner.towers import DualEncoder
from eidolon.models.base.shipped import CHECKPOINTS

SHIPPED = CHECKPOINTS / "aligner"
BATCH = 64


class Aligner:
    """Embeds pictures and texts into one space. It runs on the CPU."""

    def __init__(self, encoder: DualEncoder, name: str = "aligner") -> None:
        self.encoder = encoder.eval()
        self.name = name

    @property
    def logit_scale(self) -> float:
        """Factor of the cosine in the log odds that a text is true of a picture."""
        return float(self.encoder.log_scale.detach().exp())

    @property
    def logit_bias(self) -> float:
        """Summand of these log odds."""
        return float(self.encoder.bias.detach())

    def embed_images(self, images: Sequence[Image.Image]) -> NDArray[np.float32]:
        """Return unit vectors, float32 (images, dimensions). A picture of any size is resized first."""
        found = [
            self.encoder.image(to_tensor(images[start : start + BATCH], self.encoder.architecture))
            for start in self._starts(len(images))
        ]
        return self._joined(found)

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors, float32 (texts, dimensions)."""
        found = [
            self.encoder.text(hash_texts(texts[start : start + BATCH], self.encoder.architecture.buckets))
            for start in self._starts(len(texts))
        ]
        return self._joined(found)

    def log_odds(self, images: NDArray[np.float32], texts: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the log odds that each text is true of each picture, (images, texts), from their vectors."""
        scores: NDArray[np.float32] = self.logit_scale * (images @ texts.T) + self.logit_bias
        return scores.astype(np.float32)

    def save(self, folder: Path) -> None:
        """Write `config.json` and `model.safetensors`, in half precision."""
        save_encoder(folder, self.encoder.architecture, self.encoder)

    @staticmethod
    def _starts(n: int) -> range:
        return range(0, n, BATCH)

    def _joined(self, found: Sequence[torch.Tensor]) -> NDArray[np.float32]:
        if not found:
            return np.zeros((0, self.encoder.architecture.embedding), dtype=np.float32)
        return torch.cat([part.detach() for part in found]).numpy().astype(np.float32)


def load_aligner(folder: Path = SHIPPED) -> Aligner:
    """Return the aligner of a checkpoint folder, by default the shipped one for Scenes.

    Raises:
        UserError: the folder does not exist, is of another kind of model, or its files do not fit each other.
    """
    return Aligner(load_encoder(folder, AlignerArchitecture, DualEncoder, "aligner"), folder.name)
