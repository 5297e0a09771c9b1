"""`SignReader`: a trained reader of signs behind functions that return NumPy arrays and words."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from eidolon.models.aligner.checkpoint import load_encoder, save_encoder
from eidolon.models.aligner.pictures import to_tensor
from eidolon.models.aligner.sign_architecture import SignArchitecture
from eidolon.models.aligner.sign_network import SignNetwork
from eidolon.models.aligner.spelling import best_words, spell
from eidolon.models.base.shipped import CHECKPOINTS

SHIPPED_SIGNS = CHECKPOINTS / "aligner-signs"
BATCH = 64


class SignReader:
    """Embeds crops of signs and names into one space, and reads signs. It runs on the CPU."""

    def __init__(self, network: SignNetwork, name: str = "aligner-signs") -> None:
        self.network = network.eval()
        self.name = name

    def embed_images(self, images: Sequence[Image.Image]) -> NDArray[np.float32]:
        """Return vectors, float32 (images, dimensions): unit vectors, or shorter ones where no letter was read."""
        return self._arrays(images, lambda pictures: self.network(pictures)[1])

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors, float32 (texts, dimensions). A text without the letters A to Z has a zero vector."""
        with torch.no_grad():
            found: NDArray[np.float32] = self.network.embed(spell(texts)).numpy()
        return found

    def read(self, images: Sequence[Image.Image]) -> list[str]:
        """Return the most probable word on each crop, in capital letters; it may be empty."""
        with torch.no_grad():
            parts = [best_words(self.network.read(pictures)) for pictures in self._pictures(images)]
        return [word for part in parts for word in part]

    def save(self, folder: Path) -> None:
        """Write `config.json` and `model.safetensors`, in half precision."""
        save_encoder(folder, self.network.architecture, self.network)

    def _pictures(self, images: Sequence[Image.Image]) -> list[Tensor]:
        return [
            to_tensor(images[start : start + BATCH], self.network.architecture)
            for start in range(0, len(images), BATCH)
        ]

    def _arrays(self, images: Sequence[Image.Image], of: Callable[[Tensor], Tensor]) -> NDArray[np.float32]:
        if not images:
            return np.zeros((0, self.network.embedding), dtype=np.float32)
        with torch.no_grad():
            found: NDArray[np.float32] = torch.cat([of(part) for part in self._pictures(images)]).numpy()
        return found


def load_sign_reader(folder: Path = SHIPPED_SIGNS) -> SignReader:
    """Return the reader of a checkpoint folder, by default the shipped one for the signs of Scenes.

    Raises:
        UserError: the folder does not exist, is of another kind of model, or its files do not fit each other.
    """
    return SignReader(load_encoder(folder, SignArchitecture, SignNetwork, "reader of signs"), folder.name)
