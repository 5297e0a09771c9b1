"""`orders.png`: the rate of wrong mentions after each prefix, the recall of objects, and the contrasts."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from eidolon.benchmark.drawing.frame import finish, new_figure, stacked
from eidolon.benchmark.drawing.marks import DotRow, Place, dot_rows, line, number, rows_height
from eidolon.benchmark.drawing.style import BLUE, GREY, INK, SCREEN, VERMILION, Sheet, png, short
from eidolon.benchmark.tasks.forget.forced_orders.detail import OrdersDetail
from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.forgetting.forced_orders import CellOrder, ContrastName, OrderCell, Verdict

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LINES: dict[CellOrder, tuple[str, str, str, str]] = {
    "small": ("begun with the small objects, the large ones left", BLUE, "o", "-"),
    "large": ("begun with the large objects, the small ones left", VERMILION, "s", "-"),
    "own": ("not begun: its own description from there on", GREY, "^", "--"),
}
ROWS: dict[ContrastName, str] = {
    "difficulty": "difficulty: small left minus large left",
    "lateness": "lateness: late minus soon",
    "interaction": "difficulty late minus difficulty soon",
    "own_rise": "own description: late minus soon",
}
FINDINGS: dict[Verdict, str] = {
    "what is left, not lateness": "what is left to name decides how much it hallucinates, not how late it is",
    "lateness, not what is left": "how late it is decides how much it hallucinates, not what is left to name",
    "both": "both what is left to name and how late it is decide how much it hallucinates",
    "neither shows": "neither what is left to name nor how late it is is shown to raise hallucination",
    "not measured": "forced orders were not measured",
}
"""Verdicts in words."""
CURVES = 2.4
"""Height of the panels of cells, in inches."""


def draw_orders(detail: OrdersDetail, name: str) -> bytes:
    """Return the plot as a PNG. The same detail gives the same bytes."""
    return png(lambda: orders_figure(detail, name, SCREEN))


def orders_figure(detail: OrdersDetail, name: str, sheet: Sheet) -> "Figure":
    """Return the rate and the recall of each cell, and the contrasts of the rate."""
    inches = 0.4 * sheet.inches
    rows = _contrasts(detail)
    low = rows_height(rows, sheet, inches) + 0.5
    narrow = sheet.inches < 5
    body = CURVES * 2 if narrow else CURVES
    figure = new_figure(sheet, body + low)
    above, below = stacked(figure, [body, low])
    rate, recall = above.subplots(*((2, 1) if narrow else (1, 2)))
    _draw(rate, detail, lambda cell: cell.rate, "wrong first mentions, share")
    _draw(recall, detail, lambda cell: cell.recall, "named of what is left, share")
    axes = below.subplots()
    dot_rows(axes, rows, sheet, label_inches=inches, reference=0)
    axes.set_xlabel("difference of the share of wrong first mentions")
    return finish(
        figure,
        sheet,
        f"{short(name)}: {FINDINGS[detail.found.verdict]}",
        notes=[f"n = {detail.found.images} images; 95 % intervals."],
        legend_of=[rate],
    )


def why_no_orders(detail: OrdersDetail) -> str | None:
    """Return why the cells cannot be drawn, None if they can."""
    if any(cell.rate.value is not None for cell in detail.found.cells):
        return None
    return detail.found.reason or "no turn names an object"


def _draw(axes: "Axes", detail: OrdersDetail, quantity: Callable[[OrderCell], Estimate], label: str) -> None:
    for shift, (order, (name, colour, marker, dashes)) in enumerate(LINES.items(), start=-1):
        places = [
            Place(float(cell.late) + 0.03 * shift, estimate.value, estimate.ci)
            for cell in detail.found.cells
            if cell.order == order and (estimate := quantity(cell)).value is not None
        ]
        line(axes, places, name, colour=colour, marker=marker, dashes=dashes)
    axes.set(xlim=(-0.35, 1.35), ylabel=label)
    axes.set_ylim(bottom=0)
    axes.set_xticks([0, 1], [_position(detail, late) for late in (False, True)])
    axes.grid(axis="y")


def _position(detail: OrdersDetail, late: bool) -> str:
    words = [c.words_before for c in detail.found.cells if c.late == late and c.words_before is not None]
    where = f"after {sum(words) / len(words):.0f} words" if words else "nothing there"
    return f"{'late' if late else 'soon'}:\n{where}"


def _contrasts(detail: OrdersDetail) -> list[DotRow]:
    rows = []
    for name, label in ROWS.items():
        contrast = detail.contrast(name)
        if contrast is None or contrast.rate.value is None:
            rows.append(DotRow(label, None, None, "not estimable"))
        else:
            text = number(contrast.rate.value, contrast.rate.ci, signed=True)
            rows.append(DotRow(label, contrast.rate.value, contrast.rate.ci, text, INK))
    return rows
