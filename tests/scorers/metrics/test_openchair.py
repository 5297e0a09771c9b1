"""OpenCHAIR: the frozen prompt, answers, failures, and scores computed by hand."""

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eidolon.scorers.core.judge import Evidence
from eidolon.scorers.core.language_model import Reply
from eidolon.scorers.core.metric import JudgedSample
from eidolon.scorers.core.types import Judgement, Mention, Response
from eidolon.scorers.judges.lm_matcher import (
    MAX_NEW_TOKENS,
    QUESTION,
    LanguageModelMatcher,
    question,
    read_answer,
)
from eidolon.scorers.metrics.openchair import OpenChair


class Knows:
    """Answers by the noun in the question."""

    name = "fake"

    def __init__(self, answers: Mapping[str, str | None]) -> None:
        self.answers = answers
        self.prompts: list[str] = []

    def signature(self) -> str:
        return "fake"

    def reply(
        self, prompts: Sequence[str], *, max_new_tokens: int, schema: Mapping[str, Any] | None = None
    ) -> list[Reply]:
        assert (max_new_tokens, schema) == (MAX_NEW_TOKENS, None)
        self.prompts += prompts
        found = [next(a for noun, a in self.answers.items() if f'"{noun}"' in prompt) for prompt in prompts]
        return [Reply(None, "overloaded") if text is None else Reply(text) for text in found]


def judgement(index: int, nouns: Sequence[str]) -> Judgement:
    mentions = tuple(Mention(category=noun, text=noun, start=0, end=1, word=0) for noun in nouns)
    return Judgement(sample_id=str(index), image_id=index, mentions=mentions)


def test_the_prompt_is_frozen() -> None:
    assert question("red  fox", ["A fox\nruns.", "Snow."]) == (
        "Several people described the same image:\n- A fox runs.\n- Snow.\n\n"
        'Going by these descriptions, does the image show this object: "red  fox"? '
        "Answer with one word: yes, no, or unsure if the descriptions leave it open."
    )
    assert hashlib.sha256(QUESTION.encode()).hexdigest()[:16] == "87c9c20ddbe1e756"


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("yes", "grounded"),
        (" **No**, there is none.", "hallucinated"),
        ("Unsure.", "ignored"),
        ("nothing", None),
        ("", None),
        ("maybe yes", None),
    ],
)
def test_answers(text: str, verdict: str | None) -> None:
    assert read_answer(Reply(text)) == verdict
    assert read_answer(Reply(text, "cut off")) is None


def test_each_noun_is_asked_once_with_the_references_of_its_image() -> None:
    model = Knows({"dog": "Yes.", "cat": "no", "sky": "unsure"})
    given_judgements = [judgement(1, ["dog", "cat", "dog"]), judgement(2, ["sky"]), judgement(3, [])]
    evidence = [Evidence(frozenset(), (text,)) for text in ("First.", "Second.", "Third.")]
    found = LanguageModelMatcher(model).match(given_judgements, evidence)
    assert [[m.verdict for m in j.mentions] for j in found] == [
        ["grounded", "hallucinated", "grounded"], ["ignored"], [],
    ]  # fmt: skip
    assert len(model.prompts) == 3
    assert "First." in model.prompts[0]
    assert "Second." in model.prompts[2]


def test_no_answer_leaves_the_response_unscored() -> None:
    model = Knows({"dog": "yes", "cat": None, "sky": "it depends"})
    evidence = [Evidence(frozenset(), ("A.",))] * 3
    found = LanguageModelMatcher(model).match(
        [judgement(1, ["dog", "cat"]), judgement(2, ["sky"]), judgement(3, ["dog"])], evidence
    )
    assert [j.unscored for j in found] == [
        "fake on 'cat': overloaded",
        "fake on 'sky': neither yes, no nor unsure: 'it depends'",
        None,
    ]
    assert found[0].mentions == ()


ANSWER = {"yes": "grounded", "no": "hallucinated", "unsure": "ignored"}


def sample(index: int, answers: Mapping[str, str]) -> JudgedSample:
    mentions = tuple(
        Mention.model_validate(
            {"category": noun, "text": noun, "start": 0, "end": 1, "word": 0, "verdict": ANSWER[answer]}
        )
        for noun, answer in answers.items()
    )
    response = Response(sample_id=str(index), image_id=index, response="x")
    return JudgedSample(
        response, Judgement(sample_id=str(index), image_id=index, mentions=mentions), frozenset()
    )


def compute(samples: Sequence[JudgedSample]) -> dict[str, float]:
    metric = OpenChair()
    return {
        name: float(value) for name, value in metric.compute(metric.statistics(samples).sum(axis=0)).items()
    }


def test_worked_by_hand() -> None:
    """The example of docs/reference/metrics/open-vocabulary.md."""
    samples = [
        sample(1, {"dog": "yes", "cat": "no", "sky": "unsure"}),
        sample(2, {"dog": "yes"}),
        sample(3, {}),
    ]
    assert compute(samples) == pytest.approx({"score": 1 / 3, "unsure": 1 / 4})


def test_what_was_not_asked_does_not_count() -> None:
    unplaced = Mention(category="cat", text="", start=0, end=0, word=0, verdict="ignored")
    one = sample(1, {"dog": "no"})
    mentions = (*one.judgement.mentions * 2, unplaced)
    repeated = JudgedSample(
        one.response, one.judgement.model_copy(update={"mentions": mentions}), frozenset()
    )
    assert list(OpenChair().statistics([repeated])[0]) == [0, 1, 0]


@given(
    st.lists(st.dictionaries(st.sampled_from("abcd"), st.sampled_from([*ANSWER])), max_size=5), st.randoms()
)
def test_equals_its_naive_twin_in_any_order(rows: list[dict[str, str]], random: Any) -> None:
    answers = [answer for row in rows for answer in row.values()]
    no, yes = answers.count("no"), answers.count("yes")
    expected = {
        "score": no / (no + yes) if no + yes else math.nan,
        "unsure": answers.count("unsure") / len(answers) if answers else math.nan,
    }
    samples = [sample(i, row) for i, row in enumerate(rows)]
    random.shuffle(samples)
    assert compute(samples) == pytest.approx(expected, nan_ok=True)
    assert compute(samples * 2) == pytest.approx(expected, nan_ok=True)
