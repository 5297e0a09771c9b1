"""Differences over seeds against scipy's own tests, and their type-I error."""

import numpy as np
import pytest
from scipy import stats

from eidolon.scorers.statistics.seeds import paired_difference, welch_difference


def test_paired_differences_equal_scipys() -> None:
    values = np.random.default_rng(0).normal(0.3, 1.0, 7)
    found, expected = paired_difference(values), stats.ttest_1samp(values, 0)
    assert found is not None
    interval = expected.confidence_interval(0.95)
    assert (found.value, found.p) == pytest.approx((values.mean(), expected.pvalue))
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


def test_independent_differences_equal_scipys() -> None:
    random = np.random.default_rng(1)
    first, second = random.normal(0.3, 1.0, 5), random.normal(0.0, 3.0, 8)
    found, expected = welch_difference(first, second), stats.ttest_ind(first, second, equal_var=False)
    assert found is not None
    interval = expected.confidence_interval(0.95)
    assert (found.value, found.p) == pytest.approx((first.mean() - second.mean(), expected.pvalue))
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


def test_fewer_than_five_seeds_decide_nothing() -> None:
    assert paired_difference([1.0, 1.1, 0.9, 1.0]) is None
    assert welch_difference([1.0] * 9, [0.0] * 4) is None


def test_seeds_without_spread() -> None:
    """Equal values of a coarse measure do not say that their spread is 0."""
    assert welch_difference([1.0] * 5, [0.5] * 5) is None
    assert paired_difference([0.1] * 5) is None
    assert welch_difference([0.8] * 5, [0.9] * 5) is None, "their mean is rounded"
    for found in (welch_difference([0.5] * 5, [0.5] * 5), paired_difference([0.0] * 5)):
        assert found is not None
        assert (found.value, found.low, found.high, found.p) == (0, 0, 0, 1)


def test_a_true_null_is_rejected_in_five_percent() -> None:
    random = np.random.default_rng(2)
    found = [welch_difference(*random.normal(size=(2, 5))) for _ in range(1500)]
    rejected = np.mean([one.low > 0 or one.high < 0 for one in found if one is not None])
    assert 0.03 < rejected < 0.07
