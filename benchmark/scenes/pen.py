"""The pen and the colours of Scenes. All coordinates are in units of the tile: `(0, 0)` is its top left corner."""

from typing import TypeAlias

from PIL import ImageDraw

Rgb: TypeAlias = tuple[int, int, int]
Fill: TypeAlias = Rgb | tuple[int, int, int, int]
Point: TypeAlias = tuple[float, float]

COLOURS: dict[str, Rgb] = {
    "red": (205, 40, 40),
    "blue": (45, 85, 200),
    "green": (45, 140, 60),
    "yellow": (235, 200, 40),
    "purple": (130, 60, 160),
    "pink": (235, 130, 170),
    "white": (238, 238, 238),
    "black": (40, 40, 44),
    "brown": (125, 80, 45),
    "grey": (135, 138, 145),
}
INK: Rgb = (25, 25, 28)
SKIN: Rgb = (228, 184, 148)
STEEL: Rgb = (190, 196, 204)
WOOD: Rgb = (150, 100, 58)
CREAM: Rgb = (246, 226, 180)
WHITE: Rgb = (248, 248, 246)
NOTHING: Fill = (0, 0, 0, 0)
"""Erases: the tile becomes transparent."""


def shade(colour: Rgb, factor: float) -> Rgb:
    """Return a colour darkened (factor < 1) or lightened (factor > 1)."""
    r, g, b = (min(255, int(channel * factor)) for channel in colour)
    return r, g, b


class Pen:
    """Draws on a square tile of `side` pixels."""

    def __init__(self, draw: ImageDraw.ImageDraw, side: int) -> None:
        self._draw = draw
        self._side = side

    def _scaled(self, points: list[Point]) -> list[Point]:
        return [(x * self._side, y * self._side) for x, y in points]

    def _width(self, width: float) -> int:
        return max(1, round(width * self._side))

    def polygon(self, points: list[Point], fill: Fill) -> None:
        self._draw.polygon(self._scaled(points), fill=fill)

    def rectangle(self, x0: float, y0: float, x1: float, y1: float, fill: Fill, radius: float = 0.0) -> None:
        (a, b), (c, d) = self._scaled([(x0, y0), (x1, y1)])
        self._draw.rounded_rectangle((a, b, c, d), radius=radius * self._side, fill=fill)

    def ellipse(self, x0: float, y0: float, x1: float, y1: float, fill: Fill) -> None:
        (a, b), (c, d) = self._scaled([(x0, y0), (x1, y1)])
        self._draw.ellipse((a, b, c, d), fill=fill)

    def ring(self, x0: float, y0: float, x1: float, y1: float, colour: Rgb, width: float) -> None:
        (a, b), (c, d) = self._scaled([(x0, y0), (x1, y1)])
        self._draw.ellipse((a, b, c, d), outline=colour, width=self._width(width))

    def pie(self, x0: float, y0: float, x1: float, y1: float, start: float, stop: float, fill: Fill) -> None:
        (a, b), (c, d) = self._scaled([(x0, y0), (x1, y1)])
        self._draw.pieslice((a, b, c, d), start, stop, fill=fill)

    def arc(
        self, x0: float, y0: float, x1: float, y1: float, start: float, stop: float, colour: Rgb, width: float
    ) -> None:
        (a, b), (c, d) = self._scaled([(x0, y0), (x1, y1)])
        self._draw.arc((a, b, c, d), start, stop, fill=colour, width=self._width(width))

    def line(self, points: list[Point], colour: Rgb, width: float) -> None:
        self._draw.line(self._scaled(points), fill=colour, width=self._width(width), joint="curve")
