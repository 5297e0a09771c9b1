"""Windows: no text is lost, none is too long, and sentences stay whole if they fit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eidolon.scorers.text.windows import windows

TEXT = st.text(alphabet="ab.!? \n\t\"')", max_size=200)


@given(TEXT, st.integers(1, 40))
def test_nothing_is_lost_doubled_or_too_long(text: str, size: int) -> None:
    found = windows(text, size)
    assert "".join("".join(found).split()) == "".join(text.split())
    assert all(len(window) <= size for window in found)
    assert len(found) == 1 or all(window == window.strip() != "" for window in found)


@given(TEXT)
def test_what_fits_is_not_touched(text: str) -> None:
    assert windows(text, len(text)) == [text]


@given(st.lists(st.integers(1, 12), min_size=1, max_size=12), st.integers(13, 40))
def test_sentences_stay_whole_and_windows_are_filled(lengths: list[int], size: int) -> None:
    sentences = ["a" * n + "." for n in lengths]
    found = windows(" ".join(sentences), size)
    packed: list[str] = []
    for sentence in sentences:
        if packed and len(packed[-1]) + 1 + len(sentence) <= size:
            packed[-1] += " " + sentence
        else:
            packed.append(sentence)
    assert found == packed


@pytest.mark.parametrize(
    ("text", "size", "expected"),
    [
        ("One two. Three four.", 10, ["One two.", "Three", "four."]),
        ('He said "no." Then left.', 14, ['He said "no."', "Then left."]),
        ("First line\nsecond line", 12, ["First line", "second line"]),
        ("abcdefghij", 4, ["abcd", "efgh", "ij"]),
        ("   \n   ", 3, ["   "]),
        ("A.B is no end. C.", 14, ["A.B is no end.", "C."]),
    ],
)
def test_where_it_cuts(text: str, size: int, expected: list[str]) -> None:
    assert windows(text, size) == expected
