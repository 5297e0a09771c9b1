"""Dots with intervals in rows, and lines with intervals: the marks that plots share."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from eidolon.benchmark.drawing.style import BLUE, DIM, Sheet, wrap

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Interval = tuple[float, float]
ROW = 1.9
"""Height of a row, in sizes of the text."""
PADDING = 0.06
"""Space between the outermost mark and the end of an axis, as a share of the range."""


@dataclass(frozen=True, slots=True)
class DotRow:
    """A number with its interval on a line of its own."""

    label: str
    value: float | None
    ci: Interval | None = None
    text: str = ""
    """The text right of the axes."""
    colour: str = BLUE
    marker: str = "o"


def number(value: float | None, ci: Interval | None, digits: int = 3, *, signed: bool = False) -> str:
    """Return a number with its interval as text."""
    if value is None:
        return "undefined"
    sign = "+" if signed else ""
    bounds = "" if ci is None else f" [{ci[0]:{sign}.{digits}f}, {ci[1]:{sign}.{digits}f}]"
    return f"{value:{sign}.{digits}f}{bounds}".replace("-", "\N{MINUS SIGN}")


def rows_height(rows: Sequence[DotRow], sheet: Sheet, label_inches: float) -> float:
    """Return the height that rows need, in inches."""
    lines = [wrap(row.label, label_inches, sheet.points).count("\n") for row in rows]
    return sum(ROW + 1.2 * more for more in lines) * sheet.points / 72


def dot_rows(
    axes: "Axes",
    rows: Sequence[DotRow],
    sheet: Sheet,
    *,
    label_inches: float,
    reference: float | None = None,
    inside: Interval | None = None,
    labels: bool = True,
) -> None:
    """Draw rows of dots with their intervals, from top to bottom, on an axis that is cut to the data.

    `inside` are limits that the axis does not leave. `reference` is a dashed line that is always in view.
    """
    for place, row in enumerate(rows):
        if row.value is None:
            continue
        if row.ci is not None:
            axes.plot(row.ci, [place, place], color=row.colour, lw=1.4, solid_capstyle="butt")
        axes.plot([row.value], [place], row.marker, color=row.colour, ms=4, clip_on=inside is None)
    known = [bound for row in rows if row.value is not None for bound in (row.value, *(row.ci or ()))]
    if reference is not None:
        axes.axvline(reference, color=DIM, lw=0.7, ls="--", zorder=0.5)
        known.append(reference)
    if known:
        axes.set_xlim(*cut(known, inside))
    names = [wrap(row.label, label_inches, sheet.points) for row in rows]
    axes.set_yticks(range(len(rows)), names if labels else [""] * len(rows))
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0, pad=6)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    if any(row.text for row in rows):
        beside(axes, [row.text for row in rows], sheet)


def beside(axes: "Axes", texts: Sequence[str], sheet: Sheet) -> None:
    """Write a text right of each row of the axes."""
    right = axes.twinx()
    right.set_ylim(axes.get_ylim())
    right.set_yticks(range(len(texts)), texts, fontsize=sheet.small)
    right.tick_params(axis="y", length=0, pad=6)
    for spine in right.spines.values():
        spine.set_visible(False)


def cut(values: Sequence[float], inside: Interval | None = None) -> Interval:
    """Return the limits of an axis that shows the values, with some space around them."""
    low, high = min(values), max(values)
    space = PADDING * (high - low) or PADDING * (abs(high) or 1)
    low, high = low - space, high + space
    if inside is not None:
        low, high = max(low, inside[0]), min(high, inside[1])
    return low, high


@dataclass(frozen=True, slots=True)
class Place:
    """A point of a line."""

    x: float
    y: float
    ci: Interval | None = None


def line(
    axes: "Axes",
    places: Sequence[Place],
    label: str,
    *,
    colour: str,
    marker: str = "o",
    dashes: str = "-",
    intervals: bool = True,
) -> None:
    """Draw a line through dots, with a bar for each interval."""
    if not places:
        return
    axes.plot(
        [p.x for p in places], [p.y for p in places], color=colour, marker=marker, ls=dashes, label=label
    )
    if intervals:
        for place in places:
            if place.ci is not None:
                axes.plot([place.x, place.x], place.ci, color=colour, lw=0.9, alpha=0.75)


def band(axes: "Axes", places: Sequence[Place], colour: str) -> None:
    """Shade the intervals of a line."""
    known = [(place.x, *place.ci) for place in places if place.ci is not None]
    if known:
        x, low, high = zip(*known, strict=True)
        axes.fill_between(x, low, high, color=colour, alpha=0.14, lw=0)
