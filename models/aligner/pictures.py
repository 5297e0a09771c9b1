"""Pictures as the image encoder reads them."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor


class PictureSize(Protocol):
    """The size that an encoder reads, in pixels."""

    @property
    def height(self) -> int:
        """Rows."""
        ...

    @property
    def width(self) -> int:
        """Columns."""
        ...


def to_tensor(images: Sequence[Image.Image], wanted: PictureSize) -> Tensor:
    """Return pictures of any size as uint8 (n, 3, height, width). The ratio of the sides is not kept."""
    size = (wanted.width, wanted.height)
    # BOX averages the pixels of a larger picture exactly; a smaller one needs interpolation.
    arrays = [
        np.asarray(
            image.convert("RGB").resize(
                size,
                Image.Resampling.BOX
                if image.width >= size[0] and image.height >= size[1]
                else Image.Resampling.BILINEAR,
            )
        )
        for image in images
    ]
    if not arrays:
        return torch.zeros((0, 3, size[1], size[0]), dtype=torch.uint8)
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2)
