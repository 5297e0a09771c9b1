"""`pdm.png`: how far each kind of token depends on the picture along a response, and how fast that decays."""

from typing import TYPE_CHECKING

from eidolon.benchmark.drawing.frame import finish, new_figure, stacked
from eidolon.benchmark.drawing.marks import DotRow, Place, band, dot_rows, line, number, rows_height
from eidolon.benchmark.drawing.style import (
    BLUE,
    DIM,
    GREY,
    INK,
    ORANGE,
    SCREEN,
    VERMILION,
    Sheet,
    percent,
    png,
    short,
)
from eidolon.scorers.forgetting.dependency import ALL, Label, PdmCurve, PdmTable
from eidolon.scorers.forgetting.fading import Fade
from eidolon.scorers.forgetting.token_kinds import KIND_NAMES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LEAST_TOKENS = 10
"""Points with fewer tokens are not plotted; the table has them."""
LINES: dict[Label, tuple[str, str, str]] = {
    ALL: (INK, "o", "-"),
    "object": (VERMILION, "s", "-"),
    "content": (BLUE, "^", "-"),
    "function": (GREY, "D", "--"),
    "rest": (ORANGE, "v", "--"),
}
"""Colour, marker and dashes of each kind of token."""
NAMES: dict[str, str] = {ALL: "all tokens", **{str(kind): name for kind, name in KIND_NAMES.items()}}
CURVES = 3.2
"""Height of the curves with the counts, in inches."""


def draw_pdm(table: PdmTable, name: str) -> bytes:
    """Return the plot as a PNG. The same table gives the same bytes."""
    return png(lambda: pdm_panels(table, name, SCREEN))


def pdm_panels(table: PdmTable, name: str, sheet: Sheet) -> "Figure":
    """Return the curves, the numbers of responses, the fitted rates of fading, and the means by kind of token."""
    inches = 0.2 * sheet.inches
    fades, means = _fades([table.fade, *table.sensitivity]), _means(table)
    low = max(rows_height(rows, sheet, inches) for rows in (fades, means)) + 0.6
    figure = new_figure(sheet, CURVES + low)
    above, below = stacked(figure, [CURVES, low])
    curves, counts = above.subplots(2, 1, height_ratios=[2.4, 1])
    _curves(curves, table)
    _counts(counts, _find(table), curves)
    left, right = below.subplots(1, 2)
    dot_rows(left, fades, sheet, label_inches=inches, reference=0)
    left.set_xlim(max(left.get_xlim()[0], -1.5), min(left.get_xlim()[1], 1.05))
    left.set_xlabel("lost per 100 tokens, 1 - exp(-100 λ)")
    dot_rows(right, means, sheet, label_inches=inches, inside=(0, 1))
    right.set_xlabel("mean PDM")
    return finish(
        figure, sheet, f"{short(name)}: {finding(table)}", notes=_notes(table), legend_of=[curves, counts]
    )


def dependence_figure(table: PdmTable, name: str, sheet: Sheet) -> "Figure":
    """Return the curves above the numbers of responses."""
    figure = new_figure(sheet, CURVES)
    curves, counts = figure.subplots(2, 1, height_ratios=[2.4, 1])
    _curves(curves, table, survivors=False)
    _counts(counts, _find(table), curves)
    return finish(
        figure, sheet, f"{short(name)}: {finding(table)}", notes=_notes(table), legend_of=[curves, counts]
    )


def why_no_dependence(table: PdmTable) -> str | None:
    """Return why the curves cannot be drawn, None if they can."""
    shown = any(_places(curve) for curve in table.curves if not curve.survivors)
    return None if shown else f"no stretch of a response has {LEAST_TOKENS} measured tokens"


def finding(table: PdmTable) -> str:
    """Return what the fit of all tokens says, in words."""
    fade = table.fade
    if fade.decay_per_100 is None:
        return f"no change of its dependence on the picture can be fitted ({fade.reason})"
    if fade.finding == "decay":
        bounds = "" if fade.decay_per_100_ci is None else " (95 % interval {} to {})".format(
            *map(percent, fade.decay_per_100_ci)
        )  # fmt: skip
        return f"its dependence on the picture falls by {percent(fade.decay_per_100)} per 100 tokens{bounds}"
    if fade.finding == "growth":
        return "its dependence on the picture grows along a response"
    return "no fall of its dependence on the picture is shown"


def _notes(table: PdmTable) -> list[str]:
    return [
        f"n = {table.tokens:,} tokens in {table.responses:,} responses; 95 % intervals. PDM is the Hellinger distance "
        f"between the predictions with the picture and without it (without: {table.without}). Points of fewer than "
        f"{LEAST_TOKENS} tokens are left out."
    ]


def _find(table: PdmTable) -> PdmCurve | None:
    return next((curve for curve in table.curves if curve.label == ALL and not curve.survivors), None)


def _places(curve: PdmCurve) -> list[Place]:
    return [
        Place((p.start + p.end) / 2 if p.end else p.start, p.value, p.ci)
        for p in curve.points
        if p.value is not None and p.tokens >= LEAST_TOKENS
    ]


def _curves(axes: "Axes", table: PdmTable, *, survivors: bool = True) -> None:
    for curve in table.curves:
        colour, marker, dashes = LINES[curve.label]
        places = _places(curve)
        if curve.survivors:
            if survivors and places and curve.label == ALL:
                label = f"all tokens, responses of {table.settings['survival']} tokens or more"
                axes.plot([p.x for p in places], [p.y for p in places], ls=":", color=colour, label=label)
            continue
        line(axes, places, NAMES[curve.label], colour=colour, marker=marker, dashes=dashes, intervals=False)
        band(axes, places, colour)
    axes.set_ylim(bottom=0)
    axes.set(ylabel="PDM")
    axes.tick_params(labelbottom=False)
    axes.grid(axis="y")


def _counts(axes: "Axes", curve: PdmCurve | None, above: "Axes") -> None:
    if curve is not None and curve.points:
        x = [(p.start + p.end) / 2 if p.end else p.start for p in curve.points]
        axes.step(
            x, [p.alive for p in curve.points], where="mid", color=DIM, lw=1.1, label="responses this long"
        )
        for one in (axes, above):
            one.set_xlim(0, max(p.end or p.start for p in curve.points))
    axes.set_ylim(bottom=0)
    axes.set(xlabel="tokens before", ylabel="count")
    axes.grid(axis="y")


def _fades(fits: list[Fade]) -> list[DotRow]:
    return [
        DotRow(
            NAMES.get(fit.label, fit.label),
            fit.decay_per_100,
            fit.decay_per_100_ci,
            "not estimable" if fit.decay_per_100 is None else number(fit.decay_per_100, None, 2),
            VERMILION if place == 0 else DIM,
        )
        for place, fit in enumerate(fits)
    ]


def _means(table: PdmTable) -> list[DotRow]:
    rows = []
    for mean in table.means:
        kind = mean.label.partition(",")[0]
        colour = next((line[0] for label, line in LINES.items() if label == kind), INK)
        if mean.value is not None:
            label = f"{NAMES.get(mean.label, mean.label)} ({mean.tokens:,})"
            rows.append(DotRow(label, mean.value, mean.ci, number(mean.value, None, 2), colour))
    return rows
