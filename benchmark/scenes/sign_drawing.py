"""Draws a sign: a name in a typeface, in two colours, mostly with a mark.

The typefaces are those that matplotlib and Pillow ship. Two versions of them may draw a sign a little differently.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TypeAlias

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from eidolon.benchmark.scenes.pen import COLOURS, Pen, Rgb, shade

TYPEFACES: tuple[str | None, ...] = (
    "DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic",
    "DejaVuSansMono-Bold", "STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "cmss10", "cmr10", "cmtt10", "cmb10",
    None,
)  # fmt: skip
"""Files of matplotlib; None is Pillow's own typeface."""
ASPECT = 3.0
"""Width of a sign over its height."""
LEAST_CONTRAST = 90
"""Smallest difference of the brightness of the two colours, of 255."""
SCALE = 2
"""A sign is drawn at this multiple of its size and then reduced."""

Font: TypeAlias = ImageFont.FreeTypeFont | ImageFont.ImageFont


def _disc(p: Pen, c: Rgb) -> None:
    p.ellipse(0.1, 0.1, 0.9, 0.9, c)


def _hoop(p: Pen, c: Rgb) -> None:
    p.ring(0.1, 0.1, 0.9, 0.9, c, 0.16)


def _triangle(p: Pen, c: Rgb) -> None:
    p.polygon([(0.5, 0.1), (0.95, 0.9), (0.05, 0.9)], c)


def _diamond(p: Pen, c: Rgb) -> None:
    p.polygon([(0.5, 0.05), (0.95, 0.5), (0.5, 0.95), (0.05, 0.5)], c)


def _bars(p: Pen, c: Rgb) -> None:
    for y in (0.1, 0.42, 0.74):
        p.rectangle(0.1, y, 0.9, y + 0.17, c)


def _wave(p: Pen, c: Rgb) -> None:
    p.line([(0.05, 0.65), (0.28, 0.35), (0.5, 0.65), (0.72, 0.35), (0.95, 0.65)], c, 0.14)


MARKS: tuple[Callable[[Pen, Rgb], None], ...] = (_disc, _hoop, _triangle, _diamond, _bars, _wave)


@cache
def _font(name: str | None, size: int) -> Font:
    if name is None:
        return ImageFont.load_default(size)
    import matplotlib

    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf"
    return ImageFont.truetype(str(path), size)


def draw_sign(name: str, rng: np.random.Generator, height: int) -> Image.Image:
    """Return a sign that bears the name: RGB, `height` pixels high and ASPECT times as wide.

    Each call chooses typeface, colours and mark again. So they do not identify a name; only its letters do.
    """
    h = height * SCALE
    w = round(h * ASPECT)
    back, front = _colours(rng)
    sign = Image.new("RGB", (w, h), back)
    draw = ImageDraw.Draw(sign)
    if rng.random() < 0.5:
        draw.rectangle((h // 24, h // 24, w - 1 - h // 24, h - 1 - h // 24), outline=front, width=h // 30 + 1)
    left = h // 8
    if rng.random() < 0.6:
        side = round(h * rng.uniform(0.4, 0.55))
        tile = Image.new("RGBA", (side, side))
        MARKS[rng.integers(len(MARKS))](Pen(ImageDraw.Draw(tile), side), shade(front, rng.uniform(0.8, 1.2)))
        sign.paste(tile, (left, (h - side) // 2), tile)
        left += side + h // 12
    _write(draw, name, TYPEFACES[rng.integers(len(TYPEFACES))], (left, w - h // 8, h), front, rng)
    return sign.resize((round(height * ASPECT), height), Image.Resampling.BOX)


def _write(
    draw: ImageDraw.ImageDraw,
    name: str,
    typeface: str | None,
    space: tuple[int, int, int],
    colour: Rgb,
    rng: np.random.Generator,
) -> None:
    """Write the name centred between left and right, as large as fits into the width and 0.5 to 0.7 of the height."""
    left, right, height = space
    measured = _font(typeface, 100).getbbox(name)
    size = min((right - left) / (measured[2] - measured[0]), rng.uniform(0.5, 0.7) * height / 75)
    font = _font(typeface, max(6, int(100 * size)))
    x0, y0, x1, y1 = font.getbbox(name)
    x = left + (right - left - (x1 - x0)) / 2 - x0
    draw.text((x, (height - (y1 - y0)) / 2 - y0), name, font=font, fill=colour)


def _colours(rng: np.random.Generator) -> tuple[Rgb, Rgb]:
    paints = list(COLOURS.values())
    while True:
        back, front = (paints[i] for i in rng.permutation(len(paints))[:2])
        if abs(sum(back) - sum(front)) / 3 >= LEAST_CONTRAST:
            return back, front


def crop(name: str, rng: np.random.Generator, height: int = 40) -> Image.Image:
    """Return a sign as a detector would cut it out: a bit too large or too small, tilted, with light and noise."""
    sign = draw_sign(name, rng, height)
    around = COLOURS[str(rng.choice(list(COLOURS)))]
    tilted = sign.rotate(
        float(rng.normal(0, 2)), resample=Image.Resampling.BILINEAR, expand=True, fillcolor=around
    )
    dx, dy = rng.uniform(-0.03, 0.03, 2) * (tilted.width, tilted.height)
    box = (dx, dy, tilted.width + dx, tilted.height + dy)
    moved = tilted.transform(
        tilted.size, Image.Transform.EXTENT, box, Image.Resampling.BILINEAR, fillcolor=around
    )
    pixels = np.asarray(moved, dtype=np.float32) * rng.uniform(0.85, 1.1) + rng.normal(0, 6, (1, 1, 3))
    pixels = pixels + rng.normal(0, 6, pixels.shape)
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))
