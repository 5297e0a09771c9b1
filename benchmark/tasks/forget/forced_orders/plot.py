"""`orders.png`: the rate of wrong mentions after each prefix, the recall of objects, and the contrasts."""

import io
from collections.abc import Callable
from typing import TYPE_CHECKING

from eidolon.benchmark.tasks.forget.forced_orders.detail import OrdersDetail
from eidolon.benchmark.terminal.safe_text import one_line
from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.forgetting.forced_orders import CellOrder, ContrastName, OrderCell

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LINES: dict[CellOrder, tuple[str, str, str]] = {
    "small": ("begun with the small objects, the large ones left", "#2471a3", "-"),
    "large": ("begun with the large objects, the small ones left", "#c0392b", "-"),
    "own": ("not begun: its own description from there on", "#7f8c8d", "--"),
}
ROWS: dict[ContrastName, str] = {
    "difficulty": "difficulty: small left minus large left",
    "lateness": "lateness: late minus soon",
    "interaction": "difficulty late minus difficulty soon",
    "own_rise": "own description: late minus soon",
}
DPI = 110


def draw_orders(detail: OrdersDetail, name: str) -> bytes:
    """Return the plot as a PNG. The same detail gives the same bytes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 6.5), layout="constrained")
    grid = figure.subplot_mosaic([["rate", "recall"], ["contrasts", "contrasts"]], height_ratios=[1.6, 1])
    figure.suptitle(f"{one_line(name)}: what it names after a given beginning", fontsize=13)
    _draw(grid["rate"], detail, lambda cell: cell.rate, "share of first mentions that are wrong")
    _draw(grid["recall"], detail, lambda cell: cell.recall, "share of what is left that is named")
    _contrasts(grid["contrasts"], detail)
    handles, labels = grid["rate"].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=DPI, metadata={"Software": None})
    return stream.getvalue()


def _draw(axes: "Axes", detail: OrdersDetail, quantity: Callable[[OrderCell], Estimate], label: str) -> None:
    for shift, (order, (name, colour, style)) in enumerate(LINES.items(), start=-1):
        shown = [
            (float(cell.late) + 0.03 * shift, number)
            for cell in detail.found.cells
            if cell.order == order and (number := quantity(cell)).value is not None
        ]
        x = [at for at, _ in shown]
        axes.plot(x, [n.value or 0.0 for _, n in shown], color=colour, ls=style, marker="o", ms=4, label=name)
        for at, number in shown:
            if number.ci is not None:
                axes.plot([at, at], number.ci, color=colour, lw=1.2, alpha=0.7)
    axes.set(xlim=(-0.35, 1.35), ylabel=label)
    axes.set_ylim(bottom=0)
    axes.set_xticks([0, 1], [_position(detail, late) for late in (False, True)])
    axes.grid(alpha=0.2)


def _position(detail: OrdersDetail, late: bool) -> str:
    words = [c.words_before for c in detail.found.cells if c.late == late and c.words_before is not None]
    where = f"after {sum(words) / len(words):.0f} words" if words else "nothing there"
    return f"{'late' if late else 'soon'}: {where}"


def _contrasts(axes: "Axes", detail: OrdersDetail) -> None:
    names = list(ROWS)
    for row, name in enumerate(reversed(names)):
        contrast = detail.contrast(name)
        if contrast is None or contrast.rate.value is None:
            continue
        axes.plot([contrast.rate.value], [row], marker="o", ms=5, color="#333")
        if contrast.rate.ci is not None:
            axes.plot(contrast.rate.ci, [row, row], color="#333", lw=1.6)
    axes.axvline(0, color="#333", lw=0.8, ls="--")
    axes.set_yticks(range(len(names)), [ROWS[name] for name in reversed(names)], fontsize=9)
    axes.set(ylim=(-0.6, len(names) - 0.4), xlabel="difference of the share of first mentions that are wrong")
    axes.set_title(f"{detail.found.verdict} ({detail.found.images} images)", fontsize=10)
    axes.grid(alpha=0.2, axis="x")
