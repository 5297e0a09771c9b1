"""Independent programs give the same numbers: statsmodels for the tests, mixedlm for the mixed logistic model."""

from collections.abc import Mapping
from math import log
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eidolon.scorers.core.metric import FloatArray
from eidolon.scorers.forgetting.late_early import covariates, late_early_odds_ratio
from eidolon.scorers.forgetting.simulation import Hazard, simulate
from eidolon.scorers.statistics.mixed_logistic import fit_mixed_logistic
from eidolon.scorers.statistics.paired import holm, mcnemar

NODES = 25
"""Nodes of mixedlm's adaptive quadrature. With one node it would be the Laplace approximation."""


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_that_of_statsmodels(p_values: list[float]) -> None:
    from statsmodels.stats.multitest import multipletests

    with patch("gc.collect"):  # each call collects garbage, which takes a second in a large process
        wanted = multipletests(p_values, method="holm")[1]
    assert holm(p_values) == pytest.approx(wanted, abs=1e-12)


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 5), st.integers(0, 5))
def test_mcnemar_is_that_of_statsmodels(only_a: int, only_b: int, both: int, neither: int) -> None:
    from statsmodels.stats.contingency_tables import mcnemar as oracle

    right = (
        [(True, False)] * only_a + [(False, True)] * only_b + [(True, True)] * both + [(False,) * 2] * neither
    )
    found = mcnemar([a for a, _ in right], [b for _, b in right])
    wanted = oracle([[both, only_a], [only_b, neither]], exact=True).pvalue
    assert found.exact == pytest.approx(min(1.0, wanted), abs=1e-12)


def mixedlm_fit(columns: Mapping[str, FloatArray], outcomes: Any, clusters: Any) -> Any:
    """Return mixedlm's fit with a random intercept for each cluster; the columns are standardised for its search."""
    import mixedlm
    import pandas as pd

    frame = pd.DataFrame({f"x{i}": column for i, column in enumerate(columns.values())})
    frame = (frame - frame.mean()) / frame.std(ddof=0)
    frame = frame.assign(y=np.asarray(outcomes, dtype=int), cluster=np.asarray(clusters))
    terms = " + ".join(f"x{i}" for i in range(len(columns)))
    formula = f"y ~ {terms} + (1 | cluster)"
    return mixedlm.glmer(formula, frame, family=mixedlm.families.Binomial(), nAGQ=NODES)


def test_the_mixed_logistic_model_is_that_of_mixedlm() -> None:
    rng = np.random.default_rng(5)
    clusters = np.repeat(np.arange(120), rng.integers(2, 9, 120))
    x = rng.normal(size=len(clusters))
    log_odds = -0.5 + 0.8 * x + 1.2 * rng.normal(size=120)[clusters]
    outcomes = rng.random(len(clusters)) < 1 / (1 + np.exp(-log_odds))
    found = fit_mixed_logistic({"x": x}, outcomes, clusters)
    oracle = mixedlm_fit({"x": x}, outcomes, clusters)
    assert found["x"][0] == pytest.approx(oracle.fixef()["x0"] / x.std(), abs=2e-4)
    assert found.intercept_sd == pytest.approx(float(oracle.theta[0]), abs=2e-4)
    assert found.log_likelihood == pytest.approx(oracle.logLik().value, abs=1e-3)
    # mixedlm holds the spread of the intercepts fixed, so that its standard errors are a little smaller.
    error = found.model_covariance[1, 1] ** 0.5
    assert 1 <= error * x.std() / np.sqrt(np.diag(oracle.vcov()))[1] < 1.1


def test_the_late_minus_early_odds_ratio_is_that_of_mixedlm() -> None:
    """With the covariates of the measure itself, over the mentions that it fits."""
    events = simulate(Hazard(position=log(3), spread=1.0, exhaustion="competing"), 150, seed=2)
    found = late_early_odds_ratio(events)
    assert found.kinds is None
    mentions = events.mentions.select(events.mentions.unnamed > 0)
    columns = covariates(events.responses, mentions)
    position = mentions.word / 100
    used = {"position": position, **{name: columns[name] for name in found.covariates}}
    oracle = mixedlm_fit(used, mentions.hallucinated, mentions.response)
    assert found.log_odds_ratio == pytest.approx(oracle.fixef()["x0"] / position.std(), abs=2e-3)
    assert found.intercept_sd == pytest.approx(float(oracle.theta[0]), abs=2e-3)
    assert found.standard_error * position.std() > np.sqrt(np.diag(oracle.vcov()))[1]
