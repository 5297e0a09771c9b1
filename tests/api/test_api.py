"""`import eidolon`: light, lazy, and the same numbers as the command line."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import eidolon
from eidolon.benchmark.cli import invoke

TEXTS = ["A cat and a dog on a couch.", "A red car.", "Two dogs beside a bench."]
OBJECTS = [["cat", "couch"], ["car", "person"], ["bench"]]
HEAVY = ("torch", "transformers", "datasets", "spacy", "numpy", "pydantic", "typer", "pandas")


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    responses, objects = tmp_path / "responses.jsonl", tmp_path / "objects.jsonl"
    for path, key, values in ((responses, "response", TEXTS), (objects, "objects", OBJECTS)):
        path.write_text("".join(json.dumps({"image_id": i, key: v}) + "\n" for i, v in enumerate(values)))
    return responses, objects


class Blind:
    """Says the same of every picture."""

    def generate(self, requests):
        for _ in requests:
            yield "A red car beside a bench."


def test_the_import_loads_nothing_heavy() -> None:
    code = f"import sys, eidolon; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_is_there() -> None:
    assert {*eidolon.__all__} == {*dir(eidolon)}
    for name in eidolon.__all__:
        assert getattr(eidolon, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        eidolon.nothing  # noqa: B018


def test_chair_by_hand() -> None:
    found = eidolon.CHAIR().score(TEXTS, OBJECTS)
    # Mentions: cat, dog, couch; car; dog, bench. Not there: dog, dog.
    assert found["chair_i"].value == pytest.approx(2 / 6)
    assert found["chair_s"].value == pytest.approx(2 / 3)
    assert found["recall"].value == pytest.approx(4 / 5)
    assert [*found] == ["chair_i", "chair_s", "recall", "words"]
    assert "judge=lexicon(reading=careful" in found.signature
    assert "chair_i = 0.333 [" in str(found)
    assert eidolon.CHAIR().compute(predictions=TEXTS, references=OBJECTS) == {
        name: value.value for name, value in found.items()
    }


def test_a_metric_alone_gives_the_numbers_of_a_scored_file(files: tuple[Path, Path]) -> None:
    run = eidolon.score(responses=files[0], objects=files[1], metrics=["chair", "objects"])
    alone = {
        "chair": eidolon.CHAIR(),
        "objects": eidolon.ObjectMetric(),
        "forgetting": eidolon.metric("forgetting"),
    }
    assert run["chair"] == alone["chair"].score(TEXTS, OBJECTS).scores.metrics["chair"]
    assert run["objects"] == alone["objects"].score(TEXTS, OBJECTS).scores.metrics["objects"]
    assert run.signature == alone["chair"].score(TEXTS, OBJECTS).signature
    assert alone["forgetting"].score(TEXTS, OBJECTS).family == "forgetting"


def test_texts_about_one_image_are_resampled_together() -> None:
    found = eidolon.CHAIR().score(["A cat.", "A dog."], [["cat"], ["cat"]], image_ids=[7, 7])
    assert found["chair_i"].value == 0.5
    assert found["chair_i"].ci is None
    with pytest.raises(eidolon.UserError, match=r"objects\[1\]: image 7 has other objects before"):
        eidolon.CHAIR().score(["A cat.", "A dog."], [["cat"], ["dog"]], image_ids=[7, 7])


def test_the_reading_is_an_option_of_the_judge() -> None:
    text, objects = ["A man eats a hot dog."], [["person"]]
    careful = eidolon.CHAIR().score(text, objects)
    original = eidolon.CHAIR(reading="original").score(text, objects)
    assert "reading=original" in original.signature
    assert careful.signature != original.signature
    with pytest.raises(eidolon.UserError, match="unknown reading"):
        eidolon.CHAIR(reading="careless")


def test_pope_by_hand() -> None:
    answers, labels = ["Yes.", "No, there is none.", "yes", "I cannot say"], [True, "no", "no", True]
    found = eidolon.POPE("strict").score(answers, labels)
    assert found["accuracy"].value == pytest.approx(1 / 4)
    assert found["unparsed"].value == pytest.approx(2 / 4)
    assert eidolon.POPE().compute(predictions=answers, references=labels)["accuracy"] == pytest.approx(3 / 4)
    assert found.signature.count("policy=pope(policy=strict)") == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: eidolon.CHAIR().score("A cat.", [["cat"]]), r"texts: must be a list, found the text"),
        (lambda: eidolon.CHAIR().score(["A cat."], []), r"objects: 0 where there are 1 texts"),
        (lambda: eidolon.CHAIR().score(["A cat."], [["catt"]]), r"objects\[0\]: unknown category 'catt'"),
        (
            lambda: eidolon.POPE().score(["yes"], ["maybe"]),
            r"labels\[0\]: must be True, False, 'yes' or 'no'",
        ),
        (lambda: eidolon.POPE("loose"), r"unknown policy 'loose'"),
        (lambda: eidolon.metric("chiar"), r"unknown metric 'chiar'; did you mean 'chair'"),
        (lambda: eidolon.metric("aloha"), r"aloha: needs similarities"),
        (lambda: eidolon.score(responses=[], objects={}, metrics="chair"), r"metrics: must be a list"),
        (lambda: eidolon.score(objects={1: ["cat"]}), r"--responses: is missing"),
        (lambda: eidolon.load_run("nowhere"), r"nowhere: no such folder"),
    ],
)
def test_mistakes_are_one_line(call, message: str) -> None:
    with pytest.raises(eidolon.UserError, match=message) as raised:
        call()
    assert "\n" not in str(raised.value)


def test_lines_in_memory_are_scored_as_files_are(files: tuple[Path, Path], tmp_path: Path) -> None:
    from_files = eidolon.score(responses=str(files[0]), objects=files[1], out=tmp_path / "run")
    in_memory = eidolon.score(
        responses=[{"image_id": i, "text": text} for i, text in enumerate(TEXTS)],
        objects=dict(enumerate(OBJECTS)),
        fields={"response": "text"},
    )
    assert in_memory.path is None
    assert from_files.path == tmp_path / "run"
    assert in_memory.scores == from_files.scores
    arguments = ["--responses", *files[:1], "--objects", *files[1:], "--out", tmp_path / "cli"]
    assert invoke(["score", *map(str, arguments)]) == 0
    assert (tmp_path / "cli" / "scores.json").read_bytes() == (tmp_path / "run" / "scores.json").read_bytes()


def test_answers_to_a_benchmark_are_scored_from_their_files(tmp_path: Path) -> None:
    questions, answers = tmp_path / "questions.jsonl", tmp_path / "answers.jsonl"
    rows = [("yes", "Yes."), ("no", "no, it is not"), ("no", "yes")]
    asked = [{"question_id": i, "image": "a.jpg", "text": "?", "label": rows[i][0]} for i in range(3)]
    given = [{"question_id": i, "answer": rows[i][1]} for i in range(3)]
    for path, lines in ((questions, asked), (answers, given)):
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    run = eidolon.score(metrics=["pope"], questions=questions, answers=[answers], policy="all")
    assert run["pope"]["accuracy"].value == pytest.approx(2 / 3)
    alone = eidolon.POPE().score(
        [text for _, text in rows], [label for label, _ in rows], image_ids=["a.jpg"] * 3
    )
    assert alone.scores.metrics["pope"] == run["pope"]
    frames = run.to_pandas()
    assert set(frames.scores.variant) == {
        "",
        "policy=original",
        "policy=exact",
        "policy=lenient",
        "policy=strict",
        "policy=evalscope",
    }
    assert len(frames.samples) == 3
    assert frames.mentions.empty


def test_frames_hold_what_the_files_hold(files: tuple[Path, Path], tmp_path: Path) -> None:
    eidolon.score(responses=files[0], objects=files[1], out=tmp_path / "run")
    run = eidolon.load_run(tmp_path / "run")
    samples, mentions, scores = run.to_pandas()
    assert list(samples.response) == TEXTS
    assert list(samples.hallucinated) == [1, 0, 1]
    assert list(samples.mentions) == [3, 1, 2]
    assert list(mentions[mentions.verdict == "hallucinated"].category) == ["dog", "dog"]
    for row in mentions.itertuples():
        assert TEXTS[row.image_id][row.start : row.end] == row.text
    chair_i = scores[(scores.family == "chair") & (scores.quantity == "chair_i") & (scores.variant == "")]
    assert chair_i.value.item() == pytest.approx((mentions.verdict == "hallucinated").mean())
    assert chair_i.low.item() <= chair_i.value.item() <= chair_i.high.item()


def test_a_class_is_run_and_its_run_is_resumed(tmp_path: Path) -> None:
    first = eidolon.run(Blind, limit=4, out=tmp_path, seed=3, metrics=["chair"], cache=False)
    again = eidolon.run(Blind, limit=4, out=tmp_path, seed=3, metrics=["chair"], cache=False)
    assert len(first.responses) == 4
    assert again.scores == first.scores
    assert len(again.record.sessions) == 2
    assert [*first.scores.metrics] == ["chair"]
    assert first.path is not None
    assert first.path.parent == tmp_path
    with pytest.raises(eidolon.UserError, match="unknown field"):
        eidolon.run(Blind, temprature=0)


def test_compare_says_what_differs(files: tuple[Path, Path], tmp_path: Path) -> None:
    for reading in ("careful", "original"):
        eidolon.score(
            responses=files[0], objects=files[1], out=tmp_path / reading, judge_options={"reading": reading}
        )
    with pytest.raises(eidolon.UserError, match="share 3 scored images, fewer than 10"):
        eidolon.compare(tmp_path / "careful", tmp_path / "original", allow=["reading"])
    with pytest.raises(eidolon.UserError, match="reading"):
        eidolon.compare(tmp_path / "careful", tmp_path / "original")
    found = eidolon.compare(
        tmp_path / "careful",
        str(tmp_path / "original"),
        allow=["reading"],
        resamples=100,
        min_shared=3,
    )
    assert found.a.compared == 3
    assert "chair" in found.metrics
