"""How far the voters of a judge agree, as tables for the terminal and the report."""

from collections.abc import Iterator
from typing import Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from eidolon.benchmark.terminal.safe_text import one_line
from eidolon.benchmark.terminal.tables import print_table
from eidolon.scorers.core.calibration import Calibration, JudgePair

Rows = list[tuple[str, ...]]
"""A header, then the body; the first column names the row."""


def tables(calibration: Calibration) -> list[Rows]:
    """Return the yes rates, and the agreement over all cells and by position, as text."""
    return [list(_yes_rates(calibration)), list(_agreement(calibration))]


def show(calibration: Calibration, title: str, console: Console) -> None:
    """Print the tables."""
    heading = (
        f"Votes of {one_line(title)}: {calibration.voters} on each of {calibration.cells} cells, present from "
        f"{calibration.threshold}"
    )
    if calibration.unreadable is not None:
        heading += f"; {calibration.unreadable:.1%} of the answers are neither yes nor no"
    console.print()
    console.print(Text(heading), soft_wrap=True)
    for rows in tables(calibration):
        table = Table()
        for index, name in enumerate(rows[0]):
            justify: Literal["left", "right"] = "right" if index else "left"
            table.add_column(Text(name), justify=justify, overflow="ellipsis" if index else "fold")
        for row in rows[1:]:
            table.add_row(*map(Text, row))
        print_table(table, console)


def _yes_rates(calibration: Calibration) -> Iterator[tuple[str, ...]]:
    numbers = range(1, len(calibration.yes_rate_by_format) + 1)
    yield ("yes rate", "all formats", *(calibration.formats or map(str, numbers)))
    for name, votes in calibration.judges.items():
        yield (one_line(name), _share(votes.yes_rate), *map(_share, votes.yes_rate_by_format))
    if len(calibration.judges) > 1:
        yield (
            "all judges",
            _share(_yes_rate(calibration)),
            *map(_share, calibration.yes_rate_by_format),
        )


def _agreement(calibration: Calibration) -> Iterator[tuple[str, ...]]:
    yield ("agreement", "cells", "yes rate", "pairs of judges", "Fleiss' kappa", "ignored")
    yield (
        "all cells",
        str(calibration.cells),
        _share(_yes_rate(calibration)),
        _pairs(calibration.pairwise_agreement),
        _share(calibration.fleiss_kappa),
        _share(calibration.ignored),
    )
    if calibration.by_position is None:
        return
    for number, part in enumerate(calibration.by_position.parts, 1):
        yield (
            f"first named in fifth {number}",
            str(part.cells),
            _share(part.yes_rate),
            _pairs(part.pairwise_agreement),
            _share(part.fleiss_kappa),
            _share(part.ignored),
        )


def _yes_rate(calibration: Calibration) -> float | None:
    """Return the share of yes among all votes; every judge has as many."""
    return _mean([votes.yes_rate for votes in calibration.judges.values()])


def _pairs(pairs: tuple[JudgePair, ...]) -> str:
    """Return the mean over all pairs."""
    return _share(_mean([pair.agreement for pair in pairs]))


def _mean(shares: list[float | None]) -> float | None:
    known = [share for share in shares if share is not None]
    return sum(known) / len(known) if known else None


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
