"""`attention.png`: attention on the picture by token and by layer."""

from typing import TYPE_CHECKING

from eidolon.benchmark.drawing.frame import finish, new_figure
from eidolon.benchmark.drawing.marks import Place, line
from eidolon.benchmark.drawing.style import BLUE, GREY, SCREEN, VERMILION, Sheet, png, short
from eidolon.benchmark.tasks.forget.attention.detail import AttentionDetail

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEAST_RESPONSES = 8
"""Points with fewer responses are not drawn."""


def draw_attention(detail: AttentionDetail, name: str) -> bytes:
    """Return the plot as a PNG. The same detail gives the same bytes."""
    return png(lambda: attention_figure(detail, name, SCREEN))


def attention_figure(detail: AttentionDetail, name: str, sheet: Sheet) -> "Figure":
    """Return the mass by token beside the even share, and by layer before true and wrong names."""
    found = detail.found
    figure = new_figure(sheet, 2.6)
    by_token, by_layer = figure.subplots(1, 2)
    points = [point for point in found.curve if point.responses >= LEAST_RESPONSES]
    mass = [Place(p.token, p.mass.value, p.mass.ci) for p in points if p.mass.value is not None]
    line(by_token, mass, "all tokens", colour=BLUE)
    line(by_token, [Place(p.token, p.even) for p in points], "if spread evenly", colour=GREY, dashes="--")
    by_token.set(xlabel="token of the response", ylabel="attention on the picture, share")
    for group, colour, label in (
        ("grounded", BLUE, "before true names"),
        ("hallucinated", VERMILION, "before wrong names"),
    ):
        places = [
            Place(layer.layer, value)
            for layer in found.layers
            if (value := getattr(layer, group)) is not None
        ]
        line(by_layer, places, label, colour=colour, marker="s")
    by_layer.set(xlabel="layer")
    return finish(
        figure,
        sheet,
        f"{short(name)}: where it looks as it writes",
        notes=[
            f"n = {found.responses} responses; 95 % intervals. Attention on the picture is not yet use of it."
        ],
        legend_of=[by_token, by_layer],
    )


def why_no_attention(detail: AttentionDetail) -> str | None:
    """Return why attention cannot be drawn, None if it can."""
    return detail.found.reason
