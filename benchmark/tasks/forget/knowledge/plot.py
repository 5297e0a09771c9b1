"""`knowledge.png`: the odds ratio of position, with knowledge held fixed and without."""

from collections.abc import Mapping
from math import log10
from typing import TYPE_CHECKING

from eidolon.benchmark.drawing.frame import finish, new_figure
from eidolon.benchmark.drawing.marks import DotRow, dot_rows, rows_height
from eidolon.benchmark.drawing.style import BLUE, GREY, INK, SCREEN, Sheet, png, short
from eidolon.benchmark.tasks.forget.knowledge.detail import KnowledgeDetail
from eidolon.benchmark.tasks.forget.knowledge.table import FINDINGS, cell
from eidolon.scorers.core.estimate import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ROWS = {
    "position_given_knowledge": ("knowledge and length held fixed", INK),
    "length_not_held": ("the same, length not held", BLUE),
    "noise_ignored": ("the same, noise of the answers ignored", BLUE),
    "plain": ("knowledge not held", GREY),
}
ODDS_TICKS = tuple(digit * 10.0**power for power in range(-4, 6) for digit in (1, 3))
HELD_AND_NOT = (
    ("position_given_knowledge", "knowledge held", INK),
    ("plain", "not held", GREY),
)


def draw_knowledge(detail: KnowledgeDetail, name: str) -> bytes:
    """Return the plot as a PNG. The same detail gives the same bytes."""
    return png(lambda: knowledge_figure(detail, name, SCREEN))


def knowledge_figure(detail: KnowledgeDetail, name: str, sheet: Sheet) -> "Figure":
    """Return the odds ratios as rows of dots on a logarithmic axis."""
    found = detail.found
    inches = 0.36 * sheet.inches
    rows = [_row(label, getattr(found, field), colour) for field, (label, colour) in ROWS.items()]
    figure = new_figure(sheet, rows_height(rows, sheet, inches) + 0.6)
    axes = figure.subplots()
    dot_rows(axes, rows, sheet, label_inches=inches, reference=0)
    _label_odds(axes)
    return finish(
        figure,
        sheet,
        f"{short(name)}: {FINDINGS[found.verdict]}",
        notes=[
            f"n = {found.mentions} first mentions in {found.responses} responses, {found.hallucinated} of them wrong; "
            "95 % intervals. 1: position has no effect."
        ],
    )


def side_by_side(details: Mapping[str, KnowledgeDetail], sheet: Sheet) -> "Figure":
    """Return the odds ratio of each run with what it knew held fixed, and below it without, on a logarithmic axis."""
    inches = 0.42 * sheet.inches
    rows = [
        _row(f"{short(name)}, {label}", getattr(detail.found, field), colour)
        for name, detail in details.items()
        for field, label, colour in HELD_AND_NOT
    ]
    figure = new_figure(sheet, rows_height(rows, sheet, inches) + 0.6)
    axes = figure.subplots()
    dot_rows(axes, rows, sheet, label_inches=inches, reference=0)
    _label_odds(axes)
    rising = [short(name) for name, detail in details.items() if detail.found.verdict == "rises"]
    return finish(
        figure,
        sheet,
        f"Rises with knowledge held: {', '.join(rising) or 'none'}",
        notes=["Wrong first mentions, 95 % intervals. 1: position has no effect."],
    )


def _label_odds(axes: "Axes") -> None:
    """Write odds ratios at an axis of their logarithms to base 10."""
    from matplotlib.ticker import FixedLocator, FuncFormatter

    axes.xaxis.set_major_locator(FixedLocator([log10(value) for value in ODDS_TICKS]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda exponent, _: f"{10**exponent:g}"))
    axes.set_xlabel("odds ratio per 100 words, logarithmic")


def why_no_knowledge(detail: KnowledgeDetail) -> str | None:
    """Return why the odds ratios cannot be drawn, None if they can."""
    return detail.found.position_given_knowledge.reason


def _row(label: str, number: Estimate, colour: str) -> DotRow:
    if number.value is None or number.ci is None:
        return DotRow(label, None, None, "not estimable")
    low, high = (log10(bound) for bound in number.ci)
    return DotRow(label, log10(number.value), (low, high), cell(number), colour)
