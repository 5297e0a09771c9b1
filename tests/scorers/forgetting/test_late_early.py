"""The late-minus-early odds ratio on data with a known law. `bench/simulate_forgetting.py` does the same at length."""

from math import exp, log

import numpy as np
import pytest

from eidolon.scorers.forgetting.late_early import fit_position, late_early_odds_ratio, minimum_responses
from eidolon.scorers.forgetting.simulation import SCENARIOS, Hazard, simulate
from eidolon.scorers.statistics.mixed_logistic import NotEstimableError, fit_mixed_logistic

SEEDS = 10


@pytest.mark.parametrize("name", SCENARIOS)
def test_position_is_found_where_it_is_and_nowhere_else(name: str) -> None:
    hazard = SCENARIOS[name]
    errors, covered, rejected, rises = [], [], [], []
    for seed in range(SEEDS):
        events = simulate(hazard, 2000, seed=1000 + seed)
        found = late_early_odds_ratio(events)
        wrong, word = events.mentions.hallucinated, events.mentions.word
        rises.append(wrong[word >= 60].mean() - wrong[word < 20].mean())
        errors.append(found.log_odds_ratio - hazard.position)
        covered.append(found.low <= exp(hazard.position) <= found.high)
        rejected.append(not found.low <= 1 <= found.high)
    # The bounds are exceeded by chance less than once in a thousand runs, and the seeds are fixed.
    assert abs(np.mean(errors)) < 5 * np.std(errors, ddof=1) / SEEDS**0.5
    assert sum(covered) >= SEEDS - 3
    assert sum(rejected) == SEEDS if name == "rising" else sum(rejected) <= 3
    if name == "constant":
        assert abs(np.mean(rises)) < 0.02
    else:
        assert np.mean(rises) > 0.05, "the raw curve rises"


def test_without_its_controls_the_summary_would_be_wrong() -> None:
    """Each control is needed: without it the test above fails."""
    events = simulate(SCENARIOS["exhaustion, bad responses longer"], 2000, seed=5)
    mentions = events.mentions
    bare = fit_position(events.responses, mentions, {})
    assert bare.low > 2, "exhaustion not controlled"
    survivors = simulate(SCENARIOS["survivorship"], 4000, seed=5)
    rows = survivors.mentions
    one_each = fit_mixed_logistic(
        {"word": rows.word / 100}, rows.hallucinated, np.arange(len(rows)), nodes=31
    )
    assert one_each["word"][0] > 3 * one_each["word"][1], "differences between responses not controlled"


def test_two_kinds_of_responses_are_found() -> None:
    """A fifth of the responses is much worse, and longer. One normal intercept would turn that into a fall by
    position."""
    hazard = Hazard(exhaustion="competing", spread=1.0, bad=0.2, longer=0.4)
    found = [late_early_odds_ratio(simulate(hazard, 2000, seed=seed)) for seed in range(SEEDS)]
    assert all(fit.kinds is not None and fit.kinds.distance == pytest.approx(2.5, abs=0.6) for fit in found)
    assert np.mean([fit.kinds.upper for fit in found if fit.kinds]) == pytest.approx(0.2, abs=0.05)
    assert sum(fit.low <= 1 <= fit.high for fit in found) >= SEEDS - 3
    errors = [fit.log_odds_ratio for fit in found]
    assert abs(np.mean(errors)) < 5 * np.std(errors, ddof=1) / SEEDS**0.5
    assert abs(np.mean(errors)) < 0.08


def test_the_power_of_more_responses_is_as_stated() -> None:
    hazard = Hazard(position=log(3), exhaustion="competing", spread=0.7, longer=0.3)
    few, many = (late_early_odds_ratio(simulate(hazard, n, seed=4)) for n in (500, 4500))
    assert few.standard_error / many.standard_error == pytest.approx(3, rel=0.2)
    needed = minimum_responses(few, 3)
    assert few.standard_error * (few.responses / needed) ** 0.5 == pytest.approx(log(3) / 2.8016, rel=1e-3)


def test_what_is_forced_is_set_apart_and_counted() -> None:
    events = simulate(SCENARIOS["exhaustion"], 300, seed=1)
    found = late_early_odds_ratio(events)
    forced = int((events.mentions.unnamed == 0).sum())
    assert forced > 0
    assert (found.forced, found.mentions) == (forced, len(events.mentions) - forced)
    free = events.mentions.select(events.mentions.unnamed > 0)
    assert found.hallucinated == int(free.hallucinated.sum())
    assert found.minimum_detectable == pytest.approx(exp(2.8016 * found.standard_error), rel=1e-3)


def test_only_forced_mentions_cannot_say_anything() -> None:
    events = simulate(SCENARIOS["exhaustion"], 300, seed=1)
    forced = events.mentions.select(events.mentions.unnamed == 0)
    with pytest.raises(NotEstimableError, match="still unnamed"):
        fit_position(events.responses, forced, {})
