"""Precision, recall and F over cells: by hand, compared with a naive twin, and properties for any responses."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eidolon.scorers.core.metric import CategoryMetric, JudgedSample
from eidolon.scorers.core.types import Judgement, Mention, Response, Verdict
from eidolon.scorers.core.verdict import with_verdicts
from eidolon.scorers.metrics.objects import Objects, ObjectsPerCategory, f_beta

CATEGORIES = ("dog", "cat", "car", "cup")


def sample(
    image: int, named: Sequence[str], objects: Sequence[str], *, ignored: Sequence[str] = ()
) -> JudgedSample:
    def mention(category: str, verdict: Verdict | None) -> Mention:
        return Mention(category=category, text=category, start=0, end=1, word=0, verdict=verdict)

    mentions = [mention(c, None) for c in named] + [mention(c, "ignored") for c in ignored]
    judgement = Judgement(sample_id=str(image), image_id=image, mentions=tuple(mentions))
    return JudgedSample(
        response=Response(sample_id=str(image), image_id=image, response="text"),
        judgement=with_verdicts(judgement, objects),
        objects=frozenset(objects),
    )


def compute(samples: Sequence[JudgedSample]) -> dict[str, float]:
    values = Objects().compute(Objects().statistics(samples).sum(axis=0))
    return {name: float(value) for name, value in values.items()}


def naive(samples: Sequence[JudgedSample], categories: Sequence[str] = CATEGORIES) -> dict[str, float]:
    """Visit every (response, category) cell, and compute F from precision and recall as in a textbook."""
    tp = fp = fn = 0
    for s in samples:
        for category in categories:
            verdicts = {m.verdict for m in s.judgement.mentions if m.category == category}
            if verdicts == {"ignored"}:
                continue
            named, true = bool(verdicts), category in s.objects
            tp, fp, fn = tp + (named and true), fp + (named and not true), fn + (true and not named)

    def f(beta: float) -> float:
        if not tp:
            return 0.0 if fp or fn else math.nan
        p, r = tp / (tp + fp), tp / (tp + fn)
        return (1 + beta**2) * p * r / (beta**2 * p + r)

    return {
        "precision": tp / (tp + fp) if tp + fp else math.nan,
        "recall": tp / (tp + fn) if tp + fn else math.nan,
        "f1": f(1),
        "f05": f(0.5),
    }


@st.composite
def judged_samples(draw: st.DrawFn) -> list[JudgedSample]:
    some = st.lists(st.sampled_from(CATEGORIES), max_size=5)
    return [sample(i, draw(some), draw(some), ignored=draw(some)) for i in range(draw(st.integers(0, 8)))]


def test_worked_by_hand():
    samples = [
        sample(1, ["dog", "dog", "cat", "cat"], ["dog", "car"]),  # TP dog, FP cat, FN car
        sample(2, ["cup"], ["cup"]),  # TP cup
        sample(3, [], ["dog"]),  # FN dog
    ]
    assert Objects().statistics(samples).tolist() == [[1, 1, 1], [1, 0, 0], [0, 0, 1]]
    assert compute(samples) == {
        "precision": 2 / 3,
        "recall": 2 / 4,
        "f1": 2 * 2 / (2 * 2 + 2 + 1),
        "f05": 1.25 * 2 / (1.25 * 2 + 0.25 * 2 + 1),  # 2.5 / 4
    }


def test_repetition_changes_nothing():
    assert compute([sample(1, ["dog", "cat"] * 9, ["dog"])]) == compute([sample(1, ["dog", "cat"], ["dog"])])


def test_silence_cannot_win_the_headline():
    silent = compute([sample(1, [], ["dog"]), sample(2, [], [])])
    assert math.isnan(silent["precision"])
    assert (silent["recall"], silent["f1"], silent["f05"]) == (0, 0, 0)


def test_undefined_where_there_is_nothing_to_name():
    assert all(math.isnan(value) for value in compute([sample(1, [], [])]).values())
    assert all(math.isnan(value) for value in compute([]).values())
    nothing_there = compute([sample(1, ["dog"], [])])
    assert math.isnan(nothing_there["recall"])
    assert (nothing_there["precision"], nothing_there["f05"]) == (0, 0)


def test_an_ignored_cell_leaves_prediction_and_truth():
    samples = [sample(1, ["dog"], ["dog", "cat"], ignored=["cat", "car"])]
    assert Objects().statistics(samples).tolist() == [[1, 0, 0]]
    assert ObjectsPerCategory(CATEGORIES).statistics(samples).tolist() == [[1, 0, 0] + [0] * 9]


@pytest.mark.parametrize("beta", [0.5, 1, 2])
def test_f_beta_is_the_weighted_harmonic_mean(beta):
    tp, fp, fn = 7, 3, 5
    p, r = tp / (tp + fp), tp / (tp + fn)
    assert f_beta(tp, fp, fn, beta) == pytest.approx((1 + beta**2) * p * r / (beta**2 * p + r))


@given(judged_samples())
def test_equals_its_naive_twin(samples):
    assert compute(samples) == pytest.approx(naive(samples), nan_ok=True, rel=1e-12)


@given(judged_samples())
def test_each_category_equals_its_naive_twin_and_counts_sum_to_the_pool(samples):
    metric = ObjectsPerCategory(CATEGORIES)
    statistics = metric.statistics(samples)
    values = metric.compute(statistics.sum(axis=0))
    for i, category in enumerate(CATEGORIES):
        got = {name: value[i] for name, value in values.items()}
        assert got == pytest.approx(naive(samples, [category]), nan_ok=True, rel=1e-12)
    pooled = statistics.reshape(len(samples), len(CATEGORIES), 3).sum(axis=1)
    np.testing.assert_array_equal(pooled, Objects().statistics(samples))


@given(judged_samples(), st.randoms(use_true_random=False))
def test_order_and_duplication_change_nothing(samples, random):
    shuffled = random.sample(samples, len(samples))
    assert compute(shuffled) == pytest.approx(compute(samples), nan_ok=True, abs=0)
    assert compute(samples + samples) == pytest.approx(compute(samples), nan_ok=True, rel=1e-12)


@given(judged_samples())
def test_a_silent_response_to_an_image_with_objects_never_helps(samples):
    before, after = compute(samples), compute([*samples, sample(99, [], ["dog"])])
    assert after["precision"] == pytest.approx(before["precision"], nan_ok=True, abs=0)
    for name in ("recall", "f1", "f05"):
        assert not after[name] > before[name]
        assert after[name] < before[name] or not before[name] > 0


def test_the_vocabulary_is_checked():
    assert isinstance(Objects(), CategoryMetric)
    assert not isinstance(ObjectsPerCategory(("dog",)), CategoryMetric)
    with pytest.raises(ValueError, match="each category once"):
        ObjectsPerCategory(("dog", "dog"))
    with pytest.raises(ValueError, match="category 'cat' is not in the vocabulary"):
        ObjectsPerCategory(("dog",)).statistics([sample(1, ["cat"], ["dog"])])
