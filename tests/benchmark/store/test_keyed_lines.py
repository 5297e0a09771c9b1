"""Records by key: in order, out of order, missing, and with what a dict of all of them says."""

import random
from pathlib import Path

import pytest

from eidolon.benchmark.store.keyed_lines import KeyedLines

ROWS = [f"key{i} value{i}" for i in range(40)]


def split(number: int, line: bytes) -> tuple[int, str, str]:
    key, value = line.decode().split()
    return number, key, value


def keyed(path: Path | None, longest: int = 100) -> KeyedLines[str, tuple[int, str, str]]:
    return KeyedLines(path, split, lambda row: row[1], longest)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "rows.txt"
    file.write_text("".join(f"{row}\n" for row in ROWS))
    return file


def test_any_order_finds_what_a_dict_finds(path: Path) -> None:
    naive = {row.split()[0]: (number, *row.split()) for number, row in enumerate(ROWS, 1)}
    rng = random.Random(0)
    orders = [
        [*naive],
        [key for key in naive for _ in range(3)],
        [*naive][5:],
        [key for i, key in enumerate(naive) if i % 3],
        [*naive] * 2,
        rng.choices([*naive, "none"], k=100),
        ["none", *naive, "none"],
    ]
    for order in orders:
        with keyed(path) as found:
            assert [found.get(key) for key in order] == [naive.get(key) for key in order]


def test_in_the_order_of_the_file_each_line_is_read_once(path: Path) -> None:
    read: list[int] = []

    def parse(number: int, line: bytes) -> tuple[int, str, str]:
        read.append(number)
        return split(number, line)

    with KeyedLines(path, parse, lambda row: row[1], 100) as found:
        for row in ROWS:
            assert found.get(row.split()[0]) is not None
    assert read == [*range(1, len(ROWS) + 1)]


def test_without_a_file_there_is_no_record() -> None:
    with keyed(None) as found:
        assert found.get("key0") is None


def test_what_parsing_raises_passes_with_the_number_of_the_line(path: Path) -> None:
    path.write_text("key0 value\nno\n")
    with keyed(path) as found, pytest.raises(ValueError, match="not enough values"):
        found.get("key1")
