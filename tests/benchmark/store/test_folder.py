"""The run folder: batches that resume, differences between two runs, atomic writes, the lock."""

import os
from pathlib import Path

import pytest
from pydantic import JsonValue

from eidolon.benchmark.settings.config import ConfigRecord
from eidolon.benchmark.store.atomic import write_atomically
from eidolon.benchmark.store.batch_file import BatchFile
from eidolon.benchmark.store.folder import check_folder, open_run
from eidolon.benchmark.store.lock import locked
from eidolon.benchmark.store.record import (
    SCHEMA,
    Provenance,
    RunRecord,
    Session,
    first_difference,
    read_record,
)
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.types import Response

KEYS = [(str(sample), generation) for sample in range(5) for generation in range(2)]


def response(key: tuple[str, int], text: str = "a dog\u2028\n") -> Response:
    return Response(sample_id=key[0], image_id=key[0], generation=key[1], response=text)


def fill(path: Path, batches: int, size: int = 4) -> BatchFile[Response]:
    file = BatchFile(path, Response, KEYS, size)
    for batch in list(file.batches)[:batches]:
        file.append([response(key) for key in KEYS[file.span(batch)]])
    return file


@pytest.mark.parametrize("size", [1, 3, 4, 10, 99])
def test_cut_anywhere_and_resumed(tmp_path: Path, size: int) -> None:
    """For any prefix that a kill leaves, whole batches stay, and the completed file is the same."""
    fill(tmp_path / "whole.jsonl", 99, size)
    whole = (tmp_path / "whole.jsonl").read_bytes()
    line = len(whole) // len(KEYS)
    for length in range(0, len(whole) + 1, 7):
        path = tmp_path / "cut.jsonl"
        path.write_bytes(whole[:length])
        file = BatchFile(path, Response, KEYS, size)
        lines = length // line
        kept = lines if lines == len(KEYS) else lines // size * size
        assert len(file.records) == kept
        assert path.read_bytes() == whole[: kept * line]
        for batch in list(file.batches):
            file.append([response(key) for key in KEYS[file.span(batch)]])
        assert path.read_bytes() == whole


def test_batches_are_fixed_by_position(tmp_path: Path) -> None:
    file = fill(tmp_path / "r.jsonl", 1)
    assert (file.done, list(file.batches), file.span(2)) == (1, [1, 2], slice(8, 10))


def test_wrong_order_is_a_bug(tmp_path: Path) -> None:
    file = BatchFile(tmp_path / "r.jsonl", Response, KEYS, 2)
    with pytest.raises(ValueError, match="in order"):
        file.append([response(KEYS[1]), response(KEYS[0])])


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'{"x": 1}\n', "r.jsonl:1"),
        (b"garbage\n", "r.jsonl:1"),
        (response(("7", 0)).model_dump_json().encode() + b"\n", "holds sample '7'"),
    ],
)
def test_foreign_lines_are_refused(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(content)
    with pytest.raises(UserError, match=expected):
        BatchFile(path, Response, KEYS, 4)
    assert path.read_bytes() == content


def test_more_lines_than_the_run_has(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    fill(path, 99)
    with path.open("ab") as stream:
        stream.write(response(KEYS[0]).model_dump_json().encode() + b"\n")
    with pytest.raises(UserError, match="no more"):
        BatchFile(path, Response, KEYS, 4)


def test_first_difference() -> None:
    assert first_difference({"a": {"b": [1]}}, {"a": {"b": [1]}}) is None
    assert first_difference({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}) == ("a.c", 2, 3)
    assert first_difference({}, {"a": {"b": 1}}) == ("a", None, {"b": 1})


def test_atomic_write_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "scores.json"
    write_atomically(path, "é one")
    write_atomically(path, "two")
    assert path.read_text() == "two"
    assert [file.name for file in tmp_path.iterdir()] == ["scores.json"]


def config(**settings: JsonValue) -> ConfigRecord:
    return ConfigRecord(verb="run", task="describe", settings=settings)


def record(**settings: JsonValue) -> RunRecord:
    session = Session(started="2026-01-01T00:00:00+00:00", command="eidolon", host="here", pid=1)
    provenance = Provenance(packages={}, python="3.11", platform="test", git_commit=None)
    return RunRecord(
        schema=SCHEMA,
        name="x",
        config=config(**settings),
        batches={"size": 1, "count": 1},
        sample_ids=["1"],
        provenance=provenance,
        sessions=[session],
    )


def test_the_status_after_each_way_to_end(tmp_path: Path) -> None:
    with open_run(tmp_path, record(a=1)):
        assert read_record(tmp_path).status == "started"
    assert read_record(tmp_path).status == "success"
    with pytest.raises(UserError), open_run(tmp_path, record(a=1)):
        raise UserError("no such thing")
    with pytest.raises(KeyboardInterrupt), open_run(tmp_path, record(a=1)):
        raise KeyboardInterrupt
    found = read_record(tmp_path)
    assert found.status == "cancelled"
    assert [session.status for session in found.sessions] == ["success", "error", "cancelled"]
    assert found.sessions[1].error == "no such thing"


def test_a_session_records_its_provenance_if_that_changed(tmp_path: Path) -> None:
    upgraded = Provenance(packages={"torch": "3"}, python="3.11", platform="test", git_commit=None)
    for provenance in (None, None, upgraded):
        fresh = record() if provenance is None else record().model_copy(update={"provenance": provenance})
        with open_run(tmp_path, fresh):
            pass
    found = read_record(tmp_path)
    assert found.provenance == record().provenance
    assert [session.provenance for session in found.sessions] == [None, None, upgraded]


def test_another_config_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    with open_run(tmp_path, record(a=1, b={"c": "x"})):
        pass
    before = (tmp_path / "run.json").read_bytes()
    with (
        pytest.raises(UserError, match=r'b\.c is "y" now and was "x"'),
        open_run(tmp_path, record(a=1, b={"c": "y"})),
    ):
        pass
    assert (tmp_path / "run.json").read_bytes() == before


def test_another_model_behind_the_same_name_is_refused(tmp_path: Path) -> None:
    with open_run(tmp_path, record()) as folder:
        folder.describe_model({"revision": "a", "device": "cpu"})
    with pytest.raises(UserError, match="revision"), open_run(tmp_path, record()) as folder:
        folder.describe_model({"revision": "b", "device": "cpu"})


def test_lock_holds_against_a_second_run(tmp_path: Path) -> None:
    with (
        open_run(tmp_path, record()),
        pytest.raises(UserError, match="is being written by process"),
        open_run(tmp_path, record()),
    ):
        pass


def test_a_failed_attempt_leaves_the_holder_s_name(tmp_path: Path) -> None:
    with locked(tmp_path):
        for _ in range(3):
            with (
                pytest.raises(UserError, match=rf"is being written by process {os.getpid()} on "),
                locked(tmp_path),
            ):
                pass
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]
    (tmp_path / ".lock.holder").mkdir()  # its name cannot be written: the lock holds all the same
    with (
        locked(tmp_path),
        pytest.raises(UserError, match="is being written by another process; wait for it"),
        locked(tmp_path),
    ):
        pass


def test_check_folder_creates_nothing(tmp_path: Path) -> None:
    assert check_folder(tmp_path / "a/b", config()) is None
    assert list(tmp_path.iterdir()) == []
