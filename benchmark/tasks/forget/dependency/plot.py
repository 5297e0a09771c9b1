"""`pdm.png`: how far each kind of token depends on the picture along a response, and how fast that decays."""

import io
import textwrap
from typing import TYPE_CHECKING

from eidolon.benchmark.terminal.safe_text import one_line
from eidolon.scorers.forgetting.dependency import ALL, Label, PdmCurve, PdmTable
from eidolon.scorers.forgetting.fading import Fade
from eidolon.scorers.forgetting.token_kinds import KIND_NAMES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEAST_TOKENS = 10
"""Points with fewer tokens are not plotted; the table has them."""
COLOURS: dict[Label, str] = {
    ALL: "#333333",
    "object": "#c0392b",
    "content": "#2471a3",
    "function": "#7f8c8d",
    "rest": "#d68910",
}
NAMES: dict[str, str] = {ALL: "all tokens", **{str(kind): name for kind, name in KIND_NAMES.items()}}
DPI = 110


def draw_pdm(table: PdmTable, name: str) -> bytes:
    """Return the plot as a PNG. The same table gives the same bytes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 7.5), layout="constrained")
    grid = figure.subplot_mosaic(
        [["curves", "fade"], ["counts", "means"]], height_ratios=[2, 1], width_ratios=[1.35, 1]
    )
    figure.suptitle(
        f"{one_line(name)}: dependence on the picture over the length of a response (without: {table.without})",
        fontsize=12.5,
        parse_math=False,
    )
    shown = [line for line in table.curves if not line.survivors]
    _curves(grid["curves"], table)
    _counts(grid["counts"], next((line for line in shown if line.label == ALL), None), grid["curves"])
    _fades(grid["fade"], [table.fade, *table.sensitivity])
    _means(grid["means"], table)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=DPI, metadata={"Software": None})
    return stream.getvalue()


def _curves(axes: "Axes", table: PdmTable) -> None:
    for line in table.curves:
        shown = [
            ((p.start + p.end) / 2 if p.end else p.start, p.value, p.ci)
            for p in line.points
            if p.value is not None and p.tokens >= LEAST_TOKENS
        ]
        if not shown or (line.survivors and line.label == "rest"):
            continue
        x, colour = [at for at, _, _ in shown], COLOURS[line.label]
        if line.survivors:
            axes.plot(x, [value for _, value, _ in shown], lw=1.2, ls=":", color=colour)
            continue
        axes.plot(
            x,
            [value for _, value, _ in shown],
            marker="o",
            ms=3,
            lw=1.5,
            color=colour,
            label=NAMES[line.label],
        )
        bands = [(at, *ci) for at, _, ci in shown if ci]
        if bands:
            at, low, high = zip(*bands, strict=True)
            axes.fill_between(at, low, high, color=colour, alpha=0.15, lw=0)
    survival = table.settings["survival"]
    axes.plot([], [], lw=1.2, ls=":", color="#333", label=f"the same, responses of {survival} tokens or more")
    axes.set(ylim=(0, 1.3), ylabel="PDM (Hellinger distance)", title="With the picture against without it")
    axes.set_yticks([0, 0.2, 0.4, 0.6, 0.8, 1])
    axes.legend(fontsize=8, frameon=False, loc="upper left", ncols=2)  # above 1, the largest distance
    axes.grid(alpha=0.2)


def _counts(axes: "Axes", line: PdmCurve | None, above: "Axes") -> None:
    axes.sharex(above)
    if line is not None:
        x = [(p.start + p.end) / 2 if p.end else p.start for p in line.points]
        axes.step(x, [p.alive for p in line.points], where="mid", color="#333", lw=1.3)
        axes.set_ylim(bottom=0)
    axes.set(xlabel="tokens before", ylabel="responses still going")
    axes.grid(alpha=0.2)


def _fades(axes: "Axes", fits: list[Fade]) -> None:
    labels = []
    for row, fit in enumerate(fits):
        colour = "#c0392b" if row == 0 else "#555"
        label = NAMES.get(fit.label, fit.label)
        if fit.decay_per_100 is None:
            labels.append(f"{label}: none")
            continue
        labels.append(label)
        if fit.decay_per_100_ci is not None:
            axes.plot(fit.decay_per_100_ci, [row, row], color=colour, lw=2)
        axes.plot([fit.decay_per_100], [row], "o", color=colour, ms=5)
    axes.axvline(0, color="#333", lw=0.8, ls="--")
    axes.set_yticks(range(len(fits)), ["\n".join(textwrap.wrap(label, 26)) for label in labels], fontsize=8)
    low, _ = axes.get_xlim()
    axes.set(
        xlim=(max(low - 0.05, -1.5), 1),
        ylim=(len(fits) - 0.4, -0.6),
        xlabel="lost per 100 tokens (1 - e$^{-100λ}$)",
        title="Fading of the log-probability difference",
    )
    axes.grid(alpha=0.2, axis="x")


def _means(axes: "Axes", table: PdmTable) -> None:
    rows = [(mean, mean.value) for mean in table.means if mean.value is not None]
    for row, (mean, value) in enumerate(rows):
        kind = mean.label.partition(",")[0]
        colour = next((colour for label, colour in COLOURS.items() if label == kind), "#333")
        if mean.ci is not None:
            axes.plot(mean.ci, [row, row], color=colour, lw=2)
        axes.plot([value], [row], "o", color=colour, ms=5)
    labels = [f"{NAMES.get(mean.label, mean.label)} ({mean.tokens:,})" for mean, _ in rows]
    axes.set_yticks(range(len(rows)), labels, fontsize=8)
    axes.set(xlim=(0, 1), ylim=(len(rows) - 0.4, -0.6), xlabel="mean PDM (tokens)")
    axes.grid(alpha=0.2, axis="x")
