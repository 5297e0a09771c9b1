"""The judge `qa`, with language models whose answers are scripted."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.language_model import Reply
from eidolon.scorers.core.metric import JudgedSample
from eidolon.scorers.core.types import Judgement, Response
from eidolon.scorers.core.verdict import with_verdicts
from eidolon.scorers.judges.agreement import calibrate_judge
from eidolon.scorers.judges.qa import QuestionJudge
from eidolon.scorers.judges.throne_questions import DEFAULT_FORMATS, question
from eidolon.scorers.metrics.scoring import score
from eidolon.scorers.metrics.throne_judged import JudgedThrone
from eidolon.scorers.text.lexicon import load_lexicon


class Scripted:
    """Answers by a function of the text and the question, and records the prompts."""

    def __init__(self, name: str, answer: Callable[[str, str], str | Reply]) -> None:
        self.name = name
        self._answer = answer
        self.calls: list[list[str]] = []

    def signature(self) -> str:
        return f"{self.name}#0"

    def reply(
        self, prompts: Sequence[str], *, max_new_tokens: int, schema: Mapping[str, Any] | None = None
    ) -> list[Reply]:
        self.calls.append(list(prompts))
        assert max_new_tokens == 15
        found = []
        for prompt in prompts:
            text, _, asked = prompt.removeprefix("Text: ").rpartition(
                "\n\nRead the text and answer the question.\n\n"
            )
            answer = self._answer(text, asked)
            found.append(answer if isinstance(answer, Reply) else Reply(answer))
        return found


def named(text: str, asked: str) -> str:
    """Say yes if a word of the question is a word of the text."""
    category = re.search(r"(?:is there an? |are there )(.+) in this image", asked, re.IGNORECASE)
    assert category is not None
    return "Yes" if re.search(rf"\b{category[1]}\b", text) else "no"


def respond(*texts: str | None) -> list[Response]:
    return [
        Response(sample_id=str(i), image_id=i, response=text, error=None if text is not None else "it broke")
        for i, text in enumerate(texts)
    ]


def judge(*answers: Callable[[str, str], str | Reply], **options: Any) -> QuestionJudge:
    models = [Scripted(f"m{i}", answer) for i, answer in enumerate(answers)]
    return QuestionJudge(models, **{"formats": "1b", "categories": "dog,cat,cup", **options})


def present(found: Judgement) -> dict[str, str | None]:
    return {mention.category: mention.verdict for mention in found.mentions}


def test_reads_what_the_models_say() -> None:
    (found,) = judge(named).judge(respond("A dog beside a cup."))
    assert found.votes == {"dog": {"m0/1b": 1}, "cup": {"m0/1b": 1}}
    assert present(found) == {"dog": None, "cup": None}
    assert {(m.text, m.start, m.end) for m in found.mentions} == {("", 0, 0)}
    assert found.unscored is None


def count(**yes: int) -> Callable[[int], Callable[[str, str], str]]:
    """Return a function that makes the answers of the i-th model: yes to a category by the given number of first
    models."""
    return lambda i: lambda text, asked: "yes" if yes.get(asked.split()[3], 0) > i else "No."


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [
        (None, {"dog": None, "cat": "ignored", "cup": "ignored"}),
        (3, {"dog": None, "cat": None, "cup": "ignored"}),
        ("3", {"dog": None, "cat": None, "cup": "ignored"}),
    ],
)
def test_thresholds_of_four_votes(threshold: Any, expected: dict[str, str | None]) -> None:
    """Yes votes: dog 4, cat 3, cup 2; at 3 of 4 only two are between."""
    answer = count(dog=4, cat=3, cup=2)
    (found,) = judge(*(answer(i) for i in range(4)), threshold=threshold).judge(respond("x"))
    assert present(found) == expected
    votes = {name: sum(of_one.values()) for name, of_one in (found.votes or {}).items()}
    assert votes == {"dog": 4, "cat": 3, "cup": 2}
    assert present(with_verdicts(found, {"dog"}))["dog"] == "grounded"


def test_one_vote_of_four_is_absent_at_three() -> None:
    (found,) = judge(*(count(dog=1)(i) for i in range(4)), threshold=3).judge(respond("x"))
    assert present(found) == {}
    assert found.votes == {"dog": {"m0/1b": 1, "m1/1b": 0, "m2/1b": 0, "m3/1b": 0}}


@pytest.mark.parametrize("answer", ["yes.", "yes, it is", "", "y e s", "true", "Yes!"])
def test_only_yes_is_a_vote(answer: str) -> None:
    (found,) = judge(lambda text, asked: answer).judge(respond("x"))
    assert found.votes == {}


LATE = "The lawn is green. " * 60 + "A dog sleeps."
assert len(LATE) > 1024


def test_the_published_cut_hides_what_comes_late_and_windows_find_it() -> None:
    (compat,) = judge(named).judge(respond(LATE))
    (whole,) = judge(named, reading="windows").judge(respond(LATE))
    assert (compat.votes, whole.votes) == ({}, {"dog": {"m0/1b": 1}})


def test_both_readings_ask_the_same_where_one_window_holds_all() -> None:
    text = ("A cat sits. " * 100)[:1024]
    asked = []
    for reading in ("compat", "windows"):
        model = Scripted("m", named)
        found = list(QuestionJudge([model], formats="1a,1b", reading=reading).judge(respond(text, "A dog.")))
        asked.append((model.calls, found))
    assert asked[0] == asked[1]


def test_questions_are_asked_once_and_few_responses_at_a_time() -> None:
    model = Scripted("m", named)
    texts = ["A dog."] * 40 + ["A cat."] * 5
    found = list(QuestionJudge([model], formats="1b", categories="dog,cat").judge(respond(*texts)))
    assert [len(call) for call in model.calls] == [2, 2, 4]
    assert [list(j.votes or {}) for j in found] == [["dog"]] * 40 + [["cat"]] * 5


def test_what_fails_is_unscored_with_its_reason() -> None:
    def broken(text: str, asked: str) -> str | Reply:
        return Reply(None, "it is down") if "wolf" in text and "dog" in asked else "yes"

    second = Scripted("two", named)
    found = list(
        QuestionJudge([Scripted("one", broken), second], formats="1b").judge(
            respond("A dog.", "A wolf.", None, "A cat.")
        )
    )
    assert [j.unscored for j in found] == [None, "judge one: it is down", "it broke", None]
    assert (found[1].mentions, found[1].votes, found[2].votes) == ((), None, None)
    assert not any("wolf" in prompt for prompt in second.calls[0]), "its answers could not be used"


def test_the_signature_says_everything_that_decides() -> None:
    models = [Scripted("a", named), Scripted("b", named)]
    assert QuestionJudge(models).signature() == (
        "qa(models=a#0+b#0,formats=1a+1b+2a,threshold=6of6,reading=compat,vocabulary=coco80)"
    )
    narrow = QuestionJudge(models, formats="4b", threshold="2", reading="windows", categories="cat,dog")
    assert narrow.signature() == (
        "qa(models=a#0+b#0,formats=4b,threshold=2of2,reading=windows,vocabulary=coco80:cat+dog)"
    )


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"threshold": "1"}, r"-J threshold=1: of 2 votes it must be from 2 \(majority\) to 2"),
        ({"threshold": "most"}, "-J threshold=most: must be a whole number"),
        ({"reading": "window"}, "did you mean 'windows'"),
        ({"formats": "1c"}, "unknown format '1c'"),
        ({"vocabulary": "coco81"}, "did you mean 'coco80'"),
        ({"categories": "dgo"}, "did you mean 'dog'"),
    ],
)
def test_mistakes_are_the_users(options: dict[str, str], told: str) -> None:
    with pytest.raises(UserError, match=told):
        judge(named, named, **options)


def test_no_models_is_the_users_mistake() -> None:
    with pytest.raises(UserError, match="no language models"):
        QuestionJudge([])


def test_the_whole_line_gives_the_reference_programs_scores(reference_data: Path) -> None:
    """Language models with the recorded answers, called through the prompts, on the recorded responses."""
    folder = reference_data / "throne"
    rows = [json.loads(line) for line in (folder / "responses.jsonl").read_text().splitlines()]
    document = json.loads((folder / "coco_annotations.json").read_text())
    names = {category["id"]: category["name"] for category in document["categories"]}
    truth: dict[int, set[str]] = {row["image_id"]: set() for row in rows}
    for annotation in document["annotations"]:
        truth[annotation["image_id"]].add(names[annotation["category_id"]])
    categories = load_lexicon("coco80").vocabulary
    place = {
        question(f, c): m * len(categories) + i
        for m, f in enumerate(DEFAULT_FORMATS)
        for i, c in enumerate(categories)
    }
    image_of = {row["response"][:1024]: str(row["image_id"]) for row in rows}
    assert len(image_of) == len(rows)

    def recorded(name: str) -> Scripted:
        answers = json.loads((folder / "judge_answers" / f"{name}.json").read_text())
        return Scripted(name, lambda text, asked: answers[image_of[text]][place[asked]])

    ensemble = QuestionJudge([recorded(f"judge_{size}") for size in ("small", "medium", "large")])
    responses = [
        Response(sample_id=str(row["image_id"]), image_id=row["image_id"], response=row["response"])
        for row in rows
    ]
    samples = [
        JudgedSample(
            response,
            with_verdicts(judgement, truth[int(response.image_id)]),
            frozenset(truth[int(response.image_id)]),
        )
        for response, judgement in zip(responses, ensemble.judge(responses), strict=True)
    ]
    scores = score(
        samples,
        [JudgedThrone(ensemble)],
        signature="",
        vocabulary=ensemble.vocabulary,
        calibration=calibrate_judge(ensemble, samples),
        resamples=0,
    )
    expected = json.loads((reference_data / "expected" / "throne.json").read_text())["thresholds"]
    by_threshold = {"9": scores.metrics["throne"]} | {
        str(v.settings["threshold"]): v.metrics["throne"]
        for v in scores.variants
        if v.settings["mode"] == "compat"
    }
    assert sorted(by_threshold) == ["5", "8", "9"]
    for threshold, found in by_threshold.items():
        for level, theirs in (("classwise", "classwise"), ("image", "micro")):
            for name, short in (("precision", "P"), ("recall", "R"), ("f1", "F1"), ("f05", "F0_5")):
                wanted = expected[threshold][theirs]["recomputed_float64"][short]
                assert found[f"{level}_{name}"].value == pytest.approx(wanted, abs=1e-6)
    per_category = scores.metrics["throne"].per_category
    assert per_category is not None
    assert {name: [*found.counts.values()] for name, found in per_category.items()} == (
        expected["9"]["classwise"]["class_counts"]
    )
    assert scores.calibration is not None
    assert scores.calibration.by_position is not None
    assert sum(part.cells for part in scores.calibration.by_position.parts) > 500
