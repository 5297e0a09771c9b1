"""Prediction-powered inference against its formulas written out, a simulation, and special cases."""

import numpy as np
import pytest

from eidolon.scorers.core.metric import ratio
from eidolon.scorers.statistics.prediction_powered import gradient, prediction_powered


def mean(totals):
    """The mean of one statistic; the other counts clusters."""
    return {"mean": ratio(totals[..., 0], totals[..., 1])}


def drawn(n: int, others: int, seed: int, error: float = 0.5):
    """Return ((n, 2), (n, 2), (N, 2)): a statistic with a noisy prediction, and ones."""
    draw = np.random.default_rng(seed)
    truth = draw.normal(2.0, 1.0, n + others)
    guess = truth + 0.3 + draw.normal(0, error, n + others)
    ones = np.ones(n + others)
    true, predicted = (np.stack([x, ones], axis=1) for x in (truth, guess))
    return true[:n], predicted[:n], predicted[n:]


def test_the_mean_is_that_of_the_papers() -> None:
    """PPI++ for a mean, written out with its closed form of the weight (Angelopoulos, Duchi & Zrnic 2023, ex. 6.1)."""
    true, predicted, elsewhere = drawn(40, 300, 0)
    found = prediction_powered(true, predicted, elsewhere, mean)["mean"]
    y, f, g = true[:, 0], predicted[:, 0], elsewhere[:, 0]
    weight = np.cov(y, f)[0, 1] / ((1 + len(y) / len(g)) * np.var(np.concatenate([f, g]), ddof=1))
    value = y.mean() + weight * (g.mean() - f.mean())
    variance = np.var(y - weight * f, ddof=1) / len(y) + weight**2 * np.var(g, ddof=1) / len(g)
    assert found.weight == pytest.approx(weight, rel=1e-6)
    assert found.value == pytest.approx(value, rel=1e-9)
    half = (found.high - found.low) / 2
    assert half == pytest.approx(
        1.96 * variance**0.5, rel=0.05
    )  # Student's t with some 50 degrees of freedom
    assert half > 1.96 * variance**0.5
    plain = prediction_powered(true, predicted, elsewhere, mean, weight=1.0)["mean"]
    assert plain.value == pytest.approx(y.mean() + g.mean() - f.mean(), rel=1e-9)


def test_without_weight_it_is_the_labelled_part_alone() -> None:
    true, predicted, elsewhere = drawn(40, 300, 1)
    found = prediction_powered(true, predicted, elsewhere, mean, weight=0.0)["mean"]
    assert found.value == pytest.approx(true[:, 0].mean(), rel=1e-12)


def test_a_prediction_without_error_gives_the_mean_of_all() -> None:
    _, predicted, elsewhere = drawn(40, 300, 2)
    found = prediction_powered(predicted, predicted, elsewhere, mean)["mean"]
    every = np.concatenate([predicted, elsewhere])[:, 0]
    assert found.differing == 0
    assert found.value == pytest.approx(every.mean(), rel=1e-9)
    assert found.high - found.low < 0.6 * (lambda p: p.high - p.low)(
        prediction_powered(predicted, predicted, elsewhere, mean, weight=0.0)["mean"]
    )


def test_a_useless_prediction_has_hardly_any_weight() -> None:
    true, predicted, elsewhere = drawn(100, 300, 3, error=30.0)
    assert prediction_powered(true, predicted, elsewhere, mean)["mean"].weight < 0.05


def test_intervals_of_a_ratio_cover_and_are_narrower_than_the_labelled_part() -> None:
    """Events among trials, both of an annotator that errs: 400 draws of 50 labelled among 300 images."""

    def share(totals):
        return {"share": ratio(totals[..., 0], totals[..., 1])}

    draw = np.random.default_rng(4)
    covered = narrower = 0
    trials = 400
    for _ in range(trials):
        count = 1 + draw.poisson(3, 300)
        rate = draw.beta(2, 5, 300)
        events = draw.binomial(count, rate)
        guessed = np.clip(events + draw.choice([-1, 0, 0, 0, 1, 1], 300), 0, count)
        true = np.stack([events, count], axis=1).astype(float)
        predicted = np.stack([guessed, count], axis=1).astype(float)
        found = prediction_powered(true[:50], predicted[:50], predicted[50:], share)["share"]
        alone = prediction_powered(true[:50], predicted[:50], predicted[50:], share, weight=0.0)["share"]
        covered += found.low <= 2 / 7 <= found.high
        narrower += found.high - found.low < alone.high - alone.low
    assert 0.92 <= covered / trials <= 0.98
    assert narrower > 0.9 * trials


def test_the_gradient_of_a_ratio() -> None:
    at = np.array([3.0, 4.0])
    assert gradient(mean, "mean", at) == pytest.approx([1 / 4, -3 / 16], rel=1e-6)


def test_too_few_clusters_are_refused() -> None:
    one = np.ones((1, 2))
    with pytest.raises(ValueError, match="at least two"):
        prediction_powered(one, one, one, mean)
