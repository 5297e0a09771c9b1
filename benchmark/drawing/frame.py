"""What is around the axes of a figure: the title above, legend and notes below, and tick labels that do not overlap."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from eidolon.benchmark.drawing.style import DIM, Sheet, wrap

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure, SubFigure
    from matplotlib.legend import Legend

MARGIN = 0.06
"""Inches at each side."""
LINE = 1.25
"""Height of a line of text, in sizes of the text."""
GAP = 2.0
"""Least distance between two tick labels, in pixels."""
TRIES = 8
DECIMALS = 6
"""Decimals of the positions of axes, which are shares of the figure: a thousandth of a pixel."""


def new_figure(sheet: Sheet, body: float) -> "Figure":
    """Return an empty figure. `body` is the height of its axes with their labels, in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(sheet.inches, body), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def stacked(figure: "Figure", heights: Sequence[float]) -> "list[SubFigure]":
    """Return parts of a figure one below the other. Their axes are not aligned with each other."""
    return list(figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0])


def finish(
    figure: "Figure",
    sheet: Sheet,
    title: str,
    *,
    notes: Sequence[str] = (),
    legend_of: Iterable["Axes"] = (),
    handles: Sequence[Any] = (),
) -> "Figure":
    """Put the title above the axes, and the legend and the notes below. The figure grows by their height.

    The legend has the lines of some axes and further handles with labels.
    """
    inches = sheet.inches - 2 * MARGIN
    body = figure.get_figheight()
    head = wrap(title, inches, sheet.large)
    foot = "\n".join(wrap(note, inches, sheet.small) for note in notes if note)
    legend = _legend(figure, sheet, legend_of, handles)
    top = MARGIN + _height(head, sheet.large) + MARGIN
    below = MARGIN + (_height(foot, sheet.small) + MARGIN if foot else 0.0)
    key = 0.0
    if legend is not None:
        key = legend.get_window_extent(figure.canvas.get_renderer()).height / figure.dpi  # type: ignore[attr-defined]
    total = top + body + key + below
    figure.set_size_inches(sheet.inches, total)
    left = MARGIN / sheet.inches
    figure.text(left, 1 - MARGIN / total, head, fontsize=sheet.large, va="top", linespacing=LINE)
    if foot:
        figure.text(
            left, MARGIN / total, foot, fontsize=sheet.small, color=DIM, va="bottom", linespacing=LINE
        )
    if legend is not None:
        legend.set_bbox_to_anchor((left, below / total))
    engine: Any = figure.get_layout_engine()
    engine.set(rect=(0, (below + key) / total, 1, body / total))
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            _plain_numbers(axis)
    for _ in range(TRIES):
        figure.draw_without_rendering()
        thinned = [_thin(axis) for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)]
        if not any(thinned):
            break
    _pin(figure)
    return figure


def _pin(figure: "Figure") -> None:
    """Keep the axes where they are, to the decimals that the same figure has in every process.

    The last bits of the layout depend on how memory is aligned, and the names in an SVG are hashes of all bits.
    """
    figure.set_layout_engine("none")
    for axes in figure.axes:
        left, foot, width, height = (round(value, DECIMALS) for value in axes.get_position().bounds)
        axes.set_position((left, foot, width, height))


def _plain_numbers(axis: "Axis") -> None:
    """Write powers of ten as numbers: a logarithmic axis writes formulas, which plots of this program do not parse."""
    from matplotlib.ticker import FuncFormatter, LogFormatter, NullFormatter

    if isinstance(axis.get_major_formatter(), LogFormatter):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.12g}"))
        axis.set_minor_formatter(NullFormatter())


def _height(text: str, points: float) -> float:
    return (text.count("\n") + 1) * points * LINE / 72


def _legend(
    figure: "Figure", sheet: Sheet, legend_of: Iterable["Axes"], handles: Sequence[Any]
) -> "Legend | None":
    """Make the legend of some axes with as many columns as fit. Each label is in it once."""
    known: dict[str, Any] = {handle.get_label(): handle for handle in handles}
    for axes in legend_of:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            known.setdefault(label, handle)
    if not known:
        return None
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    inches = sheet.inches - 2 * MARGIN
    labels = [wrap(label, inches - 0.5, sheet.points) for label in known]
    for columns in range(min(len(known), 5), 0, -1):
        legend = figure.legend(
            [*known.values()], labels, loc="lower left", ncols=columns, borderaxespad=0, borderpad=0.3
        )
        if columns == 1 or legend.get_window_extent(renderer).width / figure.dpi <= inches:
            return legend
        legend.remove()
    return None


def _thin(axis: "Axis") -> bool:
    """Leave out labels of an axis that overlap. Return whether any did."""
    from matplotlib.ticker import FixedLocator, MaxNLocator

    low, high = sorted(axis.get_view_interval())
    shown = [
        (tick.get_loc(), tick.label1)
        for tick in axis.get_major_ticks()
        if low <= tick.get_loc() <= high and tick.label1.get_text() and tick.label1.get_visible()
    ]
    if not _overlap([label for _, label in shown]):
        return False
    if isinstance(axis.get_major_locator(), FixedLocator):
        places = [float(place) for place in axis.get_majorticklocs()]
        kept = {place for place, _ in shown[::2]}
        texts = {place: label.get_text() for place, label in shown}
        axis.set_ticks(places, [texts[place] if place in kept else "" for place in places])
    else:
        axis.set_major_locator(MaxNLocator(nbins=max(len(shown) // 2, 1)))
    return True


def _overlap(labels: Sequence[Any]) -> bool:
    boxes = [label.get_window_extent().padded(GAP / 2) for label in labels]
    return any(one.overlaps(other) for one, other in pairwise(boxes))
