"""`retention.png`: retention, accuracy and margin by condition and length, and the rate of yes answers."""

import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from eidolon.benchmark.tasks.forget.retention.detail import RetentionDetail
from eidolon.benchmark.terminal.safe_text import one_line
from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.retention.measure import RetentionAtLength, Series
from eidolon.scorers.retention.records import Condition

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINES: dict[tuple[Condition, Series], tuple[str, str, str]] = {
    ("own", "unnamed"): ("own description", "#c0392b", "-"),
    ("filler", "unnamed"): ("filler", "#2471a3", "-"),
    ("other", "unnamed"): ("another image's, objects it does not name", "#d68910", "-"),
    ("other", "named"): ("another image's, objects it names", "#d68910", ":"),
    ("before", "unnamed"): ("control: filler before the picture", "#27ae60", "--"),
    ("filler", "text"): ("control: fact told in the prompt, after filler", "#555555", "--"),
}
LEAST_IMAGES = 8
"""Points with fewer images are not plotted; `retention.json` has them."""
LOWEST, HIGHEST = -0.3, 1.5
"""The limits of the retention axis. Intervals may exceed them."""
DPI = 110


def draw_retention(detail: RetentionDetail, name: str) -> bytes:
    """Return the plot as a PNG. The same detail gives the same bytes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 7.5), layout="constrained")
    grid = figure.subplot_mosaic([["kept", "accuracy"], ["margin", "yes"]], height_ratios=[1.25, 1])
    figure.suptitle(f"{one_line(name)}: what is left of the picture after n tokens of text", fontsize=13)
    kept, accuracy, margin, yes = (grid[key] for key in ("kept", "accuracy", "margin", "yes"))
    _draw(kept, detail, lambda point: point.retention, "R(n) / R(0), R = 2·accuracy - 1")
    kept.axhline(1, color="#333", lw=0.8, ls="--")
    kept.axhline(0, color="#333", lw=0.8)
    kept.set(ylim=(LOWEST, HIGHEST), title="Retention")
    if detail.trained_tokens is not None and detail.extrapolated(max(detail.lengths)):
        kept.text(
            detail.trained_tokens * 1.05, 0.93, "longer than any training text", fontsize=8, color="#555",
            transform=kept.get_xaxis_transform(),
        )  # fmt: skip
    if len(kept.lines) == 2:  # only the two reference lines
        kept.text(0.5, 0.5, "not measured: see retention.json", ha="center", transform=kept.transAxes)
    _draw(accuracy, detail, lambda point: point.accuracy, "share of answers that are right")
    accuracy.axhline(0.5, color="#333", lw=0.8, ls="--")
    accuracy.set(ylim=(0, 1.02), title="Accuracy, half of the answers yes")
    _draw(margin, detail, lambda point: point.margin, "nats, true minus false answer")
    margin.axhline(0, color="#333", lw=0.8)
    margin.set(title="Margin")
    _draw(yes, detail, lambda point: point.yes_rate, "share answered yes")
    yes.set(ylim=(0, 1.02), title="Yes is answered")
    handles, labels = accuracy.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=DPI, metadata={"Software": None})
    return stream.getvalue()


def _draw(
    axes: "Axes", detail: RetentionDetail, quantity: Callable[[RetentionAtLength], Estimate], label: str
) -> None:
    for (condition, series), (name, colour, style) in LINES.items():
        shown = [
            (point, number)
            for point in detail.points
            if (point.condition, point.series) == (condition, series)
            and point.images >= LEAST_IMAGES
            and (number := quantity(point)).value is not None
        ]
        if not shown:
            continue
        x = [point.n for point, _ in shown]
        axes.plot(
            x,
            [number.value or 0.0 for _, number in shown],
            color=colour,
            ls=style,
            marker="o",
            ms=3.5,
            lw=1.6,
            label=name,
        )
        _band(axes, x, [number for _, number in shown], colour)
    if detail.lengths:
        _lengths(axes, detail)
    axes.set(xlabel="tokens between picture and question", ylabel=label)
    axes.grid(alpha=0.2)


def _lengths(axes: "Axes", detail: RetentionDetail) -> None:
    """Set up the axis of lengths, with a grey background beyond the training length."""
    axes.set_xscale("log", base=2)
    axes.set_xlim(min(detail.lengths) / 1.3, max(detail.lengths) * 1.3)
    axes.set_xticks(detail.lengths, [str(n) for n in detail.lengths], fontsize=8)
    axes.minorticks_off()
    if detail.trained_tokens is not None and detail.extrapolated(max(detail.lengths)):
        axes.axvspan(detail.trained_tokens, max(detail.lengths) * 1.3, color="#000", alpha=0.06, lw=0)


def _band(axes: "Axes", x: Sequence[int], numbers: Sequence[Estimate], colour: str) -> None:
    bands = [(at, *number.ci) for at, number in zip(x, numbers, strict=True) if number.ci is not None]
    if bands:
        at, low, high = zip(*bands, strict=True)
        axes.fill_between(at, low, high, color=colour, alpha=0.13, lw=0)
