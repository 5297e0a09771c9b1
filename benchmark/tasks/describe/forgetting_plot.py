"""`forgetting.png`: the rate of hallucination over a response with its controls, and the adjusted odds ratios."""

import io
from collections.abc import Iterable
from typing import TYPE_CHECKING

from eidolon.benchmark.terminal.safe_text import one_line
from eidolon.scorers.forgetting.curves import RateCurve, RatePoint
from eidolon.scorers.forgetting.detail import ForgettingDetail
from eidolon.scorers.forgetting.fits import Fit
from eidolon.scorers.forgetting.subsets import ALL, FIRST, REPEATED, SURVIVORS_FIRST, UNEXHAUSTED_FIRST

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEAST_MENTIONS = 10
"""Points of fewer mentions are left out of the plot; `forgetting.json` has them."""
COLOURS = {
    FIRST.label: "#c0392b",
    ALL.label: "#7f8c8d",
    REPEATED.label: "#8e44ad",
    UNEXHAUSTED_FIRST.label: "#2471a3",
    SURVIVORS_FIRST.label: "#d68910",
}
DPI = 110


def draw_forgetting(detail: ForgettingDetail, name: str) -> bytes:
    """Return the plot as a PNG, the same bytes for the same detail."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 8), layout="constrained")
    grid = figure.subplot_mosaic(
        [["rate", "tenths"], ["counts", "odds"]], height_ratios=[2.2, 1], width_ratios=[1.35, 1]
    )
    figure.suptitle(f"{one_line(name)}: hallucination over the length of a response", fontsize=13)
    _rates(grid["rate"], [line for line in detail.curves if line.unit == "words" and line.label != ALL.label])
    _counts(grid["counts"], _find(detail.curves, FIRST.label, "words"), grid["rate"])
    _tenths(grid["tenths"], detail.curves)
    _odds(grid["odds"], [detail.adjusted, *detail.sensitivity])
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=DPI, metadata={"Software": None})
    return stream.getvalue()


def _find(curves: Iterable[RateCurve], label: str, unit: str) -> RateCurve | None:
    return next((line for line in curves if (line.label, line.unit) == (label, unit)), None)


def _shown(curve: RateCurve) -> list[tuple[RatePoint, float]]:
    return [
        (point, point.rate)
        for point in curve.points
        if point.rate is not None and point.mentions >= LEAST_MENTIONS
    ]


def _middle(point: RatePoint) -> float:
    return point.start if point.end is None else (point.start + point.end) / 2


def _line(axes: "Axes", curve: RateCurve, *, band: bool) -> None:
    shown = _shown(curve)
    x = [_middle(point) for point, _ in shown]
    colour = COLOURS[curve.label]
    axes.plot(x, [rate for _, rate in shown], marker="o", ms=3.5, lw=1.6, color=colour, label=curve.label)
    if band:
        bands = [(at, *point.rate_ci) for at, (point, _) in zip(x, shown, strict=True) if point.rate_ci]
        if bands:
            at, low, high = zip(*bands, strict=True)
            axes.fill_between(at, low, high, color=colour, alpha=0.15, lw=0)


def _rates(axes: "Axes", curves: list[RateCurve]) -> None:
    for line in curves:
        _line(axes, line, band=line.label in (FIRST.label, UNEXHAUSTED_FIRST.label))
        if line.label == FIRST.label:
            priors = [(_middle(p), p.prior) for p, _ in _shown(line) if p.prior is not None]
            if priors:
                axes.plot(
                    *zip(*priors, strict=True), color="#999", ls=":", lw=1.4, label="guessing by prevalence"
                )
    axes.set(ylim=(0, 1.32), ylabel="share that is not in the picture", title="By words before the mention")
    axes.set_yticks([0, 0.2, 0.4, 0.6, 0.8, 1])
    axes.legend(fontsize=8, frameon=False, loc="upper left")  # above what a rate can reach
    axes.grid(alpha=0.2)


def _counts(axes: "Axes", first: RateCurve | None, above: "Axes") -> None:
    axes.sharex(above)
    if first is not None:
        x = [_middle(point) for point in first.points]
        width = first.points[0].end or 1
        axes.bar(
            x,
            [p.mentions for p in first.points],
            width=0.8 * width,
            color="#c0392b",
            alpha=0.35,
            label=FIRST.label,
        )
        axes.step(
            x,
            [p.alive for p in first.points],
            where="mid",
            color="#333",
            lw=1.2,
            label="responses still going",
        )
        axes.legend(fontsize=8, frameon=False)
    axes.set(xlabel="words before the mention", ylabel="number")
    axes.grid(alpha=0.2)


def _tenths(axes: "Axes", curves: Iterable[RateCurve]) -> None:
    for label in (FIRST.label, ALL.label):
        if (line := _find(curves, label, "tenths")) is not None:
            _line(axes, line, band=True)
    axes.set(ylim=(0, 1), xlim=(0, 10), xlabel="tenth of the response", title="By share of the response")
    axes.legend(fontsize=8, frameon=False, loc="upper left")
    axes.grid(alpha=0.2)


def _odds(axes: "Axes", fits: list[Fit]) -> None:
    labels = []
    for row, fit in enumerate(fits):
        colour = "#c0392b" if row == 0 else "#555"
        if fit.odds_ratio is not None and fit.ci is not None:
            low, high = fit.ci
            axes.plot([low, high], [row, row], color=colour, lw=2)
            axes.plot([fit.odds_ratio], [row], "o", color=colour, ms=5)
            labels.append(fit.label)
        else:
            labels.append(f"{fit.label}: none")
    axes.axvline(1, color="#333", lw=0.8, ls="--")
    axes.set_xscale("log")
    axes.set_yticks(range(len(fits)), [_wrapped(label) for label in labels], fontsize=7.5)
    axes.set(ylim=(len(fits) - 0.4, -0.6), xlabel="odds ratio of hallucination per 100 words")
    axes.grid(alpha=0.2, axis="x")


def _wrapped(label: str) -> str:
    import textwrap

    return "\n".join(textwrap.wrap(label, 34))
