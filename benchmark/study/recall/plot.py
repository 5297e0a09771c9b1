"""Draws `mqar.png`: recall by size of the store, and by number of pairs."""

import io
from typing import TYPE_CHECKING

from eidolon.benchmark.study.recall.detail import MemorySummary, MqarDetail
from eidolon.benchmark.study.recall.task import Filler

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = {
    "*": "#222222",
    "SWA": "#7f8c8d",
    "M2": "#d68910",
    "GDN": "#2471a3",
    "GKA": "#8e44ad",
    "BMF": "#27ae60",
    "BM": "#c0392b",
}
OTHER = "#c39bd3"
TITLES: dict[Filler, str] = {
    "none": "no filler",
    "predictable": "predictable filler",
    "noise": "noise",
}
DPI = 110


def draw_mqar(detail: MqarDetail) -> bytes:
    """Return the plot as a PNG, one column for each filler. The same detail gives the same bytes."""
    from matplotlib.figure import Figure

    fillers = detail.recipe.fillers
    figure = Figure(figsize=(4.6 * len(fillers), 8), layout="constrained")
    axes = figure.subplots(2, len(fillers), squeeze=False, sharey=True)
    steps = detail.recipe.steps
    figure.suptitle(
        f"Associative recall: window {detail.recipe.window}, {steps} training steps; bars and bands: seeds",
        fontsize=12,
    )
    for column, filler in enumerate(fillers):
        own = [row for row in detail.summary if row.filler == filler]
        _stores(axes[0][column], own, max(detail.recipe.pairs))
        _pairs(axes[1][column], own, detail.recipe.pairs)
        axes[0][column].set_title(TITLES[filler], fontsize=10)
    for row in axes:
        row[0].set_ylabel("recall")
    if axes[0][0].get_legend_handles_labels()[0]:
        axes[0][0].legend(fontsize=7, frameon=False, loc="upper left", bbox_to_anchor=(0, 0.97))
    axes[1][-1].legend(fontsize=7, frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=DPI, metadata={"Software": None})
    return stream.getvalue()


def _stores(axes: "Axes", rows: list[MemorySummary], pairs: int) -> None:
    """Draw recall by size of the store, at one number of pairs. Memories without a store are horizontal lines."""
    rows = [row for row in rows if row.pairs == pairs]
    stored: dict[str, list[tuple[int, MemorySummary]]] = {}
    written = -1.0
    for row in sorted(rows, key=lambda row: row.mean):
        layout, *rest = row.label.split(" ")
        if rest:
            kept = rest[1] if len(rest) > 1 else "innovation"
            stored.setdefault(f"{layout} {kept}", []).append((int(rest[0]), row))
            continue
        axes.axhline(row.mean, color=COLOURS.get(layout, OTHER), ls=":", lw=1.2)
        written = max(row.mean, written + 0.035)  # labels of close levels are moved apart
        axes.annotate(layout, (1.01, written), xycoords=("axes fraction", "data"), fontsize=7, va="center")
    for name, points in stored.items():
        points = sorted(points, key=lambda point: point[0])
        means = [row.mean for _, row in points]
        reach = [
            [m - row.lowest for m, (_, row) in zip(means, points, strict=True)],
            [row.highest - m for m, (_, row) in zip(means, points, strict=True)],
        ]
        style = "-o" if name.endswith("innovation") else ("s" if name.endswith("recent") else "^")
        axes.errorbar(
            [size for size, _ in points],
            means,
            reach,
            fmt=style,
            ms=4,
            capsize=2,
            lw=1.4,
            color=COLOURS["BM"] if name == "BM innovation" else OTHER,
            label=name,
        )
    axes.axhline(1 / pairs, color="#999", lw=0.8)
    axes.annotate(
        "random value",
        (0.02, 1 / pairs),
        xycoords=("axes fraction", "data"),
        fontsize=7,
        va="bottom",
        color="#777",
    )
    axes.set(ylim=(0, 1.03), xlabel=f"tokens in the store ({pairs} pairs)")
    axes.set_xscale("log", base=2)
    ticks = sorted({size for points in stored.values() for size, _ in points})
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.grid(alpha=0.2)


def _pairs(axes: "Axes", rows: list[MemorySummary], pairs: tuple[int, ...]) -> None:
    """Draw recall by number of pairs, one line for each memory. Only stores filled by innovation are
    shown."""
    for label in dict.fromkeys(row.label for row in rows):
        layout, *rest = label.split(" ")
        if len(rest) > 1:
            continue
        own = sorted((row for row in rows if row.label == label), key=lambda row: row.pairs)
        colour = COLOURS.get(layout, OTHER)
        alpha = 1.0 if not rest else min(1.0, 0.25 + int(rest[0]) / 40)
        x = [row.pairs for row in own]
        axes.plot(x, [row.mean for row in own], "-o", ms=3, lw=1.5, color=colour, alpha=alpha, label=label)
        axes.fill_between(
            x, [row.lowest for row in own], [row.highest for row in own], color=colour, alpha=0.08, lw=0
        )
    axes.plot(pairs, [1 / count for count in pairs], color="#999", lw=0.8)
    axes.set(xlabel="pairs")
    axes.set_xticks(list(pairs))
    axes.grid(alpha=0.2)
