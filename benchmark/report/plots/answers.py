"""The figure `answers`: accuracy and the rate of yes by split and policy, for answers to yes/no questions."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from eidolon.benchmark.drawing.frame import finish, new_figure
from eidolon.benchmark.drawing.marks import DotRow, dot_rows, number, rows_height
from eidolon.benchmark.drawing.style import BLUE, ORANGE, Sheet, percent
from eidolon.benchmark.report.plots.records import Drawing, NotDrawnError, PlottedRun
from eidolon.benchmark.tasks.readings import main_policy
from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.core.scores import Family, Scores

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FAMILY = "pope"
QUANTITIES = (("accuracy", "accuracy", BLUE, "o"), ("yes_rate", "answered yes", ORANGE, "s"))
NARROW = 5.0
"""Inches below which the panels are one above the other."""


def answers(plotted: PlottedRun) -> Drawing:
    """Return the figure of the answers of a run.

    Raises:
        UserError: the run has no scores, or asked no yes/no questions.
    """
    scores = plotted.run.scores()
    if FAMILY not in scores.metrics:
        raise NotDrawnError("the run has no answers to yes/no questions")
    policy = main_policy(plotted.run)
    cases = _cases(scores, policy)
    title = f"{plotted.name}: {_finding(scores.metrics[FAMILY], cases, policy)}"
    return lambda sheet: _draw(title, scores, cases, sheet)


def _cases(scores: Scores, main: str) -> dict[str, Family]:
    """Return the scores by split and policy; the first are the main ones."""
    cases = {f"all, {main}": scores.metrics[FAMILY]}
    for variant in scores.variants:
        if FAMILY in variant.metrics:
            split = variant.settings.get("split", "all")
            policy = variant.settings.get("policy", main)
            cases.setdefault(f"{split}, {policy}", variant.metrics[FAMILY])
    return cases


def _draw(title: str, scores: Scores, cases: Mapping[str, Family], sheet: Sheet) -> "Figure":
    narrow = sheet.inches < NARROW
    inches = (0.3 if narrow else 0.22) * sheet.inches
    panels = [
        [
            _row(label, family.quantities().get(quantity), colour, marker)
            for label, family in cases.items()
        ]
        for quantity, _, colour, marker in QUANTITIES
    ]  # fmt: skip
    height = rows_height(panels[0], sheet, inches) + 0.45
    figure = new_figure(sheet, height * (2 if narrow else 1))
    grid = figure.subplots(*((2, 1) if narrow else (1, 2)))
    for place, (axes, rows, (_, axis, _, _)) in enumerate(zip(grid, panels, QUANTITIES, strict=True)):
        dot_rows(
            axes, rows, sheet, label_inches=inches, inside=(0, 1), reference=0.5 if place else None,
            labels=narrow or not place,
        )  # fmt: skip
        axes.set_xlabel(f"{axis}, share")
    n = scores.metrics[FAMILY]["accuracy"].n
    note = f"n = {n or 0:,} answers in all. Rows: split of the questions, policy of reading; 95 % intervals."
    return finish(figure, sheet, title, notes=[note])


def _row(label: str, estimate: Estimate | None, colour: str, marker: str) -> DotRow:
    if estimate is None:
        return DotRow(label, None, None, "undefined")
    return DotRow(label, estimate.value, estimate.ci, number(estimate.value, estimate.ci), colour, marker)


def _finding(main: Family, cases: Mapping[str, Family], policy: str) -> str:
    accuracy, yes = main["accuracy"].value, main["yes_rate"].value
    if accuracy is None or yes is None:
        return "no answer can be read"
    text = f"{percent(accuracy)} of the answers are right, {percent(yes)} are yes"
    splits = {
        label.partition(",")[0]: family["accuracy"]
        for label, family in cases.items()
        if not label.startswith("all,") and label.endswith(f", {policy}")
    }
    known = {split: one for split, one in splits.items() if one.value is not None and one.ci is not None}
    if len(known) < 2:
        return text
    worst, best = (pick(known, key=lambda split: known[split].value or 0) for pick in (min, max))
    low, high = known[worst].ci, known[best].ci
    if low is None or high is None or low[1] >= high[0]:
        return text
    return f"{text}; {percent(known[worst].value or 0)} of those to {worst} questions are right"
