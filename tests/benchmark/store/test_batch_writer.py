"""The batch writer: retries first, then missing batches; any history of failures and kills ends with the same bytes."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eidolon.benchmark.store.batch_file import BatchFile, Key
from eidolon.benchmark.store.batch_writer import (
    Stage,
    batch_by_batch,
    complete,
    is_complete,
    transient_failures,
)
from eidolon.scorers.core.types import Record

KEYS = [(f"s{i // 2}", i % 2) for i in range(11)]


class Note(Record):
    """A record that no part of the store knows."""

    sample_id: str
    generation: int
    text: str | None
    transient: bool = False


class Writer:
    """A model that fails transiently at some keys, and records the batches that it got."""

    def __init__(self, failing: Sequence[Key] = ()) -> None:
        self.failing = set(failing)
        self.batches: list[list[Key]] = []
        self.replaced = 0
        self.done: list[int] = []

    def write(self, keys: Sequence[Key]) -> list[Note]:
        self.batches.append([*keys])
        return [
            Note(sample_id=s, generation=g, text=None if (s, g) in self.failing else f"{s} {g}",
                 transient=(s, g) in self.failing)
            for s, g in keys
        ]  # fmt: skip

    def before_replace(self) -> None:
        self.replaced += 1

    def run(self, path: Path, size: int) -> Sequence[Note]:
        stage: Stage[Note] = Stage(
            label="notes",
            tokens=lambda note: len(note.text or ""),
            failed=lambda note: note.text is None,
            before_replace=self.before_replace,
            after_batch=lambda notes, done: self.done.append(done),
        )
        file = BatchFile(path, Note, KEYS, size)
        return complete(file, batch_by_batch("written", "notes", self.write), stage)


def test_missing_batches_are_written_in_order(tmp_path: Path) -> None:
    writer = Writer()
    notes = writer.run(tmp_path / "notes.jsonl", 4)
    assert [(note.sample_id, note.generation) for note in notes] == KEYS
    assert writer.batches == [KEYS[:4], KEYS[4:8], KEYS[8:]]
    assert writer.done == [4, 8, 11]
    again = Writer()
    assert again.run(tmp_path / "notes.jsonl", 4) == notes
    assert (again.batches, again.replaced) == ([], 0)


def test_transient_failures_are_retried_first_by_their_batch(tmp_path: Path) -> None:
    path = tmp_path / "notes.jsonl"
    failing = [KEYS[1], KEYS[3], KEYS[6]]
    Writer(failing).run(path, 4)
    file = BatchFile(path, Note, KEYS, 4)
    assert transient_failures(file) == [[KEYS[1], KEYS[3]], [KEYS[6]]]
    assert not is_complete(file)
    # The last batch is missing too.
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:9]))
    writer = Writer([KEYS[3]])
    writer.run(path, 4)
    assert writer.batches == [[KEYS[1], KEYS[3]], [KEYS[6]], KEYS[8:]]
    assert writer.done == [7, 8, 11]  # the progress starts without what is retried
    assert writer.replaced == 2
    assert transient_failures(BatchFile(path, Note, KEYS, 4)) == [[KEYS[3]]]


def test_a_retry_without_success_changes_no_byte(tmp_path: Path) -> None:
    path = tmp_path / "notes.jsonl"
    Writer([KEYS[2]]).run(path, 4)
    before, changed = path.read_bytes(), path.stat().st_mtime_ns
    writer = Writer([KEYS[2]])
    writer.run(path, 4)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == (before, changed)
    assert (writer.batches, writer.replaced) == ([[KEYS[2]]], 0)


def test_a_producer_gets_all_batches_at_once(tmp_path: Path) -> None:
    """So that a coordinator can hand them out to several processes."""
    got: list[list[list[Key]]] = []

    def produce(batches: Sequence[Sequence[Key]]) -> Iterator[list[Note]]:
        got.append([[*keys] for keys in batches])
        yield from map(Writer().write, batches)

    stage: Stage[Note] = Stage(label="notes", tokens=lambda note: 0, failed=lambda note: False)
    complete(BatchFile(tmp_path / "notes.jsonl", Note, KEYS, 5), produce, stage)
    assert got == [[KEYS[:5], KEYS[5:10], KEYS[10:]]]


sessions = st.lists(
    st.tuples(st.lists(st.sampled_from(KEYS)), st.floats(0, 1)),
    max_size=4,
)


@given(sessions, st.integers(1, 12))
def test_any_history_ends_with_the_same_bytes(
    tmp_path_factory: pytest.TempPathFactory, history: list[tuple[list[Key], float]], size: int
) -> None:
    """Each session fails at some keys; then a kill cuts the file at some byte."""
    folder = tmp_path_factory.mktemp("notes")
    whole, path = folder / "whole.jsonl", folder / "notes.jsonl"
    Writer().run(whole, size)
    for failing, kept in history:
        Writer(failing).run(path, size)
        content = path.read_bytes()
        path.write_bytes(content[: round(kept * len(content))])
    Writer().run(path, size)
    assert path.read_bytes() == whole.read_bytes()
    assert is_complete(BatchFile(path, Note, KEYS, size))
