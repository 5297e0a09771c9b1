"""`Aligner`: a trained dual encoder behind two functions that return NumPy arrays."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from pydantic import ValidationError

from eidolon.models.aligner.architecture import AlignerArchitecture
from eidolon.models.aligner.pictures import to_tensor
from eidolon.models.aligner.text_features import hash_texts
from eidolon.models.aligner.towers import DualEncoder
from eidolon.models.base.shipped import CHECKPOINTS, NOT_INSTALLED
from eidolon.scorers.core.errors import UserError

CONFIG, WEIGHTS = "config.json", "model.safetensors"
SHIPPED = CHECKPOINTS / "aligner"
SHIPPED_SIGNS = CHECKPOINTS / "aligner-signs"
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
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        (folder / CONFIG).write_text(self.encoder.architecture.model_dump_json(indent=2) + "\n")
        tensors = {name: tensor.half().contiguous() for name, tensor in self.encoder.state_dict().items()}
        save_file(tensors, folder / WEIGHTS)

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
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if folder in (SHIPPED, SHIPPED_SIGNS) and not CHECKPOINTS.is_dir():
        raise UserError(f"aligner: {NOT_INSTALLED}")
    try:
        architecture = AlignerArchitecture.model_validate_json((folder / CONFIG).read_text(encoding="utf-8"))
        encoder = DualEncoder(architecture)
        encoder.load_state_dict(load_file(folder / WEIGHTS))
    except OSError as error:
        raise UserError(
            f"aligner {folder}: {error.strerror or error}; give the folder of an aligner"
        ) from error
    except ValidationError as error:
        problem = error.errors()[0]["msg"]
        raise UserError(
            f"aligner {folder / CONFIG}: is not an aligner's configuration ({problem})"
        ) from error
    except (SafetensorError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"aligner {folder / WEIGHTS}: does not fit {CONFIG} ({reason})") from error
    return Aligner(encoder, folder.name)
