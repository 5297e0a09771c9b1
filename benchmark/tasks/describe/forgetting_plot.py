"""`forgetting.png`: the rate of hallucination over a response with its controls, and late-minus-early odds ratios."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from eidolon.benchmark.drawing.frame import finish, new_figure, stacked
from eidolon.benchmark.drawing.marks import DotRow, Place, band, dot_rows, line, number, rows_height
from eidolon.benchmark.drawing.style import (
    BLUE,
    DIM,
    GREEN,
    GREY,
    INK,
    PURPLE,
    SCREEN,
    VERMILION,
    Sheet,
    percent,
    png,
    short,
)
from eidolon.scorers.forgetting.curves import RateCurve, RatePoint
from eidolon.scorers.forgetting.detail import ForgettingDetail
from eidolon.scorers.forgetting.fits import Fit
from eidolon.scorers.forgetting.subsets import (
    ALL,
    EARLY,
    FIRST,
    LATE,
    REPEATED,
    SURVIVORS_FIRST,
    UNEXHAUSTED_FIRST,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LEAST_MENTIONS = 10
"""Points of fewer mentions are left out of the plot; `forgetting.json` has them."""
LINES = {
    FIRST.label: (VERMILION, "o", "-"),
    ALL.label: (GREY, "s", "--"),
    REPEATED.label: (PURPLE, "D", "--"),
    UNEXHAUSTED_FIRST.label: (BLUE, "s", "-"),
    SURVIVORS_FIRST.label: (GREEN, "^", "-."),
}
"""Colour, marker and dashes of each line."""
PRIOR = "guessing by prevalence"
FEW = 50
"""Mentions below which the title gives counts beside a share."""
LIMITS = (0.01, 100.0)
"""The widest axis of odds ratios. An arrow says that an estimate is beyond it."""
CURVES = 3.4
"""Height of the curves, in inches."""


def draw_forgetting(detail: ForgettingDetail, name: str) -> bytes:
    """Return the plot as a PNG, the same bytes for the same detail."""
    return png(lambda: forgetting_figure(detail, name, SCREEN))


def forgetting_figure(detail: ForgettingDetail, name: str, sheet: Sheet) -> "Figure":
    """Return the curves by words and by tenths of the response, and the odds ratios of all specifications."""
    fits = [detail.late_early, *detail.sensitivity]
    rows = _odds_rows(fits) if any(fit.odds_ratio is not None for fit in fits) else []
    inches = 0.42 * sheet.inches
    odds = rows_height(rows, sheet, inches) + 0.5 if rows else 0.0
    figure = new_figure(sheet, CURVES + odds)
    parts = stacked(figure, [CURVES, odds] if rows else [CURVES])
    grid = parts[0].subplot_mosaic(
        [["rate", "tenths"], ["counts", "tenths"]], height_ratios=[2.2, 1.0], width_ratios=[1.5, 1]
    )
    _rates(grid["rate"], _by_words(detail), intervals=False)
    _counts(grid["counts"], _find(detail.curves, FIRST.label, "words"), grid["rate"])
    _tenths(grid["tenths"], detail.curves)
    if rows:
        axes = parts[1].subplots()
        dot_rows(axes, rows, sheet, label_inches=inches, reference=1)
        _logarithmic(axes, fits)
        axes.set_xlabel("late-minus-early odds ratio per 100 words, salience not held")
    return finish(
        figure,
        sheet,
        f"{short(name)}: {finding(detail)}",
        notes=_notes(detail),
        legend_of=[grid["rate"], grid["counts"], grid["tenths"]],
    )


def position_figure(detail: ForgettingDetail, name: str, sheet: Sheet) -> "Figure":
    """Return the rate of hallucination by words with its intervals, above the counts that it comes from."""
    figure = new_figure(sheet, 3.1)
    grid = figure.subplot_mosaic([["rate"], ["counts"]], height_ratios=[2.2, 1])
    wanted = (FIRST.label, UNEXHAUSTED_FIRST.label)
    _rates(grid["rate"], [one for one in _by_words(detail) if one.label in wanted], intervals=True)
    _counts(grid["counts"], _find(detail.curves, FIRST.label, "words"), grid["rate"])
    return finish(
        figure,
        sheet,
        f"{short(name)}: {finding(detail)}",
        notes=_notes(detail),
        legend_of=[grid["rate"], grid["counts"]],
    )


def why_no_position(detail: ForgettingDetail) -> str | None:
    """Return why the rate by words cannot be drawn, None if it can."""
    first = _find(detail.curves, FIRST.label, "words")
    if first is None:
        return "no scored response names an object"
    if not _shown(first):
        return f"no stretch of 10 words has {LEAST_MENTIONS} first mentions"
    return None


def finding(detail: ForgettingDetail) -> str:
    """Return what the curves and the late-minus-early odds ratio say."""
    first = _find(detail.curves, FIRST.label, "words")
    points = () if first is None else first.points
    early = [p for p in points if p.start < EARLY[1]]
    late = [p for p in points if p.start >= LATE[0]]
    return f"{_change(early, late)}; {_odds(detail.late_early)}"


def _change(early: list[RatePoint], late: list[RatePoint]) -> str:
    (wrong, named), (late_wrong, late_named) = (
        (sum(p.hallucinated for p in part), sum(p.mentions for p in part)) for part in (early, late)
    )
    if not named:
        return "no object is named early in a response"
    start = (
        f"{percent(wrong / named)} of the objects first named in words 1 to {EARLY[1]} are not in the picture"
    )
    if not late_named:
        return f"{start}, and none is first named after word {LATE[0]:.0f}"
    return f"{start}, {_share(late_wrong, late_named)} of those after word {LATE[0]:.0f}"


def _share(wrong: int, named: int) -> str:
    """Return a share, of few with the counts."""
    return percent(wrong / named) + (f" ({wrong} of {named})" if named < FEW else "")


def _odds(fit: Fit) -> str:
    if fit.ci is None:
        return "whether the rate changes with position cannot be estimated"
    low, high = fit.ci
    verb = "the rate rises" if low > 1 else "the rate falls" if high < 1 else "no effect of position is shown"
    return f"with the objects left to name held equal, {verb}"


def _notes(detail: ForgettingDetail) -> list[str]:
    first = _find(detail.curves, FIRST.label, "words")
    points = () if first is None else first.points
    counts = f"n = {sum(p.mentions for p in points):,} first mentions in {points[0].alive if points else 0:,} responses"
    fit = detail.late_early
    odds = (
        f"There is no late-minus-early odds ratio: {fit.reason}."
        if fit.odds_ratio is None
        else f"Late-minus-early odds ratio per 100 words, salience not held: {number(fit.odds_ratio, fit.ci, 2)}."
    )
    return [
        f"{counts}; 95 % intervals, by bootstrap over images or, where a point has none or only hallucinated "
        f"mentions, Wilson's. Points of fewer than {LEAST_MENTIONS} mentions are left out. {odds}"
    ]


def _by_words(detail: ForgettingDetail) -> list[RateCurve]:
    return [one for one in detail.curves if one.unit == "words" and one.label != ALL.label]


def _find(curves: Iterable[RateCurve], label: str, unit: str) -> RateCurve | None:
    return next((one for one in curves if (one.label, one.unit) == (label, unit)), None)


def _shown(curve: RateCurve) -> list[tuple[RatePoint, float]]:
    return [
        (point, point.rate)
        for point in curve.points
        if point.rate is not None and point.mentions >= LEAST_MENTIONS
    ]


def _middle(point: RatePoint) -> float:
    return point.start if point.end is None else (point.start + point.end) / 2


def rate_interval(point: RatePoint) -> tuple[float, float] | None:
    """Return the interval of a rate. Resamples of only right or only wrong mentions do not vary: then Wilson's."""
    if point.rate_ci is not None and point.rate_ci[0] < point.rate_ci[1]:
        return point.rate_ci
    if not point.mentions:
        return None
    from scipy.stats import binomtest

    found = binomtest(point.hallucinated, point.mentions).proportion_ci(method="wilson")
    return float(found.low), float(found.high)


def _places(curve: RateCurve) -> list[Place]:
    return [Place(_middle(point), rate, rate_interval(point)) for point, rate in _shown(curve)]


def _rates(axes: "Axes", curves: list[RateCurve], *, intervals: bool) -> None:
    for shift, curve in enumerate(curves):
        colour, marker, dashes = LINES[curve.label]
        places = [Place(p.x + 0.7 * shift * intervals, p.y, p.ci) for p in _places(curve)]
        line(axes, places, curve.label, colour=colour, marker=marker, dashes=dashes, intervals=intervals)
        if not intervals and curve.label in (FIRST.label, UNEXHAUSTED_FIRST.label):
            band(axes, places, colour)
        if curve.label == FIRST.label:
            priors = [(_middle(p), p.prior) for p, _ in _shown(curve) if p.prior is not None]
            if priors and not intervals and min(prior for _, prior in priors) < axes.get_ylim()[1]:
                axes.plot(*zip(*priors, strict=True), color=DIM, ls=":", lw=1, label=PRIOR)
    axes.set(ylabel="not in the picture, share")
    axes.set_ylim(bottom=0)
    axes.tick_params(labelbottom=False)
    axes.grid(axis="y")


def _counts(axes: "Axes", first: RateCurve | None, above: "Axes") -> None:
    if first is not None:
        x = [_middle(point) for point in first.points]
        width = first.points[0].end or 1
        axes.bar(
            x, [p.mentions for p in first.points], width=0.8 * width, color=VERMILION, alpha=0.4,
            label="number of first mentions",
        )  # fmt: skip
        axes.step(
            x, [p.alive for p in first.points], where="mid", color=INK, lw=1, label="responses this long"
        )
        last = max((p.start for p in first.points if p.mentions), default=0) + width
        for one in (axes, above):
            one.set_xlim(0, last)
    axes.set(xlabel="words before the mention", ylabel="count")
    axes.grid(axis="y")


def _tenths(axes: "Axes", curves: Iterable[RateCurve]) -> None:
    for label in (FIRST.label, ALL.label):
        if (curve := _find(curves, label, "tenths")) is not None:
            colour, marker, dashes = LINES[label]
            places = _places(curve)
            line(axes, places, label, colour=colour, marker=marker, dashes=dashes, intervals=False)
            band(axes, places, colour)
    axes.set(xlim=(0, 10), xlabel="tenth of the response")
    axes.set_ylim(bottom=0)
    axes.grid(axis="y")


def _odds_rows(fits: list[Fit]) -> list[DotRow]:
    return [
        DotRow(
            fit.label,
            fit.odds_ratio,
            fit.ci,
            number(fit.odds_ratio, fit.ci, 2) if fit.odds_ratio is not None else "not estimable",
            VERMILION if place == 0 else DIM,
        )
        for place, fit in enumerate(fits)
    ]


def _logarithmic(axes: "Axes", fits: list[Fit]) -> None:
    """Cut a logarithmic axis to the intervals, within `LIMITS`."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    known = [
        bound for fit in fits if fit.ci is not None and fit.odds_ratio for bound in (fit.odds_ratio, *fit.ci)
    ]
    low, high = max(min([*known, 0.5]), LIMITS[0]), min(max([*known, 2.0]), LIMITS[1])
    axes.set_xscale("log")
    axes.set_xlim(low / 1.1, high * 1.1)
    ticks = [
        tick for tick in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100) if low <= tick <= high
    ]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda tick, _: f"{tick:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    for place, fit in enumerate(fits):
        if fit.odds_ratio is not None and not low <= fit.odds_ratio <= high:
            above = fit.odds_ratio > high
            axes.plot([high if above else low], [place], ">" if above else "<", color=DIM, ms=4)
