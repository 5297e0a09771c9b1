"""The mixed model, compared with integration on a fine grid, finite differences, and simulation."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import norm

from eidolon.scorers.core.metric import FloatArray
from eidolon.scorers.statistics import mixed_likelihood
from eidolon.scorers.statistics.mixed_logistic import NotEstimableError, fit_mixed_logistic

GRID = np.linspace(-9, 9, 601)
Data = tuple[dict[str, FloatArray], np.ndarray, np.ndarray]


def draw(seed: int, clusters: int, size: int, sd: float) -> Data:
    """Return observations with log odds -0.5 + 0.8 x - 1.2 z + sd·N(0, 1)."""
    rng = np.random.default_rng(seed)
    of = np.repeat(np.arange(clusters), size)
    x, z = rng.normal(size=len(of)), rng.normal(size=clusters)[of]
    log_odds = -0.5 + 0.8 * x - 1.2 * z + sd * rng.standard_normal(clusters)[of]
    return {"x": x, "z": z}, rng.random(len(of)) < expit(log_odds), of


def naive_log_likelihood(theta: FloatArray, data: Data) -> FloatArray:
    """Return the likelihood of each cluster, integrated over its intercept one by one, shape (clusters,)."""
    columns, y, of = data
    found = []
    for cluster in np.unique(of):
        rows = of == cluster
        linear = theta[0] + theta[1] * columns["x"][rows] + theta[2] * columns["z"][rows]
        p = expit(linear + theta[3] * GRID[:, None])
        density = np.prod(np.where(y[rows], p, 1 - p), axis=1) * norm.pdf(GRID)
        found.append(np.log(np.trapezoid(density, GRID)))
    return np.array(found)


def test_estimates_maximise_the_integrated_likelihood() -> None:
    data = draw(3, clusters=60, size=5, sd=1.0)
    fit = fit_mixed_logistic(data[0], data[1], data[2])
    theta = np.array([*fit.coefficients, fit.intercept_sd])
    assert fit.names == ("intercept", "x", "z")
    assert fit.log_likelihood == pytest.approx(naive_log_likelihood(theta, data).sum(), abs=1e-4)
    best = minimize(
        lambda t: -naive_log_likelihood(t, data).sum(),
        theta + 0.2,
        method="Nelder-Mead",
        options={"xatol": 1e-3},
    )
    np.testing.assert_allclose(theta, np.abs(best.x) * np.sign([*theta[:3], 1]), atol=0.01)


def test_covariances_are_those_of_the_likelihood() -> None:
    data = draw(4, clusters=40, size=4, sd=0.8)
    fit = fit_mixed_logistic(data[0], data[1], data[2])
    theta, step = np.array([*fit.coefficients, fit.intercept_sd]), 1e-3
    units = step * np.eye(4)
    scores = np.stack(
        [
            (naive_log_likelihood(theta + u, data) - naive_log_likelihood(theta - u, data)) / (2 * step)
            for u in units
        ],
        axis=1,
    )
    information = -np.array(
        [
            [
                sum(
                    s * t * naive_log_likelihood(theta + s * u + t * v, data).sum()
                    for s in (1, -1)
                    for t in (1, -1)
                )
                / (4 * step**2)
                for v in units
            ]
            for u in units
        ]
    )
    model = np.linalg.inv(information)
    np.testing.assert_allclose(fit.model_covariance, model[:3, :3], rtol=0.01, atol=1e-4)
    robust = model @ (scores.T @ scores * len(scores) / (len(scores) - 1)) @ model
    np.testing.assert_allclose(fit.covariance, robust[:3, :3], rtol=0.01, atol=1e-4)


def test_clusters_of_inference_widen_what_is_correlated() -> None:
    """Every cluster is doubled, as two responses with the same words to one image: no new information on β."""
    columns, y, of = draw(5, clusters=300, size=4, sd=0.7)
    twice = {name: np.tile(column, 2) for name, column in columns.items()}
    doubled = np.concatenate([of, of + 300])
    once = fit_mixed_logistic(columns, y, of)
    fit = fit_mixed_logistic(twice, np.tile(y, 2), doubled, inference_clusters=np.tile(of, 2))
    naive = fit_mixed_logistic(twice, np.tile(y, 2), doubled)
    assert fit["x"] == pytest.approx(once["x"], rel=1e-3)
    assert naive["x"][1] == pytest.approx(once["x"][1] / 2**0.5, rel=0.01)


@pytest.mark.parametrize("sd", [0.0, 0.6, 1.5])
def test_known_coefficients_come_back(sd: float) -> None:
    columns, y, of = draw(6, clusters=4000, size=6, sd=sd)
    fit = fit_mixed_logistic(columns, y, of)
    for name, truth in (("intercept", -0.5), ("x", 0.8), ("z", -1.2)):
        estimate, error = fit[name]
        assert abs(estimate - truth) < 4 * error
        assert error < 0.06
    assert fit.intercept_sd == pytest.approx(sd, abs=0.15)


@pytest.mark.parametrize("sd", [0.5, 1.1, 3.0])
def test_more_nodes_change_little_beside_the_standard_error(sd: float) -> None:
    columns, y, of = draw(7, clusters=500, size=8, sd=sd)
    few, many = fit_mixed_logistic(columns, y, of), fit_mixed_logistic(columns, y, of, nodes=251)
    errors = np.sqrt(np.diag(many.covariance))
    assert (np.abs(few.coefficients - many.coefficients) < 0.05 * errors).all()
    np.testing.assert_allclose(np.sqrt(np.diag(few.covariance)), errors, rtol=0.03)


def test_the_product_over_a_cluster_is_the_sum_of_logarithms(monkeypatch: pytest.MonkeyPatch) -> None:
    columns, y, of = draw(11, clusters=60, size=7, sd=1.0)
    product = fit_mixed_logistic(columns, y, of)
    monkeypatch.setattr(mixed_likelihood, "LONGEST_PRODUCT", 1)
    logarithms = fit_mixed_logistic(columns, y, of)
    np.testing.assert_allclose(product.coefficients, logarithms.coefficients, rtol=1e-10)
    np.testing.assert_allclose(product.covariance, logarithms.covariance, rtol=1e-9)


def test_a_cluster_of_thousands_does_not_overflow() -> None:
    columns, y, _ = draw(12, clusters=10, size=600, sd=0.0)
    fit = fit_mixed_logistic(columns, y, np.repeat([0, 1], 3000))
    assert abs(fit["x"][0] - 0.8) < 4 * fit["x"][1]


def test_order_and_units_change_nothing() -> None:
    columns, y, of = draw(8, clusters=100, size=5, sd=1.0)
    fit = fit_mixed_logistic(columns, y, of)
    shuffled = np.random.default_rng(0).permutation(len(y))
    other = fit_mixed_logistic(
        {"x": 1000 * columns["x"][shuffled] + 5, "z": columns["z"][shuffled]}, y[shuffled], of[shuffled]
    )
    assert other["x"][0] * 1000 == pytest.approx(fit["x"][0], rel=1e-3)
    assert other["x"][1] * 1000 == pytest.approx(fit["x"][1], rel=1e-3)
    assert other["z"] == pytest.approx(fit["z"], rel=1e-3)


def test_columns_that_say_nothing_new_are_left_out() -> None:
    columns, y, of = draw(9, clusters=100, size=5, sd=1.0)
    more = {"x": columns["x"], "flat": np.full(len(y), 3.0), "again": 2 * columns["x"] - 1, "z": columns["z"]}
    fit = fit_mixed_logistic(more, y, of)
    assert fit.names == ("intercept", "x", "z")
    with pytest.raises(KeyError):
        fit["again"]


@pytest.mark.parametrize(
    ("y", "told"),
    [
        (np.ones(40, bool), "the same"),
        (np.zeros(0, bool), "no observations"),
        (np.arange(40) >= 20, "separated|interior"),
    ],
)
def test_what_cannot_be_estimated_says_why(y: np.ndarray, told: str) -> None:
    with pytest.raises(NotEstimableError, match=told):
        fit_mixed_logistic({"x": np.arange(len(y), dtype=float)}, y, np.arange(len(y)) // 2)


def draw_kinds(seed: int, clusters: int, size: int, distance: float, sd: float) -> Data:
    """Return log odds -1.5 + 0.8 x + sd·N(0, 1) + distance·kind. The upper kind is likelier for greater z."""
    rng = np.random.default_rng(seed)
    of = np.repeat(np.arange(clusters), size)
    x, z = rng.normal(size=len(of)), rng.normal(size=clusters)
    own = sd * rng.standard_normal(clusters) + distance * (rng.random(clusters) < expit(-1 + 1.5 * z))
    columns = {"x": x, "z": z[of]}
    return columns, rng.random(len(of)) < expit(-1.5 + 0.8 * x + own[of]), of


def naive_two_kinds(theta: FloatArray, data: Data) -> float:
    """Return the log-likelihood on a grid of intercepts, for each kind in turn. theta is β, sigma, distance, alpha."""
    columns, y, of = data
    x, z = columns["x"], columns["z"]
    linear = theta[0] + theta[1] * x + theta[2] * z
    density = 0.0
    for kind in (0, 1):
        p = expit(linear + theta[3] * GRID[:, None] + theta[4] * kind)
        log_p = np.log(np.where(y, p, 1 - p))
        each = np.stack([log_p[:, of == c].sum(axis=1) for c in np.unique(of)], axis=1)
        share = expit((2 * kind - 1) * (theta[5] + theta[6] * z[np.unique(of, return_index=True)[1]]))
        density = density + share * np.exp(each) * norm.pdf(GRID)[:, None]
    return float(np.log(np.trapezoid(density, GRID, axis=0)).sum())


def test_two_kinds_maximise_their_likelihood() -> None:
    data = draw_kinds(2, clusters=150, size=8, distance=4.0, sd=0.5)
    fit = fit_mixed_logistic(data[0], data[1], data[2], kinds_by=["z"])
    assert fit.kinds is not None
    start = np.array([*fit.coefficients, 0.5, fit.kinds.distance, -1.0, 1.5])
    best = minimize(lambda t: -naive_two_kinds(t, data), start, method="BFGS", options={"gtol": 1e-3})
    assert fit.log_likelihood == pytest.approx(-best.fun, abs=1e-3)
    np.testing.assert_allclose(fit.coefficients, best.x[:3], atol=5e-3)
    assert fit.intercept_sd == pytest.approx(abs(best.x[3]), abs=0.02)
    assert fit.kinds.distance == pytest.approx(best.x[4], abs=0.02)
    z = data[0]["z"][::8]
    assert fit.kinds.upper == pytest.approx(expit(best.x[5] + best.x[6] * z).mean(), abs=0.01)
    units = 5e-3 * np.eye(7)
    information = -np.array(
        [
            [
                sum(s * t * naive_two_kinds(best.x + s * u + t * v, data) for s in (1, -1) for t in (1, -1))
                / (4 * 5e-3**2)
                for v in units
            ]
            for u in units
        ]
    )
    model = np.linalg.inv(information)[:3, :3]
    np.testing.assert_allclose(fit.model_covariance, model, rtol=0.03, atol=3e-4)


def test_one_normal_for_two_kinds_is_biased_and_two_are_not() -> None:
    """A column that is correlated with the kind takes its effect: here z, whose coefficient is 0."""
    columns, y, of = draw_kinds(3, clusters=3000, size=8, distance=3.0, sd=0.3)
    two = fit_mixed_logistic(columns, y, of, kinds_by=["z"])
    one = fit_mixed_logistic(columns, y, of)
    assert two.kinds is not None
    assert one.kinds is None
    assert two.kinds.distance == pytest.approx(3, abs=0.3)
    for name, truth in (("x", 0.8), ("z", 0.0)):
        estimate, error = two[name]
        assert abs(estimate - truth) < 4 * error
    assert one["z"][0] > 10 * one["z"][1]


@pytest.mark.parametrize("sd", [0.0, 0.8, 2.0])
def test_one_kind_is_not_taken_for_two(sd: float) -> None:
    for seed in range(5):
        columns, y, of = draw(20 + seed, clusters=600, size=6, sd=sd)
        plain = fit_mixed_logistic(columns, y, of)
        asked = fit_mixed_logistic(columns, y, of, kinds_by=["z"])
        assert asked.kinds is None
        np.testing.assert_array_equal(asked.coefficients, plain.coefficients)
        np.testing.assert_array_equal(asked.covariance, plain.covariance)
