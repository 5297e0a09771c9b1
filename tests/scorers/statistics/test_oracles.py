"""Independent programs give the same numbers: statsmodels for tests and choices, mixedlm for the mixed models."""

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
from eidolon.scorers.statistics.known_choice import ABSENT, KnownChoices, fit_choices
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


def known_choices(images: int, seed: int, position: float) -> KnownChoices:
    """Return choices of 5 steps among 4 true items and 10 absent ones, with a law that differs between images."""
    rng = np.random.default_rng(seed)
    is_true = np.tile(np.arange(14) < 4, (images, 1))
    utility = np.where(is_true, 1.5, 0.0) + rng.standard_normal((images, 14))
    left = np.ones((images, 5, 14), dtype=bool)
    chosen, at = np.zeros((images, 5), dtype=int), (np.arange(5) + rng.random((images, 5))) / 5
    own = 0.8 * rng.standard_normal(images)
    for i, m in np.ndindex(images, 5):
        weights = np.exp(utility[i] + ~is_true[i] * (own[i] + position * at[i, m])) * left[i, m]
        chosen[i, m] = k = rng.choice(14, p=weights / weights.sum())
        left[i, m + 1 :, k] = False
    wrong = np.take_along_axis(~is_true, chosen, axis=1)
    there = (left & is_true[:, None]).any(axis=2)
    none = np.zeros((images, 5))
    return KnownChoices(utility, is_true, ~is_true, left, chosen, wrong, none, {"position": at}, there)


def test_position_given_knowledge_is_that_of_mixedlm() -> None:
    """Given the coefficient of what was known, the choice between true and absent is mixed logistic with an offset."""
    import mixedlm
    import pandas as pd

    choices = known_choices(150, 3, position=1.0)
    fit = fit_choices(choices, 0.0, random=(ABSENT,), draws=1000)
    weights = np.exp(fit["utility"][0] * choices.measured)[:, None] * choices.left
    of_absent, of_true = (
        (weights * side[:, None]).sum(axis=2) for side in (choices.is_absent, choices.is_true)
    )
    there = choices.there
    images = np.broadcast_to(np.arange(150)[:, None], there.shape)
    frame = pd.DataFrame(
        {
            "y": choices.wrong[there].astype(int),
            "x": choices.columns["position"][there],
            "image": images[there],
        }
    )
    offset = np.log(of_absent[there] / of_true[there])
    oracle = mixedlm.glmer(
        "y ~ x + (1 | image)", frame, family=mixedlm.families.Binomial(), nAGQ=NODES, offset=offset
    )
    assert fit["position"][0] == pytest.approx(oracle.fixef()["x"], abs=0.01)
    assert fit[ABSENT][0] == pytest.approx(oracle.fixef()["(Intercept)"], abs=0.01)
    assert fit.spreads[ABSENT] == pytest.approx(float(oracle.theta[0]), abs=0.02)


def test_position_given_knowledge_without_a_spread_is_that_of_statsmodels() -> None:
    from statsmodels.discrete.conditional_models import ConditionalLogit

    choices = known_choices(200, 4, position=1.0)
    image, step, item = np.argwhere(choices.left & choices.there[..., None]).T
    absent = choices.is_absent[image, item].astype(float)
    position = absent * choices.columns["position"][image, step]
    columns = np.stack([choices.measured[image, item], absent, position], axis=1)
    oracle = ConditionalLogit(choices.chosen[image, step] == item, columns, groups=image * 5 + step).fit(
        disp=0
    )
    fit = fit_choices(choices, 0.0)
    for name, one in zip(("utility", ABSENT, "position"), oracle.params, strict=True):
        # The search of the fit ends at a small slope, and not at none.
        assert fit[name][0] == pytest.approx(float(one), abs=0.02 * fit[name][1])
