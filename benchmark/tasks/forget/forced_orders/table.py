"""Forced orders of runs as a table: the rate of wrong mentions after each prefix, and the contrasts."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from eidolon.benchmark.store.files import ORDERS
from eidolon.benchmark.store.loaded import LoadedRun
from eidolon.benchmark.tasks.forget.forced_orders.detail import OrdersDetail
from eidolon.benchmark.terminal.safe_text import one_line
from eidolon.benchmark.terminal.tables import print_table
from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.forgetting.forced_orders import ContrastName

ROWS = {
    "small": "small named, large left",
    "large": "large named, small left",
    "own": "(its own description)",
}
SHOWN: tuple[ContrastName, ...] = ("difficulty", "lateness")


def show(runs: Sequence[LoadedRun], console: Console) -> None:
    """Print the rates of wrong first mentions of runs, and the contrasts."""
    for run in runs:
        name = run.name
        detail = run.document(ORDERS, OrdersDetail)
        if detail.found.reason is not None:
            line = f"Forced orders of {one_line(name)}: not measured: {detail.found.reason}"
            console.print(line, markup=False, highlight=False)
            continue
        print_table(_table(name, detail), console)
        contrasts = [(name, detail.contrast(name)) for name in SHOWN]
        effects = "; ".join(f"{name} {_cell(found.rate, signed=True)}" for name, found in contrasts if found)
        console.print(f"{effects}: {detail.found.verdict}", markup=False, highlight=False)


def _table(name: str, detail: OrdersDetail) -> Table:
    title = f"Wrong first mentions of {one_line(name)} after forced beginnings, 95 % intervals"
    table = Table(title=title, title_justify="left")
    table.add_column("beginning", overflow="fold")
    for late in (False, True):
        words = [c.words_before for c in detail.found.cells if c.late == late and c.words_before is not None]
        table.add_column(f"after {sum(words) / len(words):.0f} words" if words else "-", justify="right")
    cells = {(cell.order, cell.late): cell for cell in detail.found.cells}
    for order, label in ROWS.items():
        rates = (cells[order, late].rate for late in (False, True))  # type: ignore[index]
        table.add_row(label, *(_cell(rate) for rate in rates))
    return table


def _cell(number: Estimate, *, signed: bool = False) -> str:
    if number.value is None:
        return "-"
    form = "{:+.3f}" if signed else "{:.3f}"
    bounds = "" if number.ci is None else " [" + ", ".join(form.format(bound) for bound in number.ci) + "]"
    return form.format(number.value) + bounds
