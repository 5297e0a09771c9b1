"""The figure `numbers`: every number of a run with its interval, one panel for each unit."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from eidolon.benchmark.drawing.frame import finish, new_figure
from eidolon.benchmark.drawing.marks import DotRow, dot_rows, number, rows_height
from eidolon.benchmark.drawing.style import BLUE, HALLUCINATED, Sheet, percent
from eidolon.benchmark.report.plots.quantities import PlottedQuantity, all_quantities, label_of
from eidolon.benchmark.report.plots.records import Drawing, NotDrawnError, PlottedRun
from eidolon.scorers.core.scores import Family, Scores

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OWN_FIGURES = ("forgetting", "rivals")
"""Families with figures of their own. They are part of this one only if the run has no other."""
BOUNDS = {"share": (0.0, 1.0)}
REFERENCES = {"change of a share": 0.0, "odds ratio": 1.0}
UNITS_NAMED = {"share": "share", "change of a share": "change of a share"}
AXIS = 0.42
"""Height of an axis with its label, in inches."""


def numbers(plotted: PlottedRun) -> Drawing:
    """Return the figure of a run's numbers.

    Raises:
        UserError: the run has no scores, or no number in them.
    """
    scores = plotted.run.scores()
    shown = _choose(scores)
    if not any(quantity.estimate.value is not None for quantity in shown):
        raise NotDrawnError("no number of the run is defined")
    return lambda sheet: _draw(plotted.name, scores, shown, sheet)


def _choose(scores: Scores) -> list[PlottedQuantity]:
    every = list(all_quantities(scores.metrics))
    shown = [one for one in every if one.family not in OWN_FIGURES] or every
    known = {one.key: one.estimate.value for one in shown}
    # CHAIR's recall is that of `objects`: once is enough.
    return [
        one
        for one in shown
        if not (one.key == "chair.recall" and known.get("objects.recall") == one.estimate.value)
    ]


def _draw(name: str, scores: Scores, shown: Sequence[PlottedQuantity], sheet: Sheet) -> "Figure":
    undefined = [quantity.label.strip(" ↑↓") for quantity in shown if quantity.estimate.value is None]
    shown = [quantity for quantity in shown if quantity.estimate.value is not None]
    units = list(dict.fromkeys(quantity.unit for quantity in shown))
    several = len({quantity.family for quantity in shown}) > 1
    counts = {quantity.estimate.n for quantity in shown if quantity.estimate.value is not None}
    inches = 0.3 * sheet.inches
    panels = [
        [_row(quantity, several, len(counts) > 1) for quantity in shown if quantity.unit == unit]
        for unit in units
    ]
    heights = [rows_height(rows, sheet, inches) + AXIS for rows in panels]
    figure = new_figure(sheet, sum(heights))
    grid = figure.subplots(len(units), 1, height_ratios=heights, squeeze=False)[:, 0]
    for axes, unit, rows in zip(grid, units, panels, strict=True):
        dot_rows(
            axes, rows, sheet, label_inches=inches, inside=BOUNDS.get(unit), reference=REFERENCES.get(unit)
        )
        axes.set_xlabel(unit)
    lost = f"Undefined: {', '.join(undefined)}." if undefined else ""
    return finish(figure, sheet, f"{name}: {finding(scores.metrics)}", notes=[_note(scores, counts), lost])


def _row(quantity: PlottedQuantity, several: bool, counts: bool) -> DotRow:
    estimate = quantity.estimate
    label = f"{quantity.family}: {quantity.label}" if several else quantity.label
    if counts and estimate.n is not None:
        label = f"{label} (n = {estimate.n:,})"
    digits = 1 if quantity.unit not in ("share", "change of a share", "share lost") else 3
    return DotRow(
        label,
        estimate.value,
        estimate.ci,
        number(estimate.value, estimate.ci, digits, signed=quantity.unit == "change of a share"),
        HALLUCINATED if estimate.higher_is_better is False else BLUE,
        "s" if estimate.higher_is_better is False else "o",
    )


def _note(scores: Scores, counts: set[int | None]) -> str:
    n = "" if len(counts) != 1 else f"n = {next(iter(counts)) or 0:,} responses. "
    unscored = f"{scores.n.unscored:,} unscored responses are left out. " if scores.n.unscored else ""
    method = "" if scores.intervals is None else f"Intervals: {scores.intervals.method}. "
    return f"{n}{unscored}{method}Arrows: the better direction; squares are better when low."


def finding(metrics: Mapping[str, Family]) -> str:
    """Return what the main numbers of a run say, in words."""
    found = {
        quantity.key: quantity.estimate.value
        for quantity in all_quantities(metrics)
        if quantity.estimate.value is not None
    }
    wrong = found.get("chair.chair_i")
    if wrong is None and "objects.precision" in found:
        wrong = 1 - found["objects.precision"]
    recall = found.get("objects.recall", found.get("chair.recall"))
    if wrong is not None:
        named = f"{percent(wrong)} of the objects it names are not in the picture"
        return named if recall is None else f"{named}; of those that are, it names {percent(recall)}"
    for key, text in (
        ("pope.accuracy", "it answers {} of the questions right"),
        ("amber.accuracy", "it answers {} of the questions right"),
        ("amber.chair", "{} of the objects it names are not in the picture"),
        ("detection.response_recall", "the judge finds {} of the responses that people flag"),
        ("throne.classwise_precision", "{} of what it is said to name is in the picture, over classes"),
    ):
        if key in found:
            return text.format(percent(found[key]))
    key, value = next(iter(found.items()))
    return f"{label_of(key.partition('.')[2], None)} is {value:.3f}"
