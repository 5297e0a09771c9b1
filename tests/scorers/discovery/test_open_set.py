import numpy as np
import pytest
from scipy.optimize import minimize

from eidolon.scorers.discovery.open_set import RIDGE, fit_logistic, fit_open_set, known_probabilities


def test_newton_finds_the_least_penalised_loss() -> None:
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.normal(size=(40, 3)), np.ones(40)])
    y = (rng.random(40) < 0.4).astype(float)
    weight = rng.uniform(0.5, 2, 40)

    def loss(w: np.ndarray) -> float:
        total = RIDGE / 2 * sum(v * v for v in w[:-1])
        for row, right, much in zip(x, y, weight, strict=True):
            p = 1 / (1 + np.exp(-sum(a * b for a, b in zip(row, w, strict=True))))
            total -= much * np.log(p if right else 1 - p)
        return total

    np.testing.assert_allclose(fit_logistic(x, y, weight), minimize(loss, np.zeros(4)).x, atol=1e-3)


def test_what_is_near_known_nouns_is_likelier_known() -> None:
    rng = np.random.default_rng(1)
    known = np.eye(6)[[0, 0, 0, 1, 1, 1]] + 0.1 * rng.normal(size=(6, 6))
    proxies = np.eye(6)[[2, 3, 4, 5] * 4] + 0.1 * rng.normal(size=(16, 6))
    model = fit_open_set(known, proxies)
    inside, outside = model.probabilities(np.eye(6)[[0, 2]])
    assert inside > 0.8
    assert outside < 0.2
    vectors = np.concatenate([known, proxies, np.eye(6)[[1]]])
    chances = known_probabilities(vectors, range(6), range(6, 23))
    assert chances[-1] is not None
    assert all(one is not None and one < chances[-1] for one in chances[:-1])


@pytest.mark.parametrize(("known", "unknown"), [(4, 20), (20, 9)])
def test_too_few_nouns_give_null(known: int, unknown: int) -> None:
    vectors = np.random.default_rng(0).normal(size=(known + unknown, 3))
    assert known_probabilities(vectors, range(known), range(known, known + unknown)) == [None] * unknown
