"""The generative cloze of runs as a table."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from eidolon.benchmark.store.files import CLOZE
from eidolon.benchmark.store.loaded import LoadedRun
from eidolon.benchmark.tasks.forget.cloze.detail import ClozeDetail
from eidolon.benchmark.tasks.forget.cloze.plot import FINDINGS
from eidolon.benchmark.terminal.safe_text import one_line
from eidolon.benchmark.terminal.tables import print_table
from eidolon.scorers.core.estimate import Estimate


def show(runs: Sequence[LoadedRun], console: Console) -> None:
    """Print the cloze of runs by length, and the findings."""
    for run in runs:
        if not run.has(CLOZE):
            continue
        found = run.document(CLOZE, ClozeDetail).found
        name = one_line(run.name)
        if found.reason is not None:
            console.print(f"Cloze of {name}: not measured: {found.reason}", markup=False, highlight=False)
            continue
        title = f"True minus absent names after 'There is also', {name}, nats"
        table = Table(title=title, title_justify="left")
        for column in ("after n tokens", "images", "after its text", "same names at 0", "kept"):
            table.add_column(column, justify="right", overflow="fold")
        for point in found.points:
            numbers = (point.difference, point.difference_at_0, point.kept)
            table.add_row(str(point.n), str(point.images), *map(_cell, numbers))
        print_table(table, console)
        change = _cell(found.change)
        text = f"change per 100 tokens {change}: {FINDINGS[found.verdict]}"
        console.print(text, markup=False, highlight=False)


def _cell(number: Estimate) -> str:
    if number.value is None:
        return "-"
    bounds = "" if number.ci is None else " [{:.2f}, {:.2f}]".format(*number.ci)
    return f"{number.value:.2f}{bounds}"
