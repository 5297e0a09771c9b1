"""The retention probe of runs as a table: retention by length, one row per kind of text before the questions."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from eidolon.benchmark.store.files import RETENTION
from eidolon.benchmark.store.loaded import LoadedRun
from eidolon.benchmark.tasks.forget.retention.detail import RetentionDetail
from eidolon.benchmark.terminal.safe_text import one_line
from eidolon.benchmark.terminal.tables import print_table
from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.retention.measure import Series
from eidolon.scorers.retention.records import Condition

ROWS: dict[tuple[Condition, Series], str] = {
    ("own", "unnamed"): "own description",
    ("filler", "unnamed"): "filler",
    ("other", "unnamed"): "another's, unnamed",
    ("other", "named"): "another's, named",
    ("before", "unnamed"): "(filler before picture)",
    ("filler", "text"): "(told fact, filler)",
}


def show(runs: Sequence[LoadedRun], console: Console) -> None:
    """Print the retention of runs, and the findings."""
    for run in runs:
        name = run.name
        detail = run.document(RETENTION, RetentionDetail)
        print_table(_table(name, detail), console)
        beyond = [str(n) for n in detail.lengths if detail.extrapolated(n)]
        if beyond:
            console.print(
                f"longer than any training text ({detail.trained_tokens} tokens): {', '.join(beyond)}"
            )
        elif detail.trained_tokens is None:
            console.print("the length of the training texts is unknown; set it by --trained-length")
        for finding in detail.findings:
            if finding.verdict not in ("no fall seen", "not measured"):
                text = f"{finding.condition} {finding.n}: {finding.verdict} ({finding.reason})"
                console.print(text, markup=False, highlight=False)


def _table(name: str, detail: RetentionDetail) -> Table:
    table = Table(title=f"Retention R(n)/R(0) of {one_line(name)}, 95 % intervals", title_justify="left")
    table.add_column("after n tokens of", overflow="fold")
    found = {(point.condition, point.series, point.n): point for point in detail.points}
    shown = sorted({point.n for point in detail.points})
    for n in shown:
        table.add_column(f"{n}*" if detail.extrapolated(n) else str(n), justify="right")
    for (condition, series), label in ROWS.items():
        points = [found.get((condition, series, n)) for n in shown]
        table.add_row(label, *(Text("-" if p is None else _cell(p.retention)) for p in points))
    return table


def _cell(number: Estimate) -> str:
    if number.value is None:
        return "-"
    bounds = "" if number.ci is None else "\n{:.2f}-{:.2f}".format(*number.ci)
    return f"{number.value:.2f}{bounds}"
