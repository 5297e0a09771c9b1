"""Lines of a large file: against a list of them, and when the file changes."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from eidolon.benchmark.store import stored_lines
from eidolon.benchmark.store.stored_lines import StoredLines


def numbered(number: int, line: bytes) -> tuple[int, str]:
    if line.startswith(b"bad"):
        raise KeyError(number)
    return number, line.decode()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.text("ab é", max_size=9), max_size=12), every=st.integers(1, 5), data=st.data())
def test_they_are_a_list_of_the_lines(
    texts: list[str], every: int, data: st.DataObject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_lines, "EVERY", every)
    path = tmp_path / "lines"
    path.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    kept = [(number, f"{text}\n") for number, text in enumerate(texts, 1)]
    stored = StoredLines(path, numbered, 100)
    assert len(stored) == len(kept)
    assert [*stored] == kept == [*stored]
    start, stop = (data.draw(st.one_of(st.none(), st.integers(-14, 14))) for _ in range(2))
    assert stored[start:stop] == kept[start:stop]
    for index in range(-len(kept), len(kept)):
        assert stored[index] == kept[index]
    for index in (len(kept), -len(kept) - 1):
        with pytest.raises(IndexError):
            stored[index]


def test_a_wrong_line_is_found_at_once(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_text("good\nbad\n")
    with pytest.raises(KeyError, match="2"):
        StoredLines(path, numbered, 100)


def test_a_long_line_is_not_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_text("abcdefgh\n")
    assert StoredLines(path, numbered, 4)[0] == (1, "abcde")


@pytest.mark.parametrize("replaced", [False, True])
def test_a_changed_file_is_an_error(tmp_path: Path, replaced: bool) -> None:
    path = tmp_path / "lines"
    path.write_text("one\ntwo\n")
    stored = StoredLines(path, numbered, 100)
    if replaced:
        (tmp_path / "other").write_text("one\nTWO\n")
        path.unlink()
        path.symlink_to(tmp_path / "other")
    else:
        path.write_text("one\ntwo\nthree\n")
    with pytest.raises(ValueError, match="was changed while it was read"):
        stored[0]
