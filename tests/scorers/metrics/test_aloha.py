"""ALOHa, compared with the example of docs/reference/metrics/open-vocabulary.md and a naive twin."""

import math
from collections.abc import Sequence
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eidolon.scorers.core.judge import Evidence
from eidolon.scorers.core.metric import FloatArray, JudgedSample
from eidolon.scorers.core.types import Judgement, Mention, Response
from eidolon.scorers.judges.matching import NameMatcher
from eidolon.scorers.metrics.aloha import Aloha
from eidolon.scorers.metrics.scoring import values_of
from eidolon.scorers.statistics.small_samples import METHOD
from eidolon.scorers.text.lexicon import Lexicon

NO_SYNONYMS = Lexicon(name="none", categories=())
PLACES = {"dog": 0.0, "wolf": 20.0, "cat": 50.0, "car": 90.0}
"""Angles in degrees: the similarity of two words is the cosine of the difference."""


class Angles:
    def signature(self) -> str:
        return "embeddings=angles"

    def embed(self, texts: Sequence[str]) -> FloatArray:
        angles = np.radians([PLACES[text] for text in texts])
        return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def sample(index: int, nouns: Sequence[str], objects: Sequence[str]) -> JudgedSample:
    mentions = tuple(Mention(category=noun, text=noun, start=0, end=1, word=0) for noun in nouns)
    judgement = Judgement(sample_id=str(index), image_id=index, mentions=mentions)
    (matched,) = NameMatcher(NO_SYNONYMS, Angles()).match([judgement], [Evidence(frozenset(objects))])
    response = Response(sample_id=str(index), image_id=index, response=" ".join(nouns))
    return JudgedSample(response, matched, frozenset(objects))


def compute(samples: Sequence[JudgedSample]) -> dict[str, float]:
    metric = Aloha()
    return {
        name: float(value) for name, value in metric.compute(metric.statistics(samples).sum(axis=0)).items()
    }


def cosine(one: str, other: str) -> float:
    return round(max(0.0, math.cos(math.radians(PLACES[one] - PLACES[other]))), 6)


def naive(pairs: Sequence[tuple[Sequence[str], Sequence[str]]]) -> dict[str, float]:
    """Equal names first, then the best of all permutations, one response at a time."""
    meant, compat = [], []
    for nouns, objects in pairs:
        mine, theirs = sorted(set(nouns) - set(objects)), sorted(set(objects) - set(nouns))
        same = [1.0] * len(set(nouns) & set(objects))
        if len(mine) <= len(theirs):
            tries = [
                [cosine(a, b) for a, b in zip(mine, p, strict=False)] for p in permutations(theirs, len(mine))
            ]
        else:
            tries = [
                [cosine(a, b) for a, b in zip(p, theirs, strict=False)]
                for p in permutations(mine, len(theirs))
            ]
        paired = same + max(tries, key=sum)
        left_over = [0.0] * (len(set(nouns)) - len(paired))
        if nouns:
            meant.append(paired + left_over)
        if paired:
            compat.append(paired)

    def means(rows: list[list[float]], statistic: Any) -> float:
        return sum(map(statistic, rows)) / len(rows) if rows else math.nan

    def mean(row: list[float]) -> float:
        return sum(row) / len(row)

    return {
        "score": means(meant, min),
        "mean": means(meant, mean),
        "compat_score": means(compat, min),
        "compat_mean": means(compat, mean),
    }


HAND = [(["dog", "wolf"], ["dog", "cat"]), (["dog", "car"], ["dog"]), ([], ["dog"])]
"""The example of docs/reference/metrics/open-vocabulary.md: wolf is paired with cat, and car has no pair."""


def test_worked_by_hand() -> None:
    wolf = math.cos(math.radians(30))
    assert compute([sample(i, *pair) for i, pair in enumerate(HAND)]) == pytest.approx(
        {
            "score": (wolf + 0) / 2,
            "mean": ((1 + wolf) / 2 + (1 + 0) / 2) / 2,
            "compat_score": (wolf + 1) / 2,
            "compat_mean": ((1 + wolf) / 2 + 1) / 2,
        },
        abs=1e-6,
    )


NAMES = st.lists(st.sampled_from([*PLACES]), max_size=4)
PAIRS = st.lists(st.tuples(NAMES, NAMES), max_size=4)


@given(PAIRS)
def test_equals_its_naive_twin(pairs: list[tuple[list[str], list[str]]]) -> None:
    found = compute([sample(i, *pair) for i, pair in enumerate(pairs)])
    expected = naive(pairs)
    # If two pairings have the same sum, the smallest similarities may differ but the means cannot.
    for name in ("mean", "compat_mean"):
        assert found[name] == pytest.approx(expected[name], nan_ok=True, abs=1e-5)
    assert all(math.isnan(value) or 0 <= value <= 1 for value in found.values())


@given(PAIRS, st.randoms(use_true_random=False))
def test_order_and_duplication_change_nothing(pairs: list[tuple[list[str], list[str]]], random: Any) -> None:
    samples = [sample(i, *pair) for i, pair in enumerate(pairs)]
    before = compute(samples)
    assert compute(random.sample(samples, len(samples))) == pytest.approx(before, nan_ok=True)
    assert compute(samples * 2) == pytest.approx(before, nan_ok=True)
    repeated = [sample(i, nouns * 2, objects) for i, (nouns, objects) in enumerate(pairs)]
    assert compute(repeated) == pytest.approx(before, nan_ok=True)


def test_nothing_and_no_truth() -> None:
    assert all(map(math.isnan, compute([]).values()))
    only = compute([sample(0, ["dog"], [])])
    assert only["score"] == only["mean"] == 0
    assert math.isnan(only["compat_score"])


def test_ignored_is_left_out_and_unmatched_is_a_bug() -> None:
    mention = Mention(category="dog", text="", start=0, end=0, word=0, verdict="ignored")
    response = Response(sample_id="1", image_id=1, response="x")

    def judged(mention: Mention) -> JudgedSample:
        return JudgedSample(response, Judgement(sample_id="1", image_id=1, mentions=(mention,)), frozenset())

    assert Aloha().statistics([judged(mention)])[0, 1] == 0
    with pytest.raises(ValueError, match="'dog' has no similarity"):
        Aloha().statistics([judged(mention.model_copy(update={"verdict": "grounded"}))])


def test_two_images_without_any_similarity_still_leave_room() -> None:
    samples = [sample(0, ["car"], ["dog"]), sample(1, ["car"], ["dog"])]
    metric = Aloha()
    found = values_of(metric, metric.statistics(samples), [0, 1], resamples=200)
    for name in ("score", "mean"):
        assert found[name].value == 0
        low, high = found[name].ci or (0.0, 0.0)
        assert low == 0
        assert high > 0.9
        assert found[name].method == METHOD
