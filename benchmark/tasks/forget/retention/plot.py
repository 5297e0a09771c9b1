"""`retention.png`: retention, accuracy and margin by condition and length, and the rate of yes answers."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from eidolon.benchmark.drawing.frame import finish, new_figure
from eidolon.benchmark.drawing.marks import Place, band, line
from eidolon.benchmark.drawing.style import (
    BLUE,
    DIM,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    SCREEN,
    VERMILION,
    Sheet,
    png,
    short,
)
from eidolon.benchmark.tasks.forget.retention.detail import RetentionDetail
from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.retention.measure import RetentionAtLength, Series
from eidolon.scorers.retention.records import Condition

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Quantity = Callable[[RetentionAtLength], Estimate]

LINES: dict[tuple[Condition, Series], tuple[str, str, str]] = {
    ("own", "unnamed"): ("own description", VERMILION, "-"),
    ("filler", "unnamed"): ("filler", BLUE, "-"),
    ("other", "unnamed"): ("another image's, objects it does not name", ORANGE, "-"),
    ("other", "named"): ("another image's, objects it names", PURPLE, ":"),
    ("before", "unnamed"): ("control: filler before the picture", GREEN, "--"),
    ("filler", "text"): ("control: fact told in the prompt, after filler", INK, "--"),
}
MARKERS = dict(zip(LINES, "osD^vX", strict=True))
LEAST_IMAGES = 8
"""Points with fewer images are not plotted; `retention.json` has them."""
LOWEST, HIGHEST = -0.3, 1.5
"""The widest retention axis. Intervals may exceed it."""
SPREAD = 0.06
"""Distance between the lines at one length, in factors of two."""


def draw_retention(detail: RetentionDetail, name: str) -> bytes:
    """Return the plot as a PNG. The same detail gives the same bytes."""
    return png(lambda: retention_panels(detail, name, SCREEN))


def retention_panels(detail: RetentionDetail, name: str, sheet: Sheet) -> "Figure":
    """Return retention, accuracy, margin and the rate of yes answers by length."""
    figure = new_figure(sheet, 4.6)
    grid = figure.subplot_mosaic([["kept", "accuracy"], ["margin", "yes"]], height_ratios=[1.25, 1])
    kept, accuracy, margin, yes = (grid[key] for key in ("kept", "accuracy", "margin", "yes"))
    _retention(kept, detail)
    kept.set(title="Retention")
    _draw(accuracy, detail, lambda point: point.accuracy, "right answers, share")
    accuracy.axhline(0.5, color=DIM, lw=0.7, ls="--")
    accuracy.set(ylim=(accuracy.get_ylim()[0], 1.02), title="Accuracy; half of the right answers are yes")
    _draw(margin, detail, lambda point: point.margin, "nats, true minus false")
    margin.axhline(0, color=DIM, lw=0.7, ls="--")
    margin.set(title="Margin")
    _draw(yes, detail, lambda point: point.yes_rate, "answered yes, share")
    yes.axhline(0.5, color=DIM, lw=0.7, ls="--")
    yes.set(title="Yes is answered")
    return finish(
        figure, sheet, f"{short(name)}: {finding(detail)}", notes=_notes(detail), legend_of=[kept, accuracy]
    )


def retention_figure(detail: RetentionDetail, name: str, sheet: Sheet) -> "Figure":
    """Return retention by length."""
    figure = new_figure(sheet, 2.6)
    axes = figure.subplots()
    _retention(axes, detail)
    return finish(figure, sheet, f"{short(name)}: {finding(detail)}", notes=_notes(detail), legend_of=[axes])


def why_no_retention(detail: RetentionDetail) -> str | None:
    """Return why retention cannot be drawn, None if it can."""
    if any(p.retention.value is not None and p.images >= LEAST_IMAGES for p in detail.points):
        return None
    reason = next((p.reason for p in detail.points if p.reason), None)
    return f"no length has a retention of {LEAST_IMAGES} images{f': {reason}' if reason else ''}"


def finding(detail: RetentionDetail) -> str:
    """Return what the measurement found, in words."""
    for verdict, words in (
        ("forgot the image", "forgets the picture"),
        ("cannot answer at this length", "cannot answer at this length, whatever it was shown"),
        ("fell, cause open", "knows less of the picture, for a reason that is open"),
    ):
        found = [f for f in detail.findings if f.verdict == verdict]
        if found:
            first = min(found, key=lambda f: f.n)
            longer = ", more than in any training text," if detail.extrapolated(first.n) else ""
            return (
                f"after {first.n} tokens of text ({LINES[first.condition, 'unnamed'][0]}){longer} it {words}"
            )
    lengths = [f.n for f in detail.findings if f.verdict == "no fall seen"]
    if lengths:
        return f"up to {max(lengths)} tokens of text, no loss of the picture is seen"
    return "retention was not measured"


def _notes(detail: RetentionDetail) -> list[str]:
    beyond = detail.trained_tokens is not None and detail.extrapolated(max(detail.lengths, default=0))
    return [
        f"n = {detail.images} images; 95 % intervals. Retention is R(n) / R(0), R = 2·accuracy - 1; 0 is chance. "
        f"Points of fewer than {LEAST_IMAGES} images are left out."
        + (f" Grey: texts longer than the {detail.trained_tokens} tokens of training." if beyond else "")
    ]


def _retention(axes: "Axes", detail: RetentionDetail) -> None:
    _draw(axes, detail, lambda point: point.retention, "R(n) / R(0)")
    low, high = axes.get_ylim()
    axes.axhline(1, color=DIM, lw=0.7, ls="--")
    if low < 0.15:
        axes.axhline(0, color=DIM, lw=0.7)
    axes.set_ylim(max(low, LOWEST), min(max(high, 1.05), HIGHEST))
    if not axes.get_legend_handles_labels()[0]:
        axes.text(0.5, 0.5, "not measured: see retention.json", ha="center", transform=axes.transAxes)


def _draw(axes: "Axes", detail: RetentionDetail, quantity: Quantity, label: str) -> None:
    for shift, (key, (name, colour, dashes)) in enumerate(LINES.items()):
        places = [
            Place(point.n * 2 ** (SPREAD * (shift - 2.5)), number.value, number.ci)
            for point in detail.points
            if (point.condition, point.series) == key
            and point.images >= LEAST_IMAGES
            and (number := quantity(point)).value is not None
        ]
        line(axes, places, name, colour=colour, marker=MARKERS[key], dashes=dashes, intervals=False)
        band(axes, places, colour)
    if detail.lengths:
        _lengths(axes, detail)
    axes.set(xlabel="tokens between picture and question", ylabel=label)
    axes.grid(axis="y")


def _lengths(axes: "Axes", detail: RetentionDetail) -> None:
    """Set up the axis of lengths, with a grey background beyond the training length."""
    axes.set_xscale("log", base=2)
    axes.set_xlim(min(detail.lengths) / 1.3, max(detail.lengths) * 1.3)
    axes.set_xticks(detail.lengths, [str(n) for n in detail.lengths])
    axes.minorticks_off()
    if detail.trained_tokens is not None and detail.extrapolated(max(detail.lengths)):
        axes.axvspan(detail.trained_tokens, max(detail.lengths) * 1.3, color=INK, alpha=0.07, lw=0)
