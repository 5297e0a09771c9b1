"""The metric `attributes`: a case worked by hand, a naive count, and what the truth leaves open."""

import re

import numpy as np
import pytest

from eidolon.scorers.core.metric import Depiction, JudgedSample
from eidolon.scorers.core.types import Judgement, Mention, Response, Verdict
from eidolon.scorers.metrics.attributes import Attributes, checked_claims
from eidolon.scorers.statistics.bootstrap import column_sums

LEFT, RIGHT, HIGH = (0.0, 0.6, 0.2, 0.8), (0.8, 0.6, 1.0, 0.8), (0.4, 0.0, 0.6, 0.2)
SHOWN = {
    "cup": Depiction((LEFT, RIGHT), "red"),
    "dog": Depiction((HIGH,), None),
    "cat": Depiction((), "grey"),
}


def sample(text: str, verdict: Verdict = "grounded", shown: dict[str, Depiction] = SHOWN) -> JudgedSample:
    mentions = tuple(
        Mention(category=m[0], text=m[0], start=m.start(), end=m.end(), word=0, verdict=verdict)
        for m in re.finditer("cup|dog|cat", text)
    )
    response = Response(sample_id="1", image_id=1, response=text)
    judgement = Judgement(sample_id="1", image_id=1, mentions=mentions)
    return JudgedSample(response, judgement, frozenset(shown), depicted=shown)


def verdicts(text: str) -> list[bool]:
    return [true for _, true in checked_claims(sample(text))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A red cup", [True]),
        ("A blue cup", [False]),
        ("A blue dog", []),  # it has no colour of its own
        ("Two cups", [True]),
        ("Three cups", [False]),
        ("Two cats", []),  # its boxes are unknown
        ("A cup on the left", [True]),
        ("A cup on the right", [True]),  # the other one
        ("A cup in the middle", [True]),  # the mean of both
        ("A dog on the left", [False]),
        ("A dog above the cup", [True]),
        ("A dog below the cup", [False]),
        ("A dog above the cat", []),
    ],
)
def test_claims_against_the_picture(text: str, expected: list[bool]) -> None:
    assert verdicts(text) == expected


def test_only_grounded_objects_are_asked_about() -> None:
    assert checked_claims(sample("A blue cup", "hallucinated")) == []
    assert checked_claims(sample("A blue cup", shown={})) == []


def test_by_hand() -> None:
    metric = Attributes()
    samples = [
        sample("A blue cup on the left, and a dog below the cup"),
        sample("Two red cups"),
        sample("A plain picture"),
    ]
    found = metric.compute(column_sums(metric.statistics(samples)))
    # Claims: blue (wrong), left; below (the nearest object before is the dog, wrong); two, red.
    assert found["claims"] == pytest.approx(5 / 3)
    assert found["error"] == pytest.approx(2 / 5)
    assert found["colour_error"] == pytest.approx(1 / 2)
    assert found["count_error"] == 0
    assert found["relation_error"] == 1
    assert found["responses"] == pytest.approx(1 / 3)


def test_statistics_add_up() -> None:
    metric = Attributes()
    samples = [sample(text) for text in ("Two red cups", "A blue cup", "A dog above the cup", "")] * 3
    naive = np.zeros(len(metric.columns))
    for one in samples:
        checked = checked_claims(one)
        naive[0] += 1
        naive[1] += any(not true for _, true in checked)
        for claim, true in checked:
            at = metric.columns.index(f"{claim.kind}_claims")
            naive[at] += 1
            naive[at + 1] += not true
    assert column_sums(metric.statistics(samples)).tolist() == naive.tolist()
    assert np.isnan(metric.compute(np.zeros(len(metric.columns)))["error"])
