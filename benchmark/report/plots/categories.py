"""The figure `categories`: objects that are named and there, named and not there, or missed."""

from typing import TYPE_CHECKING

from eidolon.benchmark.drawing.frame import finish, new_figure
from eidolon.benchmark.drawing.marks import beside
from eidolon.benchmark.drawing.style import GROUNDED, HALLUCINATED, MISSED, Sheet, percent, short, wrap
from eidolon.benchmark.report.plots.records import Drawing, NotDrawnError, PlottedRun
from eidolon.benchmark.report.view.categories import CategoryCounts
from eidolon.benchmark.report.view.records import CategoryRow
from eidolon.benchmark.report.view.samples import shown_samples
from eidolon.benchmark.store.files import RESPONSES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST = 20
"""Categories in the figure: those that are hallucinated most."""
BARS = (
    ("named_absent", "named, not in the picture", HALLUCINATED, ""),
    ("named_there", "named, in the picture", GROUNDED, "////"),
    ("missed", "in the picture, not named", MISSED, "...."),
)
"""Field, label, colour and hatch of the parts of a bar."""


def categories(plotted: PlottedRun) -> Drawing:
    """Return the figure of the categories that a run names and misses.

    Raises:
        UserError: a file cannot be read, or there are no categories.
    """
    if not plotted.run.count_lines(RESPONSES):
        raise NotDrawnError("the run keeps no responses")
    counts = CategoryCounts()
    for one in shown_samples(plotted.run):
        counts.add(one)
    rows = counts.rows()
    if not rows:
        raise NotDrawnError("no response names an object, and none is in the ground truth")
    return lambda sheet: _draw(plotted.name, rows, counts.scored, sheet)


def _draw(name: str, rows: tuple[CategoryRow, ...], scored: int, sheet: Sheet) -> "Figure":
    kept = rows[:MOST]
    inches = 0.32 * sheet.inches
    labels = [wrap(short(row.name), inches, sheet.points) for row in kept]
    lines = sum(1 + 0.8 * label.count("\n") for label in labels)
    figure = new_figure(sheet, 1.75 * sheet.points / 72 * lines + 0.5)
    axes = figure.subplots()
    start = [0] * len(kept)
    for field, label, colour, hatch in BARS:
        counts = [getattr(row, field) for row in kept]
        axes.barh(
            range(len(kept)), counts, left=start, height=0.72, label=label, color=colour, hatch=hatch,
            edgecolor="white", linewidth=0.4,
        )  # fmt: skip
        start = [a + b for a, b in zip(start, counts, strict=True)]
    axes.set_yticks(range(len(kept)), labels)
    axes.set_ylim(len(kept) - 0.4, -0.6)
    axes.set_xlim(0, max(start) * 1.02)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xlabel("responses")
    axes.grid(axis="x")
    beside(axes, [_share(row) for row in kept], sheet)
    left_out = f" The {len(kept)} most hallucinated of {len(rows)} categories." if len(rows) > MOST else ""
    note = (
        f"n = {scored:,} scored responses; each counts once for a category. Right: responses that name the category "
        f"though it is not in the picture, of all that name it.{left_out}"
    )
    return finish(figure, sheet, f"{name}: {_finding(rows)}", notes=[note], legend_of=[axes])


def _share(row: CategoryRow) -> str:
    return f"{row.named_absent} of {row.named_absent + row.named_there}"


def _finding(rows: tuple[CategoryRow, ...]) -> str:
    worst = rows[0]
    if not worst.named_absent:
        return "it names no object that is not in the picture"
    if worst.named_absent == 1:
        count = sum(row.named_absent for row in rows)
        return (
            f"it hallucinates {count} categor{'y' if count == 1 else 'ies'}, none in more than one response"
        )
    named = worst.named_absent + worst.named_there
    total = sum(row.named_absent for row in rows)
    return (
        f"it hallucinates “{short(worst.name)}” most often, in {worst.named_absent} of the {named} responses that "
        f"name it ({percent(worst.named_absent / total)} of all hallucinated objects)"
    )
