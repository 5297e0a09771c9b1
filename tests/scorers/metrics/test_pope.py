"""POPE, compared with the reference program, results computed by hand, and a naive twin of each policy."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eidolon.scorers.core.errors import UserError
from eidolon.scorers.metrics.pope import AnsweredQuestion, Pope
from eidolon.scorers.text.yes_no import POLICIES, read_answer

NAMES = {
    "accuracy": "accuracy",
    "precision": "precision",
    "recall": "recall",
    "f1": "f1",
    "yes_rate": "yes_ratio",
}
PHRASES = [
    "yes",
    "Yes",
    "YES.",
    "no",
    "No",
    "NO",
    "No.",
    "",
    "Yes, it is.",
    "not",
    "Maybe",
    "yes and no",
    "nope",
]


def question(index: int, truth: bool, answer: str) -> AnsweredQuestion:
    return AnsweredQuestion(str(index), index // 6, truth, answer)


def compute(policy: str, samples: list[AnsweredQuestion]) -> dict[str, float]:
    metric = Pope(policy)
    values = metric.compute(metric.statistics(samples).sum(axis=0))
    return {name: float(value) for name, value in values.items()}


def over(top: float, bottom: float) -> float:
    return top / bottom if bottom else math.nan


def naive(policy: str, samples: list[AnsweredQuestion]) -> dict[str, float]:
    """Each policy as its description says, without a confusion matrix."""
    right = said_yes = right_yes = present = unparsed = 0
    for s in samples:
        read = POLICIES[policy](s.answer)
        unparsed += read is None
        if policy == "lenient":
            read = bool(read)
        right += read is not None and read == s.truth
        said_yes += read is True
        right_yes += read is True and s.truth
        present += s.truth and not (policy == "exact" and read is None)
    return {
        "accuracy": over(right, len(samples)),
        "precision": over(right_yes, said_yes),
        "recall": over(right_yes, present),
        "f1": over(2 * right_yes, said_yes + present),
        "yes_rate": over(said_yes, len(samples)),
        "unparsed": over(unparsed, len(samples)),
    }


@st.composite
def answered(draw: st.DrawFn) -> list[AnsweredQuestion]:
    rows = draw(st.lists(st.tuples(st.booleans(), st.sampled_from(PHRASES)), max_size=20))
    return [question(i, truth, answer) for i, (truth, answer) in enumerate(rows)]


@pytest.mark.parametrize("split", ["random", "popular", "adversarial"])
def test_equals_the_reference_program(reference_data: Path, split: str) -> None:
    expected = json.loads((reference_data / "expected" / "pope.json").read_text())[split]
    asked = (reference_data / "pope" / f"coco_pope_{split}.json").read_text().splitlines()
    answers = (reference_data / "pope" / f"answers_{split}.jsonl").read_text().splitlines()
    samples = [
        AnsweredQuestion(str(q["question_id"]), q["image"], q["label"] == "yes", json.loads(a)["answer"])
        for q, a in zip(map(json.loads, asked), answers, strict=True)
    ]
    metric = Pope("original")
    assert "".join("y" if POLICIES[metric.policy](s.answer) else "n" for s in samples) == expected["parsed"]
    values = compute("original", samples)
    assert {theirs: values[ours] for ours, theirs in NAMES.items()} == {
        k: expected[k] for k in NAMES.values()
    }
    totals = dict(zip(metric.columns, metric.statistics(samples).sum(axis=0), strict=True))
    assert {k: totals[k.lower()] for k in ("TP", "FP", "TN", "FN")} == {
        k: expected[k] for k in ("TP", "FP", "TN", "FN")
    }


def test_phrasings_are_read_as_the_reference_reads_them(reference_data: Path) -> None:
    for example in json.loads((reference_data / "expected" / "pope.json").read_text())["phrasing_examples"]:
        assert POLICIES["original"](example["answer"]) == (example["parsed"] == "yes"), example


@pytest.mark.parametrize(
    ("answer", "original", "exact", "lenient", "strict", "evalscope"),
    [
        ("yes", True, True, True, True, True),
        (" Yes\n", True, True, True, True, True),
        ("Yes.", True, None, True, True, True),
        ("NO!", True, None, False, False, False),
        ("No", False, False, False, False, False),
        ("No, there is no dog.", False, None, False, None, False),
        ("There is not a dog.", False, None, None, None, None),
        ("Yes, not only one.", False, None, True, None, True),
        ("The dog is here. No cat is.", True, None, False, None, False),
        ("yes and no", False, None, None, None, None),
        ("", True, None, None, None, None),
        ("**No**", True, False, False, False, False),
        ("**Yes**.", True, None, True, True, True),
        ("yes!", True, None, True, True, True),
        ("yes, it is", True, None, True, None, None),
        ("Yes. Yes.", True, None, True, None, True),
        ("<think>There is no dog, no.</think>Yes", True, True, True, True, True),
        ("<think>No dog", True, None, None, None, None),
        ("\\boxed{No}", True, False, False, False, False),
        ("Yes\n\nQuestion: Is there a cat?\nAnswer: No", False, True, True, True, None),
        ("Nope.", True, None, None, None, None),
    ],
)
def test_what_each_policy_reads(
    answer: str, original: Any, exact: Any, lenient: Any, strict: Any, evalscope: Any
) -> None:
    assert [policy(answer) for policy in POLICIES.values()] == [original, exact, lenient, strict, evalscope]
    assert [*POLICIES] == ["original", "exact", "lenient", "strict", "evalscope"]


HAND = [
    question(0, True, "Yes."),
    question(1, True, "No"),
    question(2, True, "I think so"),
    question(3, False, "no"),
    question(4, False, "yes"),
    question(5, False, "Nope"),
]
"""The example of docs/reference/metrics/pope.md."""


@pytest.mark.parametrize(
    ("policy", "values"),
    [
        ("original", (3 / 6, 2 / 4, 2 / 3, 4 / 7, 4 / 6, 0)),
        ("exact", (1 / 6, 0, 0, 0, 1 / 6, 3 / 6)),
        ("lenient", (3 / 6, 1 / 2, 1 / 3, 2 / 5, 2 / 6, 2 / 6)),
        ("strict", (2 / 6, 1 / 2, 1 / 3, 2 / 5, 2 / 6, 2 / 6)),
        ("evalscope", (2 / 6, 1 / 2, 1 / 3, 2 / 5, 2 / 6, 2 / 6)),
    ],
)
def test_worked_by_hand(policy: str, values: tuple[float, ...]) -> None:
    names = ("accuracy", "precision", "recall", "f1", "yes_rate", "unparsed")
    assert compute(policy, HAND) == pytest.approx(dict(zip(names, values, strict=True)))


@given(answered(), st.sampled_from([*POLICIES]))
def test_equals_its_naive_twin(samples: list[AnsweredQuestion], policy: str) -> None:
    assert compute(policy, samples) == pytest.approx(naive(policy, samples), nan_ok=True, rel=1e-12)


@given(answered(), st.sampled_from([*POLICIES]), st.randoms(use_true_random=False))
def test_order_and_duplication_change_nothing(
    samples: list[AnsweredQuestion], policy: str, random: Any
) -> None:
    before = compute(policy, samples)
    assert compute(policy, random.sample(samples, len(samples))) == pytest.approx(before, nan_ok=True, abs=0)
    assert compute(policy, samples * 2) == pytest.approx(before, nan_ok=True, rel=1e-12)


def test_undefined_without_questions_or_yes() -> None:
    assert all(math.isnan(value) for value in compute("strict", []).values())
    silent = compute("original", [question(0, True, "no")])
    assert math.isnan(silent["precision"])
    assert silent["recall"] == silent["f1"] == 0


def test_unknown_policy() -> None:
    with pytest.raises(UserError, match="did you mean 'strict'"):
        Pope("stric")


@pytest.mark.parametrize(
    ("logprobs", "two", "eight"),
    [
        ({"Yes": -0.2, "No": -1.8}, True, True),
        ({"Yes": -1.0, "No": -1.1, " no": -1.5}, True, False),
        ({"yes": -0.1, " No": -3.0}, None, True),
        ({"No": -0.1}, False, False),
        ({"The": -0.1}, None, None),
        ({"Yes": -1.0, "No": -1.0}, None, None),
        (None, None, None),
    ],
)
def test_probabilities_of_the_first_token(logprobs: Any, two: Any, eight: Any) -> None:
    assert read_answer("tokens-2", "Yes", logprobs) is two
    assert read_answer("tokens-8", "Yes", logprobs) is eight
    present = Pope("tokens-8").statistics([AnsweredQuestion("1", 1, True, "Yes", logprobs)])
    assert Pope("tokens-8").compute(present.sum(axis=0))["recall"] == float(eight is True)


def test_a_policy_of_no_name() -> None:
    with pytest.raises(UserError, match="unknown policy 'token-2'; did you mean 'tokens-2'"):
        Pope("token-2")
