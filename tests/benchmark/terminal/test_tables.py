"""Tables of the terminal lose no number, whatever the width."""

import io

import pytest
from rich.console import Console
from rich.table import Table

from eidolon.benchmark.terminal.tables import print_table


def shown(width: int, columns: int, name: str) -> str:
    table = Table(title="Numbers")
    table.add_column("model", overflow="fold")
    for number in range(columns):
        table.add_column(f"column {number}", justify="right")
    table.add_column("remarks", overflow="fold")
    for line in range(3):
        table.add_row(
            name, *(f"{line}.{number:03d}\n.{line}11-.{line}22" for number in range(columns)), "said " * 9
        )
    console = Console(width=width, file=io.StringIO())
    print_table(table, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
@pytest.mark.parametrize("columns", [1, 4, 9])
@pytest.mark.parametrize("name", ["small", "transformers/a-name/of-a-model-that-is-longer-than-its-column"])
def test_every_number_is_shown_once(width: int, columns: int, name: str) -> None:
    text = shown(width, columns, name)
    assert all(len(line) <= width for line in text.splitlines())
    assert "…" not in text
    for line in range(3):
        assert text.count(f".{line}11-.{line}22") == columns
        for number in range(columns):
            assert text.count(f"{line}.{number:03d}") == 1


def test_what_fits_is_one_table() -> None:
    assert shown(200, 4, "small").count("model") == 1
    assert shown(60, 9, "small").count("model") > 1
    assert shown(60, 9, "small").count("Numbers") == 1
