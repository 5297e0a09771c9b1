"""The pictures of the next batch are read while the model answers, and nothing else changes."""

import threading
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from eidolon.benchmark.engine.coordinator import SingleProcess
from eidolon.benchmark.engine.generation import Generation, PromptedSample
from eidolon.benchmark.engine.worker import Keys, answer_in_turn
from eidolon.models.base.model import Decoding, Request
from eidolon.scorers.core.types import Response

KEYS: list[Keys] = [[(str(i), 0), (str(i + 1), 0)] for i in range(0, 8, 2)]


class Source:
    """Pictures of a shade that tells the sample. Number 5 cannot be read."""

    def __init__(self) -> None:
        self.read: list[str] = []
        self.threads: set[str] = set()
        self.changed = threading.Condition()

    def image(self, sample: Any) -> Image.Image:
        with self.changed:
            self.read.append(sample.sample_id)
            self.threads.add(threading.current_thread().name)
            self.changed.notify_all()
        if sample.sample_id == "5":
            raise OSError("truncated")
        return Image.new("L", (2, 2), int(sample.sample_id))


class Shades:
    """Says the shade of each picture. It waits, while it answers, until the next batch is read."""

    def __init__(self, source: Source, waits: bool) -> None:
        self._source, self._waits = source, waits

    def generate(self, requests: Sequence[Request]) -> Iterator[Response]:
        last = max(int(request.sample_id) for request in requests)
        wanted = last + 2 - last % 2
        if self._waits and wanted < 8:
            with self._source.changed:
                assert self._source.changed.wait_for(lambda: str(wanted) in self._source.read, timeout=20)
        for request in requests:
            shade = request.image.getpixel((0, 0))
            yield Response(sample_id=request.sample_id, image_id=request.image_id, response=f"{shade}")


def generation(waits: bool) -> tuple[Generation, Source]:
    source: Any = Source()
    prompted: Any = {
        str(i): PromptedSample(SimpleNamespace(sample_id=str(i), image_id=i), "Describe.")  # type: ignore[arg-type]
        for i in range(8)
    }
    return Generation("shades", lambda: Shades(source, waits), source, prompted, Decoding()), source


def test_the_next_batch_is_read_while_the_model_answers() -> None:
    one, source = generation(waits=True)
    SingleProcess().prepare(one)
    found = list(SingleProcess().answers(one, KEYS))

    plain, _ = generation(waits=False)
    plain.load()
    assert found == [plain.answer(keys) for keys in KEYS]
    assert [r.response for batch in found for r in batch] == ["0", "1", "2", "3", "4", None, "6", "7"]
    assert "truncated" in str(found[2][1].error)
    assert sorted(source.read) == [str(i) for i in range(8)], "each picture is read once"
    assert len(source.threads) == 2
    assert not any(thread.name.startswith("pictures") for thread in threading.enumerate())


def test_an_end_before_the_last_batch_leaves_no_thread() -> None:
    one, _ = generation(waits=False)
    one.load()
    answers = answer_in_turn(one, KEYS)
    next(answers)
    one.release()
    assert not any(thread.name.startswith("pictures") for thread in threading.enumerate())


def test_a_bug_in_reading_is_raised_by_its_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    one, _ = generation(waits=False)
    one.load()
    bad: list[Keys] = [KEYS[0], [("no such sample", 0)]]
    answers = answer_in_turn(one, bad)
    assert len(next(answers)) == 2
    with pytest.raises(KeyError, match="no such sample"):
        next(answers)
    one.release()
