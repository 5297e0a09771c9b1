"""What a look counts in a run folder equals what the files say, with a fast judge, a slow one and a broken one."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from eidolon.benchmark.report.live import look as looks
from eidolon.benchmark.report.live.look import LATER, Look, Reading
from eidolon.benchmark.store.record import SampleRow
from eidolon.scorers.core.types import Judgement, Mention, Response
from eidolon.scorers.text.answer import RAW


@dataclass
class Words:
    """Finds its words in a text."""

    name: str = "words"
    vocabulary: tuple[str, ...] = ("cat", "dog")
    broken: bool = False

    def signature(self) -> str:
        return "words"

    def judge(self, responses: Iterable[Response]) -> Iterator[Judgement]:
        for response in responses:
            if self.broken:
                raise RuntimeError("no model")
            text = response.response or ""
            mentions = [
                Mention(category=name, text=name, start=at, end=at + 3, word=0)
                for name in self.vocabulary
                if (at := text.find(name)) >= 0
            ]
            reason = "no text" if response.response is None else None
            key = {"sample_id": response.sample_id, "image_id": response.image_id}
            yield Judgement(**key, mentions=tuple(mentions), unscored=reason)


class SlowWords(Words):
    batch = 2


class Pictures:
    """Has a picture for every sample but one, which cannot be read."""

    def picture(self, sample_id: str) -> Image.Image:
        if sample_id == "1":
            raise OSError("broken file")
        return Image.new("RGB", (40, 30))


RESPONSES = [
    Response(sample_id="0", image_id=0, response="a cat and a dog"),
    Response(sample_id="1", image_id=1, response="a dog"),
    Response(sample_id="2", image_id=2, response="a cat"),
    Response(sample_id="3", image_id=3, response=None, error="out of memory", finish_reason="error"),
]


def make(folder: Path, judge: Words) -> Look:
    rows = [SampleRow(sample_id=r.sample_id, image_id=r.image_id, objects=("cat",)) for r in RESPONSES]
    return Look(folder, Reading(judge, RAW, {row.sample_id: row for row in rows}, {}), Pictures())  # type: ignore[arg-type]


def write(path: Path, records: Iterable[Response | Judgement]) -> None:
    path.write_text("".join(record.model_dump_json() + "\n" for record in records))


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looks, "JUDGE_S", 60.0)


def test_a_fast_judge_reads_while_the_model_answers(tmp_path: Path) -> None:
    look = make(tmp_path, Words())
    look.look()
    assert look.count.responses == 0
    write(tmp_path / "responses.jsonl", RESPONSES)
    look.look()
    look.look()
    count = look.count
    assert (count.responses, count.failed, count.judged, count.unscored) == (4, 1, 3, 1)
    assert (count.with_hallucination, count.named, count.hallucinated) == (2, 4, 2)
    assert look.reasons == ["out of memory"]
    first, second = look.examples
    assert (first.sample_id, second.sample_id) == ("0", "1")
    assert first.picture is not None
    assert second.picture is None


def test_the_judgements_of_the_run_replace_those_of_the_page(tmp_path: Path) -> None:
    look = make(tmp_path, Words())
    write(tmp_path / "responses.jsonl", RESPONSES)
    look.look()
    judged = [Judgement(sample_id=r.sample_id, image_id=r.image_id) for r in RESPONSES]
    write(tmp_path / "judgements.jsonl", judged[:3])
    look.look()
    assert (look.count.responses, look.count.judged, look.count.hallucinated) == (4, 3, 0)
    assert look.examples == []
    (tmp_path / "judgements.jsonl").unlink()
    look.look()
    assert look.count.judged == 0


def test_a_slow_judge_is_left_to_the_run(tmp_path: Path) -> None:
    look = make(tmp_path, SlowWords())
    write(tmp_path / "responses.jsonl", RESPONSES)
    look.look()
    assert (look.count.judged, look.judging) == (0, LATER)
    (zero, *_) = RESPONSES
    wrong = Mention(category="dog", text="dog", start=12, end=15, word=4, verdict="hallucinated")
    write(tmp_path / "judgements.jsonl", [Judgement(sample_id="0", image_id=0, mentions=(wrong,))])
    look.look()
    assert (look.count.judged, look.count.hallucinated, look.judging) == (1, 1, None)
    assert look.examples[0].text == zero.response


def test_a_judge_that_fails_is_named_and_does_not_end_the_run(tmp_path: Path) -> None:
    look = make(tmp_path, Words(broken=True))
    write(tmp_path / "responses.jsonl", RESPONSES)
    look.look()
    look.look()
    assert look.judging == "The judge failed: RuntimeError: no model"
    assert look.count.responses == 4


def test_a_look_ends_when_its_time_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looks, "JUDGE_S", -1.0)
    look = make(tmp_path, Words())
    write(tmp_path / "responses.jsonl", RESPONSES)
    look.look()
    assert (look.count.responses, look.count.judged) == (4, 0)


def test_a_long_response_is_cut_with_the_marks_that_are_left(tmp_path: Path) -> None:
    text = "a dog " + "x" * looks.TEXT + " dog"
    write(tmp_path / "responses.jsonl", [RESPONSES[0].model_copy(update={"response": text})])
    look = make(tmp_path, Words())
    look.look()
    (example,) = look.examples
    assert example.cut
    assert len(example.text) == looks.TEXT
    assert [mention.start for mention in example.mentions] == [2]
