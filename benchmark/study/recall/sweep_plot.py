"""Draws `recall.png`: recall by bytes of state, one panel for each setting."""

from math import ceil, floor, log2
from typing import TYPE_CHECKING

from eidolon.benchmark.drawing.frame import finish, new_figure
from eidolon.benchmark.drawing.style import DIM, Sheet, png
from eidolon.benchmark.study.recall.plot import LOOKS, OTHER
from eidolon.benchmark.study.recall.sweep_records import RecallSweep, SweptMemory

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHEET = Sheet(9.5, 5.0, dpi=150)
KIB = 1024


def draw_sweep(sweep: RecallSweep) -> bytes | None:
    """Return the plot as a PNG; None without a memory that is reported. The same sweep gives the same bytes."""
    if not reported(sweep):
        return None
    return png(lambda: sweep_figure(sweep), SHEET)


def reported(sweep: RecallSweep) -> list[SweptMemory]:
    """Return the memories with results."""
    return [one for one in sweep.memories if one.recall]


def sweep_figure(sweep: RecallSweep) -> "Figure":
    """Return recall by bytes of state: a mark for the mean over seeds, and a bar from the lowest to the highest."""
    rows = reported(sweep)
    settings = sorted({(one.length, one.pairs) for one in rows})
    figure = new_figure(SHEET, 3.0)
    panels = figure.subplots(1, len(settings), squeeze=False, sharey=True)[0]
    for axes, (length, pairs) in zip(panels, settings, strict=True):
        _panel(axes, [one for one in rows if (one.length, one.pairs) == (length, pairs)])
        axes.set_title(f"{pairs} pairs in {length} tokens")
    panels[0].set_ylabel("recall")
    left = len(sweep.missing)
    note = f"Learning rates swept on one seed, at most {sweep.recipe.budget:,} training sequences."
    notes = [note, f"{left} trainings are not finished."] if left else [note]
    return finish(figure, SHEET, _finding(rows), notes=notes, legend_of=[*panels])


def _panel(axes: "Axes", rows: list[SweptMemory]) -> None:
    for one in rows:
        assert one.recall is not None
        colour, marker = LOOKS.get(one.label.split(" ")[0].split("-")[0], OTHER)
        mean = one.mean
        assert mean is not None
        reach = [[mean - min(one.recall)], [max(one.recall) - mean]]
        label = f"{one.label} ({len(one.recall)} seed{'s' if len(one.recall) > 1 else ''})"
        axes.errorbar(
            [one.state_bytes / KIB], [mean], reach, fmt=marker, color=colour, ms=6, capsize=3, label=label
        )
    axes.axhline(1, color=DIM, lw=0.8)
    axes.set(ylim=(0, 1.05), xlabel="KiB of state")
    axes.set_xscale("log", base=2)
    sizes = [one.state_bytes / KIB for one in rows]
    ticks = [2**power for power in range(floor(log2(min(sizes))), ceil(log2(max(sizes))) + 1)]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.grid(axis="y")


def _finding(rows: list[SweptMemory]) -> str:
    """Return the recall of the memory with the fewest bytes among those that recall almost everything."""
    full = [one for one in rows if (one.mean or 0) >= 0.99]
    if not full:
        return "Associative recall at published sizes"
    least = min(full, key=lambda one: one.state_bytes)
    return f"{least.label} recalls {least.mean:.2f} of {least.pairs} pairs with {least.state_bytes / KIB:.0f} KiB"
