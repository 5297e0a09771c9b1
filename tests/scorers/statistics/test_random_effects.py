"""Random slopes and shared effects: against a fine grid, against the model of one intercept, and on known laws."""

import numpy as np
import pytest

from eidolon.scorers.core.metric import FloatArray
from eidolon.scorers.statistics.mixed_logistic import NotEstimableError, fit_mixed_logistic
from eidolon.scorers.statistics.random_effects import Loading, RandomEffectsFit, fit_random_effects

Data = tuple[FloatArray, FloatArray, FloatArray, np.ndarray]


def draw(clusters: int, seed: int, *, intercept: float = 0.8, slope: float = 1.5) -> Data:
    """Return a column, the place, the outcomes and the clusters: the effect of the column is 0.7, of the place 0.3."""
    rng = np.random.default_rng(seed)
    of = np.repeat(np.arange(clusters), rng.integers(3, 9, clusters))
    x, t = rng.normal(size=len(of)), rng.random(len(of))
    eta = -0.4 + 0.7 * x + (0.3 + slope * rng.normal(size=clusters)[of]) * t
    eta += intercept * rng.normal(size=clusters)[of]
    return x, t, rng.random(len(of)) < 1 / (1 + np.exp(-eta)), of


def slopes(data: Data, nodes: int = 11) -> RandomEffectsFit:
    x, t, y, of = data
    loadings = (Loading("l00", np.ones(len(x)), 0), Loading("l10", t, 0), Loading("l11", t, 1))
    return fit_random_effects({"x": x, "t": t}, loadings, y, of, nodes=nodes)


def plain_log_likelihood(data: Data, theta: FloatArray) -> float:
    """Return the log-likelihood by sums over a fine grid of both effects."""
    x, t, y, of = data
    points = np.linspace(-6, 6, 121)
    weights = np.exp(-(points**2) / 2)
    weights /= weights.sum()
    total = 0.0
    for one in range(of.max() + 1):
        rows = of == one
        eta = (theta[0] + theta[1] * x[rows] + theta[2] * t[rows])[:, None, None]
        eta = eta + theta[3] * points[:, None] + theta[4] * t[rows][:, None, None] * points[:, None]
        eta = eta + theta[5] * t[rows][:, None, None] * points
        p = 1 / (1 + np.exp(-eta))
        each = np.where(y[rows][:, None, None], p, 1 - p).prod(axis=0)
        total += np.log(weights @ each @ weights)
    return float(total)


def test_it_is_the_maximum_of_a_likelihood_by_a_fine_grid() -> None:
    data = draw(120, 1)
    found = slopes(data, nodes=21)
    top = plain_log_likelihood(data, found.coefficients)
    assert found.log_likelihood == pytest.approx(top, abs=1e-3)
    for at in range(len(found.coefficients)):
        for sign in (-1, 1):
            moved = found.coefficients + sign * 0.05 * np.eye(6)[at]
            assert plain_log_likelihood(data, moved) < top
    coarse = slopes(data)
    np.testing.assert_allclose(coarse.coefficients[:3], found.coefficients[:3], atol=0.02)


def test_with_one_loading_it_is_the_model_of_one_intercept() -> None:
    x, t, y, of = draw(200, 2, slope=0.0)
    images = of // 2
    found = fit_random_effects(
        {"x": x, "twice": 2 * x, "t": t},
        (Loading("sd", np.ones(len(x)), 0),),
        y,
        of,
        inference_clusters=images,
        nodes=31,
    )
    wanted = fit_mixed_logistic({"x": x, "t": t}, y, of, inference_clusters=images)
    assert found.names == ("intercept", "x", "t", "sd")
    np.testing.assert_allclose(found.coefficients[:3], wanted.coefficients, atol=2e-3)
    np.testing.assert_allclose(found.covariance[:3, :3], wanted.covariance, atol=2e-3)
    assert found["sd"][0] == pytest.approx(wanted.intercept_sd, abs=5e-3)
    assert found.log_likelihood == pytest.approx(wanted.log_likelihood, abs=1e-3)


def test_intervals_cover_the_mean_slope() -> None:
    covered = 0
    for seed in range(20):
        value, error = slopes(draw(150, seed))["t"]
        covered += abs(value - 0.3) < 1.96 * error
    assert covered >= 16


def test_what_cannot_be_estimated_is_refused() -> None:
    x, _, y, of = draw(30, 3)
    loading = (Loading("sd", np.ones(len(x)), 0),)
    with pytest.raises(NotEstimableError, match="the same"):
        fit_random_effects({"x": x}, loading, np.zeros(len(x), bool), of)
    with pytest.raises(NotEstimableError, match="no observations"):
        fit_random_effects({"x": x[:0]}, loading, y[:0].astype(bool), of[:0])
    with pytest.raises(NotEstimableError):
        fit_random_effects({"x": y.astype(float)}, loading, y.astype(bool), of)
