"""Pictures no larger than the user wants them."""

from math import sqrt

from PIL import Image


def fit_pixels(image: Image.Image, max_pixels: int | None) -> Image.Image:
    """Return a picture of at most so many pixels: itself, or a smaller one of the same shape.

    The sides are rounded down, to at least 1. Downsampling is Lanczos', whatever the mode allows.
    """
    width, height = image.size
    if max_pixels is None or width * height <= max_pixels:
        return image
    scale = sqrt(max_pixels / (width * height))
    small = max(1, int(min(width, height) * scale))
    large = min(int(max(width, height) * scale), max_pixels // small)
    size = (large, small) if width >= height else (small, large)
    smooth = image if image.mode in ("L", "RGB", "RGBA") else image.convert("RGB")
    return smooth.resize(size, Image.Resampling.LANCZOS)
