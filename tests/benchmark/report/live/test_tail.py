"""What a tail reads equals the whole file, however it grows, is cut and is replaced."""

import json
import random
from pathlib import Path

import pytest

from eidolon.benchmark.report.live import tail as tails
from eidolon.benchmark.report.live.tail import Tail
from eidolon.scorers.core.types import Response


def line(number: int, text: str = "a dog") -> bytes:
    return json.dumps({"sample_id": str(number), "image_id": number, "response": text}).encode() + b"\n"


def ids(found: list[Response]) -> list[str]:
    return [response.sample_id for response in found]


def test_every_line_is_read_once_wherever_the_writer_stops(tmp_path: Path) -> None:
    path, chance = tmp_path / "r.jsonl", random.Random(0)
    content = b"".join(line(number, "é" * chance.randrange(40)) for number in range(50))
    tail, seen, at = Tail(path, Response), [], 0
    assert tail.take(10) == []
    while at < len(content) or len(seen) < 50:
        step = chance.randrange(1, 300)
        with path.open("ab") as stream:
            stream.write(content[at : at + step])
        at += step
        assert not tail.restarted()
        seen += ids(tail.take(chance.randrange(1, 5)))
    assert seen == [str(number) for number in range(50)]


def test_a_line_longer_than_a_part_is_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tails, "PART", 64)
    path = tmp_path / "r.jsonl"
    path.write_bytes(line(1, "x" * 500) + line(2))
    tail = Tail(path, Response)
    assert ids(tail.take(5)) == ["1"]
    assert ids(tail.take(5)) == ["2"]


def test_another_file_or_a_shorter_one_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(line(1) + line(2))
    tail = Tail(path, Response)
    assert not tail.restarted()
    assert ids(tail.take(5)) == ["1", "2"]
    other = tmp_path / "other"
    other.write_bytes(line(3) + line(4))
    other.replace(path)
    assert tail.restarted()
    assert ids(tail.take(1)) == ["3"]
    path.write_bytes(line(5)[:10])
    assert tail.restarted()
    path.unlink()
    assert not tail.restarted()
    path.write_bytes(line(6))
    assert ids(tail.take(5)) == ["6"]
