"""Interventions of runs as a table."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from eidolon.benchmark.store.files import INTERVENTIONS
from eidolon.benchmark.store.loaded import LoadedRun
from eidolon.benchmark.tasks.forget.interventions.detail import InterventionsDetail
from eidolon.benchmark.tasks.forget.interventions.plot import FINDINGS, NAMES, when
from eidolon.benchmark.terminal.safe_text import one_line
from eidolon.benchmark.terminal.tables import print_table
from eidolon.scorers.core.estimate import Estimate


def show(runs: Sequence[LoadedRun], console: Console) -> None:
    """Print the effects of runs, and the findings."""
    for run in runs:
        if not run.has(INTERVENTIONS):
            continue
        found = run.document(INTERVENTIONS, InterventionsDetail).found
        name = one_line(run.name)
        if found.reason is not None:
            console.print(
                f"Interventions of {name}: not measured: {found.reason}", markup=False, highlight=False
            )
            continue
        table = Table(title=f"Interventions during generation, {name}", title_justify="left")
        for column in ("effect", "where", "named of what is left", "wrong mentions"):
            table.add_column(
                column, overflow="fold", justify="left" if column in ("effect", "where") else "right"
            )
        for effect in found.effects:
            numbers = (effect.recall, effect.rate)
            table.add_row(NAMES[effect.effect], when(effect), *map(_cell, numbers))
        print_table(table, console)
        console.print(f"{name}: {FINDINGS[found.verdict]}", markup=False, highlight=False)


def _cell(number: Estimate) -> str:
    if number.value is None:
        return "-"
    bounds = "" if number.ci is None else " [{:+.2f}, {:+.2f}]".format(*number.ci)
    return f"{number.value:+.2f}{bounds}"
