"""Two runs' late-minus-early odds ratios on the same images: simulated with and without a difference."""

from dataclasses import replace
from functools import cache
from math import log

import numpy as np
import pytest

from eidolon.scorers.forgetting.events import Events, Mentions
from eidolon.scorers.forgetting.late_early import LateEarlyOddsRatio, late_early_odds_ratio
from eidolon.scorers.forgetting.late_early_difference import compare_fits, joint_covariance
from eidolon.scorers.forgetting.simulation import Hazard, simulate
from eidolon.scorers.statistics.comparison import decide

HAZARD = Hazard(spread=0.7, forced=False)
NAME = "adjusted_odds_ratio_per_100_words"


def fit(events: Events) -> LateEarlyOddsRatio:
    return late_early_odds_ratio(events, two_kinds=False)


@cache
def own_fit(position: float, seed: int, responses: int) -> LateEarlyOddsRatio:
    return fit(simulate(replace(HAZARD, position=position), responses, seed=seed))


def with_shared_responses(seed: int, responses: int, shared: int) -> tuple[Events, Events]:
    """Return two runs with the same responses to the first `shared` images and independent ones to the others."""
    a, b = simulate(HAZARD, responses, seed=2 * seed), simulate(HAZARD, responses, seed=2 * seed + 1)
    of_a, of_b = a.mentions.response < shared, b.mentions.response >= shared
    mentions = Mentions(
        *(
            np.concatenate([getattr(a.mentions, name)[of_a], getattr(b.mentions, name)[of_b]])
            for name in Mentions.__slots__
        )
    )
    same = np.arange(responses) < shared
    return a, Events(
        replace(
            b.responses,
            words=np.where(same, a.responses.words, b.responses.words),
            true_objects=np.where(same, a.responses.true_objects, b.responses.true_objects),
        ),
        mentions,
    )


def test_equal_runs_rarely_differ_and_the_error_is_right() -> None:
    """Half of the responses are the same in both runs, so that only a paired error has the right size."""
    apart, errors, unpaired, rejected = [], [], [], 0
    for seed in range(50):
        a, b = (fit(events) for events in with_shared_responses(seed, 300, 150))
        covariance = joint_covariance(a, b)
        apart.append(b.log_odds_ratio - a.log_odds_ratio)
        errors.append((covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]) ** 0.5)
        unpaired.append((covariance[0, 0] + covariance[1, 1]) ** 0.5)
        rejected += (compare_fits(a, b, resamples=0).p or 0) < 0.05
    assert rejected <= 7  # 2.5 expected; more than 7 by chance in 1 of 200
    assert np.mean(errors) == pytest.approx(np.std(apart, ddof=1), rel=0.25)
    assert np.mean(errors) < 0.8 * np.mean(unpaired)


def test_a_difference_is_found() -> None:
    found = [compare_fits(own_fit(0.0, 2 * s, 500), own_fit(log(6), 2 * s + 1, 500)) for s in range(8)]
    outcomes = [decide({"forgetting": {NAME: one}})["forgetting"][NAME].outcome for one in found]
    assert outcomes.count("a_better") >= 7
    for one in found:
        assert one.ci is not None
        assert one.p is not None
        if not 0.04 < one.p < 0.06:  # the interval is drawn
            assert (one.ci[0] > 0) == (one.p < 0.05)


def test_a_run_does_not_differ_from_itself() -> None:
    one = own_fit(0.0, 0, 500)
    same = compare_fits(one, one)
    assert (same.difference, same.ci, same.p) == (0, None, None)
    assert "do not differ" in (same.reason or "")


def test_the_covariance_of_a_run_is_that_of_its_fit() -> None:
    """Both give the robust error, which is below the reported one only where the likelihood's is larger."""
    one = own_fit(0.0, 0, 500)
    assert 0.8 * one.standard_error < joint_covariance(one, one)[0, 0] ** 0.5 <= one.standard_error + 1e-9
