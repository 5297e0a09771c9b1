"""From the bytes of an image file to the picture that models are shown: the first frame, upright, RGB, 8 bits.

A file that does not hold one whole picture is an error; it is never shown in part, and never guessed at.
"""

import io
import os
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

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
"""Of all that Pillow opens: some of the others start programs (EPS: Ghostscript) or are no pictures."""
MOST_PIXELS = 89_478_485
"""What Pillow warns of as a decompression bomb: 256 MiB as RGB. More is an error."""
MOST_BYTES = 1 << 29
"""Of a file; the largest honest one is a fraction of it."""
PAPER = (255, 255, 255)
"""What shines through where a picture is transparent: colours that nobody would see must not be described."""


def read(path: str) -> "Image.Image":
    """Decode an image file. Raises OSError where it cannot be read, else what `decode` raises."""
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode):  # a pipe would be waited for
        raise OSError("is no regular file")
    if found.st_size > MOST_BYTES:
        raise OSError(f"holds more than {MOST_BYTES:,} bytes")
    return decode(Path(path).read_bytes())


def decode(content: bytes) -> "Image.Image":
    """Decode the bytes of an image file.

    Of several frames or pages the first is taken; a rotation note (EXIF) is followed, transparent parts lie on
    white, 16-bit levels are scaled to 8 bits, CMYK is converted without colour profiles.

    Raises:
        ValueError: no image format of those that are read, more than `MOST_PIXELS`, or levels without a scale.
        OSError, SyntaxError and others: whatever Pillow makes of a damaged file.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    Image.init()
    with _in_earnest():
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
            return _on_paper(_eight_bits(ImageOps.exif_transpose(image))).convert("RGB")


@contextmanager
def _in_earnest() -> Iterator[None]:
    """Have Pillow fail on files that are cut off, whatever a plug-in told it; what it would warn of shows in the
    outcome."""
    from PIL import ImageFile

    lenient, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, False
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = lenient


def _on_paper(image: "Image.Image") -> "Image.Image":
    from PIL import Image

    if not image.has_transparency_data:
        return image
    paper = Image.new("RGBA", image.size, (*PAPER, 255))
    return Image.alpha_composite(paper, image.convert("RGBA"))


def _eight_bits(image: "Image.Image") -> "Image.Image":
    """Scale 16-bit grey levels to 8 bits: Pillow's own conversion cuts them off at 255, nearly all to white.

    Floating-point pixels have no scale that a file says; they are refused rather than shown black.
    """
    if image.mode == "F":
        raise ValueError("floating-point pixels have no known range; save the image with 8 bits a channel")
    if image.mode != "I" and not image.mode.startswith("I;16"):
        return image
    import numpy as np
    from PIL import Image

    levels = np.asarray(image).astype(np.int64)
    return Image.fromarray((levels.clip(0, 0xFFFF) >> 8).astype(np.uint8))
