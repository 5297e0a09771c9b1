"""Prints a diagnosis as a table."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from eidolon.benchmark.store.diagnosis import Check, Diagnosis
from eidolon.benchmark.terminal.safe_text import one_line
from eidolon.benchmark.terminal.tables import print_table

STYLES = {"ok": "green", "differs": "bold red", "not applicable": "dim"}


def show(diagnosis: Diagnosis, console: Console) -> None:
    """Print one row for each check, and the documentation page if one failed."""
    table = Table(title=f"{one_line(diagnosis.model)}: {diagnosis.samples} samples", title_justify="left")
    table.add_column("check")
    table.add_column("verdict")
    table.add_column("equal", justify="right")
    table.add_column("largest gap", justify="right")
    table.add_column("found", overflow="fold")
    for check in diagnosis.checks:
        table.add_row(
            check.name,
            Text(check.verdict, style=STYLES[check.verdict]),
            "-" if check.n is None else f"{check.equal} of {check.n}",
            _gap(check),
            Text(_found(check)),
        )
    print_table(table, console)
    if diagnosis.failed:
        console.print(
            Text(
                f"failed: {', '.join(diagnosis.failed)}; see docs/reference/doctor-checks.md",
                style="bold red",
            )
        )


def _gap(check: Check) -> str:
    return "-" if check.largest_gap is None else f"{check.largest_gap:.2g}"


def _found(check: Check) -> str:
    figures = "; ".join(
        f"{name} {value:.2g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in check.figures.items()
    )
    return one_line(f"{check.detail} ({figures})" if figures else check.detail)
