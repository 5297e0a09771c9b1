"""Decodes image files to the image that models get: the first frame, upright, RGB, 8 bits a channel.

A damaged file is an error. No part of its image is used.
"""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from eidolon.scorers.core.input_files import read_regular

if TYPE_CHECKING:
    from PIL import Image

FORMATS = (
    "AVIF",
    "BMP",
    "GIF",
    "HEIF",
    "JPEG",
    "JPEG2000",
    "PNG",
    "PPM",
    "QOI",
    "TGA",
    "TIFF",
    "WEBP",
)
"""The formats that are read. Others that Pillow opens start programs (EPS: Ghostscript) or are not images."""
MOST_PIXELS = 89_478_485
"""The largest image, 256 MiB as RGB. Pillow warns of a decompression bomb above it; here it is an error."""
MOST_BYTES = 1 << 29
"""The largest file. Real images are much smaller."""
BACKGROUND = (255, 255, 255)
"""What transparent parts are composed on. The colours below full transparency are invisible to people, and must not
reach a model."""


def read(path: str) -> "Image.Image":
    """Return the decoded image of a file.

    Raises:
        OSError: the file cannot be read, is no regular file, or is larger than `MOST_BYTES`.
        ValueError, SyntaxError and others: as `decode`.
    """
    return decode(read_regular(Path(path), MOST_BYTES))


def decode(content: bytes) -> "Image.Image":
    """Return the decoded image of a file's bytes.

    It is the first frame or page, turned upright by its EXIF orientation. Transparent parts become white, 16-bit levels
    are scaled to 8 bits, and CMYK is converted without colour profiles.

    Raises:
        ValueError: the format is not one of `FORMATS`, the image has more than `MOST_PIXELS`, or its pixels are
            floating-point numbers.
        OSError, SyntaxError and others: what Pillow raises for a damaged file.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    Image.init()
    with _strict_pillow():
        try:
            opened = Image.open(io.BytesIO(content), formats=[name for name in FORMATS if name in Image.OPEN])
        except UnidentifiedImageError:
            raise ValueError(
                "is empty" if not content else f"is in none of the image formats {', '.join(FORMATS)}"
            ) from None
        with opened as image:
            if (pixels := image.width * image.height) > MOST_PIXELS:
                raise ValueError(
                    f"has {image.width} x {image.height} = {pixels:,} pixels, more than {MOST_PIXELS:,}"
                )
            image.load()
            return _without_transparency(_eight_bits(ImageOps.exif_transpose(image))).convert("RGB")


@contextmanager
def _strict_pillow() -> Iterator[None]:
    """Make Pillow fail on truncated files, even if other code told it to accept them, and keep its warnings silent."""
    from PIL import ImageFile

    lenient, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, False
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = lenient


def _without_transparency(image: "Image.Image") -> "Image.Image":
    from PIL import Image

    if not image.has_transparency_data:
        return image
    background = Image.new("RGBA", image.size, (*BACKGROUND, 255))
    return Image.alpha_composite(background, image.convert("RGBA"))


def _eight_bits(image: "Image.Image") -> "Image.Image":
    """Scale 16-bit grey levels to 8 bits. Pillow's own conversion clips them at 255, which turns nearly all white.

    Floating-point pixels are refused: the file does not say their range.
    """
    if image.mode == "F":
        raise ValueError("floating-point pixels have no known range; save the image with 8 bits a channel")
    if image.mode != "I" and not image.mode.startswith("I;16"):
        return image
    import numpy as np
    from PIL import Image

    levels = np.asarray(image).astype(np.int64)
    return Image.fromarray((levels.clip(0, 0xFFFF) >> 8).astype(np.uint8))
