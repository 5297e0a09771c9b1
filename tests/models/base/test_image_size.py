import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from eidolon.models.base.image_size import fit_pixels

SIDES = st.integers(1, 400)


@example(width=103, height=103, limit=1)
@given(width=SIDES, height=SIDES, limit=st.integers(1, 50_000))
def test_at_most_the_limit_and_the_same_aspect_ratio(width: int, height: int, limit: int) -> None:
    small = fit_pixels(Image.new("RGB", (width, height)), limit)
    assert 1 <= small.width * small.height <= max(limit, 1)
    if width * height <= limit:
        assert small.size == (width, height)
        return
    assert small.width <= width
    assert small.height <= height
    # Each side is within one pixel of the exact one, unless the shorter would have less than one pixel.
    scale = (limit / (width * height)) ** 0.5
    if min(width, height) * scale >= 1:
        assert abs(small.width - width * scale) <= 1
        assert abs(small.height - height * scale) <= 1


def test_no_limit_is_no_change() -> None:
    picture = Image.new("RGB", (300, 200))
    assert fit_pixels(picture, None) is picture
    assert fit_pixels(picture, 60_000) is picture


def test_every_mode_is_scaled_smoothly() -> None:
    """A chequered image becomes grey, not black or white, in every mode."""
    chequered = np.indices((64, 64)).sum(axis=0) % 2 * 255
    for mode in ("L", "RGB", "RGBA", "P", "1"):
        picture = Image.fromarray(chequered.astype(np.uint8)).convert(mode)
        small = np.asarray(fit_pixels(picture, 256).convert("L"))
        assert small.shape == (16, 16)
        assert abs(small.astype(int) - 128).max() < 30
