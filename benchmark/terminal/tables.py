"""Tables for the terminal that lose no number: what is too wide for one table is printed in several."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from rich.console import Console
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text

NARROWEST = 12
"""Columns that are left to a text that may be folded."""
UNLIMITED = 10_000
"""A width that no table reaches, to measure what a table needs."""


def print_table(table: Table, console: Console) -> None:
    """Print a table. Columns with `overflow="fold"` hold texts, which may be folded; all others are never cut.

    A table that is too wide is printed in parts. Each has the texts at the front, which name the row, and as many of
    the other columns as fit.
    """
    for column in table.columns:
        column.no_wrap = column.overflow != "fold"
    if table.title is not None:  # by itself, so that it may be wider than the table
        console.print(Text(str(table.title), style="table.title"), soft_wrap=True)
        table.title = None
    for part in _parts(table, console):
        console.print(part)


def _parts(table: Table, console: Console) -> Iterator[Table]:
    columns = table.columns
    if _fits(table, columns, console):
        yield table
        return
    front = next((at for at, column in enumerate(columns) if column.no_wrap), len(columns)) or 1
    keys, shown = columns[:front], list[Column]()
    for column in columns[front:]:
        if shown and not _fits(table, [*keys, *shown, column], console):
            yield _with(table, [*keys, *shown])
            shown = []
        shown.append(column)
    yield _with(table, [*keys, *shown])


def _fits(table: Table, columns: Sequence[Column], console: Console) -> bool:
    """Tell whether the columns fit into the console, with folded texts as narrow as they may be."""
    narrowed = [column if column.no_wrap else replace(column, max_width=NARROWEST) for column in columns]
    options = console.options.update(max_width=UNLIMITED)
    return Measurement.get(console, options, _with(table, narrowed)).maximum <= console.width


def _with(table: Table, columns: Sequence[Column]) -> Table:
    """Return a table of the same rows with these columns."""
    part = Table(
        *(replace(column, _index=index) for index, column in enumerate(columns)),
        box=table.box,
        padding=table.padding,
        pad_edge=table.pad_edge,
        show_header=table.show_header,
    )
    part.rows = table.rows
    return part
