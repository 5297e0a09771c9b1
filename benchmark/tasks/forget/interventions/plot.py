"""`interventions.png`: the effects of changes during generation on what is named next."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from eidolon.benchmark.drawing.frame import finish, new_figure, stacked
from eidolon.benchmark.drawing.marks import DotRow, dot_rows, number, rows_height
from eidolon.benchmark.drawing.style import BLUE, INK, SCREEN, Sheet, png, short
from eidolon.benchmark.tasks.forget.interventions.detail import InterventionsDetail
from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.forgetting.interventions import Effect, EffectAt, InterventionVerdict

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FINDINGS: dict[InterventionVerdict, str] = {
    "a second look helps more later": "later in its text, a second look at the picture prevents more mistakes",
    "no change shown": "a second look at the picture is not shown to help more later in its text",
    "not measured": "interventions were not measured",
}
"""Verdicts in words."""
NAMES: dict[Effect, str] = {
    "picture": "own picture minus another",
    "blank": "own picture minus grey",
    "reminder": "picture shown again minus not",
    "planted": "wrong object planted minus not",
    "own text": "own text minus clean text",
}
"""Effects in words."""


def draw_interventions(detail: InterventionsDetail, name: str) -> bytes:
    """Return the plot as a PNG. The same detail gives the same bytes."""
    return png(lambda: interventions_figure(detail, name, SCREEN))


def interventions_figure(detail: InterventionsDetail, name: str, sheet: Sheet) -> "Figure":
    """Return the effects on recall and on the share of wrong first mentions."""
    inches = 0.42 * sheet.inches
    recall = [_row(effect, lambda one: one.recall) for effect in detail.found.effects]
    rate = [_row(effect, lambda one: one.rate) for effect in detail.found.effects]
    height = rows_height(recall, sheet, inches) + 0.6
    figure = new_figure(sheet, 2 * height)
    above, below = stacked(figure, [height, height])
    for part, rows, label in (
        (above, recall, "difference of the share of unnamed true objects that are named"),
        (below, rate, "difference of the share of wrong first mentions"),
    ):
        axes = part.subplots()
        dot_rows(axes, rows, sheet, label_inches=inches, reference=0)
        axes.set_xlabel(label)
    return finish(
        figure,
        sheet,
        f"{short(name)}: {FINDINGS[detail.found.verdict]}",
        notes=[f"n = {detail.found.images} images, paired; 95 % intervals; {detail.window} words are read."],
    )


def why_no_interventions(detail: InterventionsDetail) -> str | None:
    """Return why the effects cannot be drawn, None if they can."""
    if any(one.recall.value is not None for one in detail.found.effects):
        return None
    return detail.found.reason or next(
        (one.reason for one in detail.found.effects if one.reason), "no effect"
    )


def when(effect: EffectAt) -> str:
    """Return where an effect was measured, in words."""
    return "change, first to last" if effect.at is None else f"after {effect.at} tokens"


def _row(effect: EffectAt, quantity: Callable[[EffectAt], Estimate]) -> DotRow:
    label = f"{NAMES[effect.effect]}, {when(effect)}"
    found = quantity(effect)
    if found.value is None:
        return DotRow(label, None, None, "not estimable")
    colour = INK if effect.at is None else BLUE
    return DotRow(label, found.value, found.ci, number(found.value, found.ci, signed=True), colour)
