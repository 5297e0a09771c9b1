"""Position given knowledge of runs, as a table."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from eidolon.benchmark.store.files import KNOWLEDGE
from eidolon.benchmark.store.loaded import LoadedRun
from eidolon.benchmark.tasks.forget.knowledge.detail import KnowledgeDetail
from eidolon.benchmark.terminal.safe_text import one_line
from eidolon.benchmark.terminal.tables import print_table
from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.forgetting.knowledge import Verdict

FINDINGS: dict[Verdict, str] = {
    "rises": "hallucination rises with position, with what it knew at the start held fixed",
    "falls": "hallucination falls with position, with what it knew at the start held fixed",
    "no change shown": "no effect of position is shown, with what it knew at the start held fixed",
    "judge not held": "judge errors by position not held: not measured, or the judge misses late what it reads early",
    "knowledge not held": "what it answers at the start does not predict what it names, so that nothing is held fixed",
    "not measured": "position given knowledge was not measured",
}
"""Verdicts in words."""


def show(runs: Sequence[LoadedRun], console: Console) -> None:
    """Print the odds ratios of runs side by side, and the findings."""
    there = [run for run in runs if run.has(KNOWLEDGE)]
    if not there:
        return
    title = "Odds ratio of a wrong first mention per 100 words, 95 % intervals"
    table = Table(title=title, title_justify="left")
    for column in ("model", "given knowledge", "length not held", "noise ignored", "knowledge not held"):
        table.add_column(column, overflow="fold", justify="left" if column == "model" else "right")
    notes = []
    for run in there:
        found = run.document(KNOWLEDGE, KnowledgeDetail).found
        cells = (found.position_given_knowledge, found.length_not_held, found.noise_ignored, found.plain)
        table.add_row(one_line(run.name), *map(cell, cells))
        reason = f" ({found.reason})" if found.reason else ""
        notes.append(f"{one_line(run.name)}: {FINDINGS[found.verdict]}{reason}")
    print_table(table, console)
    for note in notes:
        console.print(note, markup=False, highlight=False)


def cell(number: Estimate | None) -> str:
    """Return an odds ratio with its interval; a dash where there is none."""
    if number is None or number.value is None:
        return "-"
    bounds = "" if number.ci is None else " [{:.2g}, {:.2g}]".format(*number.ci)
    return f"{number.value:.3g}{bounds}"
