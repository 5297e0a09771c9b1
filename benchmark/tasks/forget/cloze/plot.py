"""`cloze.png`: how much likelier true names are than absent ones, after n tokens and at the start."""

from typing import TYPE_CHECKING

from eidolon.benchmark.drawing.frame import finish, new_figure
from eidolon.benchmark.drawing.marks import Place, line
from eidolon.benchmark.drawing.style import DIM, GREY, SCREEN, VERMILION, Sheet, png, short
from eidolon.benchmark.tasks.forget.cloze.detail import ClozeDetail
from eidolon.scorers.forgetting.cloze import LEAST_IMAGES, ClozeVerdict

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FINDINGS: dict[ClozeVerdict, str] = {
    "falls": "as its text grows, what it could name next depends less on what is in the picture",
    "rises": "as its text grows, what it could name next depends more on what is in the picture",
    "no change shown": "no change is shown in what it could name next",
    "not measured": "the generative cloze was not measured",
}
"""Verdicts in words."""


def draw_cloze(detail: ClozeDetail, name: str) -> bytes:
    """Return the plot as a PNG. The same detail gives the same bytes."""
    return png(lambda: cloze_figure(detail, name, SCREEN))


def cloze_figure(detail: ClozeDetail, name: str, sheet: Sheet) -> "Figure":
    """Return the differences by length."""
    figure = new_figure(sheet, 2.6)
    axes = figure.subplots()
    points = [point for point in detail.found.points if point.images >= LEAST_IMAGES]
    late = [
        Place(p.tokens, p.difference.value, p.difference.ci) for p in points if p.difference.value is not None
    ]
    first = [
        Place(p.tokens, p.difference_at_0.value, p.difference_at_0.ci)
        for p in points
        if p.difference_at_0.value is not None
    ]
    line(axes, late, "after its own text", colour=VERMILION)
    line(axes, first, "the same names without any text", colour=GREY, marker="^", dashes="--")
    axes.axhline(0, color=DIM, lw=0.7, ls="--")
    axes.set(xlabel="tokens of its own text", ylabel="nats, true minus absent names")
    return finish(
        figure,
        sheet,
        f"{short(name)}: {FINDINGS[detail.found.verdict]}",
        notes=[
            f"n = {detail.found.images} images; 95 % intervals. Names that the text has used are left out."
        ],
        legend_of=[axes],
    )


def why_no_cloze(detail: ClozeDetail) -> str | None:
    """Return why the cloze cannot be drawn, None if it can."""
    if any(point.images >= LEAST_IMAGES for point in detail.found.points):
        return None
    return detail.found.reason or f"no length has {LEAST_IMAGES} images"
