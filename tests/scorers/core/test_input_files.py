"""Files that users name: only regular ones are opened, and only up to a size."""

import io
import os
import sys
from pathlib import Path

import pytest

from eidolon.scorers.core import input_files
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import (
    MAX_INTEGER,
    STDIN,
    UnreadableError,
    excerpt,
    open_regular,
    parse_json,
    read_bytes,
    read_image_id,
)
from tests.special_files import SPECIAL

pytestmark = pytest.mark.faults


@pytest.mark.parametrize("kind", SPECIAL)
def test_special_files(kind: str, tmp_path: Path) -> None:
    make, expected = SPECIAL[kind]
    path = tmp_path / "special"
    make(path)
    with pytest.raises(UserError) as caught:
        read_bytes(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert expected in str(caught.value)


def test_a_pipe_that_takes_the_place_of_a_file_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    real = os.stat(__file__)
    monkeypatch.setattr(input_files.os, "stat", lambda path: real)
    with pytest.raises(UnreadableError, match="is a pipe"):
        open_regular(pipe)


def test_sizes_are_bounded_while_reading(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100)
    assert read_bytes(path, 100) == b"x" * 100
    with pytest.raises(UserError, match="the most that is read"):
        read_bytes(path, 99)
    with pytest.raises(UserError, match="the most that is read"):
        read_bytes(Path("/proc/self/maps"), 10)  # a regular file of size 0


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a dog\n")))
    assert read_bytes(STDIN) == b"a dog\n"
    with pytest.raises(UserError, match="give - once"):
        read_bytes(STDIN)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"x" * 11)))
    with pytest.raises(UserError, match="the most that is read"):
        read_bytes(STDIN, 10)
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(UserError, match="no standard input"):
        read_bytes(STDIN)
    with open("/dev/zero") as endless:
        monkeypatch.setattr(sys, "stdin", endless)
        with pytest.raises(UserError, match="is a device"):
            read_bytes(STDIN)


def test_integers_of_thousands_of_digits() -> None:
    with pytest.raises(ValueError, match=r"^an integer of more than 4,300 digits$"):
        parse_json("1" * 5000)
    assert excerpt(10**6000) == "an integer of too many digits"
    assert excerpt("x" * 10**6) == '"' + "x" * 58 + "…"
    assert read_image_id(MAX_INTEGER, "file:1") == MAX_INTEGER
    with pytest.raises(UserError, match=r"file:1: 'image_id' must be at most"):
        read_image_id(10**100, "file:1")
