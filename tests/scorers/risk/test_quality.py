import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit

from eidolon.scorers.risk.quality import PlattScaling, auroc, brier, fit_platt, log_loss, reliability

RISK = np.array([0.1, 0.4, 0.4, 0.8])
WRONG = np.array([0.0, 1.0, 0.0, 1.0])


def test_by_hand() -> None:
    # Pairs (wrong, right): .4 against .1 and .4 (a tie), .8 against both: 3.5 of 4.
    assert auroc(RISK, WRONG) == 3.5 / 4
    assert brier(RISK, WRONG).sum() == pytest.approx(0.01 + 0.36 + 0.16 + 0.04)
    assert log_loss(RISK, WRONG).sum() == pytest.approx(-np.log(0.9 * 0.4 * 0.6 * 0.8))


def test_one_kind_of_outcome() -> None:
    assert np.isnan(auroc(RISK, np.zeros(4)))
    assert fit_platt(RISK, np.ones(4)) == PlattScaling()


def test_auroc_counts_pairs() -> None:
    rng = np.random.default_rng(0)
    risk, wrong = rng.integers(0, 8, 60) / 8, (rng.random(60) < 0.3).astype(float)
    pairs = [(a > b) + (a == b) / 2 for a in risk[wrong > 0] for b in risk[wrong == 0]]
    assert auroc(risk, wrong) == pytest.approx(np.mean(pairs))


def test_platt_finds_the_largest_likelihood() -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 2, 4000)
    wrong = (rng.random(4000) < expit(0.5 * logits - 1)).astype(float)
    found = fit_platt(logits, wrong)

    def loss(at: np.ndarray) -> float:
        p = expit(at[0] * logits + at[1])
        return float(-(wrong * np.log(p) + (1 - wrong) * np.log1p(-p)).sum())

    best = minimize(loss, [1.0, 0.0]).x
    assert [found.slope, found.intercept] == pytest.approx(list(best), abs=5e-3)  # targets are smoothed
    assert [found.slope, found.intercept] == pytest.approx([0.5, -1], abs=0.15)


def test_reliability_by_hand() -> None:
    low, high = reliability(RISK, WRONG, bins=2)
    assert (low.mentions, low.risk, low.wrong) == (2, 0.25, 0.5)
    assert (high.mentions, high.risk, high.wrong) == (2, pytest.approx(0.6), 0.5)
