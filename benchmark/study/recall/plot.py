"""Draws `mqar.png`: recall by size of the store, and by number of pairs."""

from typing import TYPE_CHECKING

from eidolon.benchmark.drawing.frame import finish, new_figure
from eidolon.benchmark.drawing.style import (
    BLUE,
    DIM,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
    Sheet,
    png,
)
from eidolon.benchmark.study.recall.detail import MemorySummary, MqarDetail
from eidolon.benchmark.study.recall.task import Filler

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LOOKS = {
    "*": (INK, "o"),
    "SWA": (GREY, "s"),
    "M2": (ORANGE, "D"),
    "GDN": (BLUE, "^"),
    "GKA": (PURPLE, "v"),
    "BMF": (GREEN, "P"),
    "BM": (VERMILION, "X"),
}
"""Colour and marker of each memory."""
OTHER = (SKY, "*")
TITLES: dict[Filler, str] = {
    "none": "no filler",
    "predictable": "predictable filler",
    "noise": "noise",
}
SHEET = Sheet(9.5, 8.0, dpi=150)


def draw_mqar(detail: MqarDetail) -> bytes:
    """Return the plot as a PNG, one column for each filler. The same detail gives the same bytes."""
    return png(lambda: mqar_figure(detail), SHEET)


def mqar_figure(detail: MqarDetail) -> "Figure":
    """Return recall by size of the store, above recall by number of pairs."""
    fillers = detail.recipe.fillers
    figure = new_figure(SHEET, 5.2)
    axes = figure.subplots(2, len(fillers), squeeze=False, sharey=True)
    for column, filler in enumerate(fillers):
        own = [row for row in detail.summary if row.filler == filler]
        _stores(axes[0][column], own, max(detail.recipe.pairs))
        _pairs(axes[1][column], own, detail.recipe.pairs)
        axes[0][column].set_title(TITLES[filler])
    for row in axes:
        row[0].set_ylabel("recall")
    note = (
        f"Window {detail.recipe.window}, {detail.recipe.steps} training steps. Bars and bands: from the lowest to "
        "the highest seed. Dotted above: memories without a store."
    )
    return finish(figure, SHEET, _finding(detail), notes=[note], legend_of=[*axes[0], *axes[1]])


def _finding(detail: MqarDetail) -> str:
    """Return which bounded memory recalls most of the largest number of pairs without filler."""
    pairs, filler = max(detail.recipe.pairs), detail.recipe.fillers[0]
    rows = [row for row in detail.summary if (row.pairs, row.filler) == (pairs, filler) and not _grows(row)]
    if not rows:
        return "Associative recall"
    best = max(rows, key=lambda row: row.mean)
    text = f"Of {pairs} pairs, {best.label} recalls {best.mean:.2f}"
    plain = [row for row in rows if " " not in row.label]
    if not plain or best in plain:
        return f"{text}, the most of the memories of bounded size"
    other = max(plain, key=lambda row: row.mean)
    return f"{text}; the best memory without a store, {other.label}, recalls {other.mean:.2f}"


def _grows(row: MemorySummary) -> bool:
    """Return whether a layer has full attention, whose memory grows with the text."""
    return "*" in row.label.split(" ")[0].split("-")


def _stores(axes: "Axes", rows: list[MemorySummary], pairs: int) -> None:
    """Draw recall by size of the store, at one number of pairs. Memories without a store are horizontal lines."""
    rows = [row for row in rows if row.pairs == pairs]
    stored: dict[str, list[tuple[int, MemorySummary]]] = {}
    for row in sorted(rows, key=lambda row: row.mean):
        layout, *rest = row.label.split(" ")
        if rest:
            kept = rest[1] if len(rest) > 1 else "innovation"
            stored.setdefault(f"{layout} {kept}", []).append((int(rest[0]), row))
        else:
            axes.axhline(row.mean, color=_look(layout)[0], ls=":", lw=1.3)
    for name, points in stored.items():
        points = sorted(points, key=lambda point: point[0])
        means = [row.mean for _, row in points]
        reach = [
            [m - row.lowest for m, (_, row) in zip(means, points, strict=True)],
            [row.highest - m for m, (_, row) in zip(means, points, strict=True)],
        ]
        layout, _, kept = name.partition(" ")
        axes.errorbar(
            [size for size, _ in points],
            means,
            reach,
            fmt={"innovation": "-o", "recent": "s"}.get(kept, "^"),
            ms=4,
            capsize=2,
            lw=1.2,
            color=_look(layout)[0] if kept == "innovation" else SKY,
            label=f"{layout}, store: {kept}",
        )
    axes.axhline(1 / pairs, color=DIM, lw=0.8, label="a random value of the text")
    axes.set(ylim=(0, 1.03), xlabel=f"tokens in the store ({pairs} pairs)")
    axes.set_xscale("log", base=2)
    ticks = sorted({size for points in stored.values() for size, _ in points})
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.minorticks_off()
    axes.grid(axis="y")


def _look(layout: str) -> tuple[str, str]:
    return LOOKS.get(layout, OTHER)


def _pairs(axes: "Axes", rows: list[MemorySummary], pairs: tuple[int, ...]) -> None:
    """Draw recall by number of pairs, one line for each memory. Only stores filled by innovation are
    shown."""
    for label in dict.fromkeys(row.label for row in rows):
        layout, *rest = label.split(" ")
        if len(rest) > 1:
            continue
        own = sorted((row for row in rows if row.label == label), key=lambda row: row.pairs)
        colour, marker = _look(layout)
        alpha = 1.0 if not rest else min(1.0, 0.25 + int(rest[0]) / 40)
        x = [row.pairs for row in own]
        axes.plot(x, [row.mean for row in own], marker=marker, ms=3.5, color=colour, alpha=alpha, label=label)
        axes.fill_between(
            x, [row.lowest for row in own], [row.highest for row in own], color=colour, alpha=0.08, lw=0
        )
    axes.plot(pairs, [1 / count for count in pairs], color=DIM, lw=0.8)
    axes.set(xlabel="pairs")
    axes.set_xticks(list(pairs))
    axes.grid(axis="y")
