"""What an image encoder and a dual encoder offer."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL import Image

Embeddings = NDArray[np.float32]
"""Shape (n, width), each row of length 1."""


class ImageEncoder(Protocol):
    """Embeds images."""

    def embed_images(self, images: "Sequence[Image.Image]") -> Embeddings:
        """Return an embedding of each image, shape (n, width)."""
        ...


class TwoTowers(ImageEncoder, Protocol):
    """Embeds images and texts in one space (CLIP, Radford et al. 2021; SigLIP, Zhai et al. 2023)."""

    @property
    def logit_scale(self) -> float:
        """The factor of a cosine in the logit of the training loss."""
        ...

    @property
    def logit_bias(self) -> float | None:
        """The term beside it where the loss is a sigmoid for each pair; None where it is a softmax."""
        ...

    def embed_texts(self, texts: Sequence[str]) -> Embeddings:
        """Return an embedding of each text, shape (n, width)."""
        ...
