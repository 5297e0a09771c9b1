"""Finds texts of a figure that overlap, or that are cut off."""

from itertools import combinations
from typing import Any

from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

SLACK = 1.0
"""Pixels: boxes have some air around the letters."""


def text_boxes(figure: Figure) -> list[tuple[str, Bbox]]:
    """Return every text that is drawn, with its box in pixels."""
    figure.draw_without_rendering()
    renderer: Any = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    hidden = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
                if not low <= tick.get_loc() <= high:
                    hidden |= {tick.label1, tick.label2}
    texts = [
        t for t in figure.findobj(Text) if isinstance(t, Text) and t.get_visible() and t.get_text().strip()
    ]
    return [(t.get_text(), t.get_window_extent(renderer)) for t in texts if t not in hidden]


def faults(figure: Figure) -> list[str]:
    """Return what is wrong with the places of a figure's texts."""
    boxes = text_boxes(figure)
    canvas = figure.bbox.padded(SLACK)
    found = [
        f"{text!r} is cut off"
        for text, box in boxes
        if box.x0 < canvas.x0 or box.y0 < canvas.y0 or box.x1 > canvas.x1 or box.y1 > canvas.y1
    ]
    found += [
        f"{one!r} overlaps {other!r}"
        for (one, a), (other, b) in combinations(boxes, 2)
        if a.padded(-SLACK).overlaps(b.padded(-SLACK))
    ]
    for legend in figure.legends:
        area = legend.get_window_extent()
        found += [
            f"the legend covers axes {axes.get_ylabel()!r}"
            for axes in figure.axes
            if area.padded(-SLACK).overlaps(axes.get_window_extent())
        ]
    return found
