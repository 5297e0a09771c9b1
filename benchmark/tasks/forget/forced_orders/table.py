"""Forced orders of runs as a table: what is named wrongly after which begun turn, and what that says."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from eidolon.benchmark.store.files import ORDERS
from eidolon.benchmark.tasks.forget.forced_orders.detail import OrdersDetail
from eidolon.benchmark.terminal.safe_text import one_line
from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.forgetting.forced_orders import ContrastName

BEGUN = {
    "small": "small named, large left",
    "large": "large named, small left",
    "own": "(its own description)",
}
TOLD: tuple[ContrastName, ...] = ("difficulty", "lateness")


def show(runs: Sequence[tuple[str, Path]], console: Console) -> None:
    """Print rates of wrong first mentions after begun turns, of runs given by name and folder."""
    for name, path in runs:
        detail = OrdersDetail.model_validate_json((path / ORDERS).read_bytes())
        if detail.found.reason is not None:
            told = f"Forced orders of {one_line(name)}: not measured: {detail.found.reason}"
            console.print(told, markup=False, highlight=False)
            continue
        console.print(_table(name, detail))
        contrasts = [(told, detail.contrast(told)) for told in TOLD]
        said = "; ".join(f"{told} {_cell(found.rate, signed=True)}" for told, found in contrasts if found)
        console.print(f"{said}: {detail.found.verdict}", markup=False, highlight=False)


def _table(name: str, detail: OrdersDetail) -> Table:
    title = f"Wrong first mentions of {one_line(name)} after a begun turn, 95 % intervals"
    table = Table(title=title, title_justify="left")
    table.add_column("begun with")
    for late in (False, True):
        words = [c.words_before for c in detail.found.cells if c.late == late and c.words_before is not None]
        table.add_column(f"after {sum(words) / len(words):.0f} words" if words else "-", justify="right")
    cells = {(cell.order, cell.late): cell for cell in detail.found.cells}
    for order, label in BEGUN.items():
        rates = (cells[order, late].rate for late in (False, True))  # type: ignore[index]
        table.add_row(label, *(_cell(rate) for rate in rates))
    return table


def _cell(number: Estimate, *, signed: bool = False) -> str:
    if number.value is None:
        return "-"
    form = "{:+.3f}" if signed else "{:.3f}"
    bounds = "" if number.ci is None else " [" + ", ".join(form.format(bound) for bound in number.ci) + "]"
    return form.format(number.value) + bounds
