"""Findings for the terminal: a table a run, then one line that says what they come to."""

from collections import Counter

from rich.console import Console
from rich.table import Table
from rich.text import Text

from eidolon.benchmark.terminal.safe_text import one_line
from eidolon.benchmark.terminal.tables import print_table
from eidolon.benchmark.verify.check.findings import Report

STYLES = {"ok": "green", "differs": "bold red", "not checkable": "yellow"}


def show(report: Report, console: Console) -> None:
    """Print all findings."""
    for run in report.runs:
        table = Table(title=Text(f"{one_line(run.name)} ({one_line(run.run)})"), title_justify="left")
        table.add_column("check", no_wrap=True)
        table.add_column("verdict", no_wrap=True)
        table.add_column("what was found", overflow="fold")
        for finding in run.checks:
            verdict = Text(finding.verdict, style=STYLES[finding.verdict])
            table.add_row(finding.check, verdict, Text(finding.detail))
        print_table(table, console)
        counts: Counter[str] = Counter(finding.verdict for finding in run.checks)
        line = ", ".join(f"{counts[verdict]} {verdict}" for verdict in STYLES if counts[verdict])
        console.print(Text(f"{one_line(run.run)}: {run.verdict}: {line}"), soft_wrap=True)
