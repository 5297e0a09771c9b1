"""Scaling images down to the user's limit."""

from math import sqrt

from PIL import Image


def fit_pixels(image: Image.Image, max_pixels: int | None) -> Image.Image:
    """Return an image of at most `max_pixels` pixels: the image itself, or one scaled down with its aspect ratio.

    None is no limit. Sides are rounded down, to at least 1. The filter is Lanczos; modes other than L, RGB and RGBA
    are converted to RGB for it.
    """
    width, height = image.size
    if max_pixels is None or width * height <= max_pixels:
        return image
    scale = sqrt(max_pixels / (width * height))
    small = max(1, int(min(width, height) * scale))
    large = max(1, min(int(max(width, height) * scale), max_pixels // small))
    size = (large, small) if width >= height else (small, large)
    smooth = image if image.mode in ("L", "RGB", "RGBA") else image.convert("RGB")
    return smooth.resize(size, Image.Resampling.LANCZOS)
