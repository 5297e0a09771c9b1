"""The late-minus-early odds ratio with each rival explanation held fixed, drawn side by side."""

from typing import TYPE_CHECKING

from eidolon.benchmark.drawing.frame import finish, new_figure
from eidolon.benchmark.drawing.marks import DotRow, dot_rows, number, rows_height
from eidolon.benchmark.drawing.style import DIM, GREEN, VERMILION, Sheet, short
from eidolon.scorers.forgetting.rivals.effect import HeldEffect
from eidolon.scorers.forgetting.rivals.held import PLAIN
from eidolon.scorers.forgetting.rivals.table import Rivals

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LIMITS = (0.01, 1000.0)
"""The widest axis of odds ratios."""
MARGIN = 1.2


def rivals_figure(found: Rivals, name: str, sheet: Sheet) -> "Figure":
    """Return the odds ratios as dots with intervals, the plain one first and the closest world of salience last."""
    rows = [
        _row(PLAIN.label, found.plain, VERMILION),
        *(_row(one.held, one.effect, DIM) for one in found.rivals),
    ]
    if found.salience is not None and (world := found.salience.closest) is not None:
        rows.append(
            DotRow(
                "a world of fixed salience, nothing forgotten",
                world.odds_ratio,
                world.ci,
                number(world.odds_ratio, world.ci, 2),
                GREEN,
            )
        )
    inches = 0.42 * sheet.inches
    figure = new_figure(sheet, rows_height(rows, sheet, inches) + 0.5)
    axes = figure.subplots()
    dot_rows(axes, rows, sheet, label_inches=inches, reference=1)
    bounds = [bound for row in rows if row.value is not None and row.ci for bound in row.ci]
    axes.set_xscale("log")
    axes.set_xlim(max(min([*bounds, 0.5]), LIMITS[0]) / MARGIN, min(max([*bounds, 2.0]), LIMITS[1]) * MARGIN)
    axes.set_xlabel("late-minus-early odds ratio per 100 words, salience not held")
    return finish(figure, sheet, f"{short(name)}: what else could explain a rise", notes=[found.sentence])


def why_no_rivals(found: Rivals) -> str | None:
    """Return why the rivals cannot be drawn, None if they can."""
    return None if found.plain.odds_ratio is not None else found.plain.reason


def _row(label: str, effect: HeldEffect, colour: str) -> DotRow:
    shown = number(effect.odds_ratio, effect.ci, 2) if effect.odds_ratio is not None else "not estimable"
    return DotRow(label, effect.odds_ratio, effect.ci, shown, colour)
