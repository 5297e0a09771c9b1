"""Each rival's fit passes its own world, and the worlds fool what they should.

`bench/simulate_forgetting.py` runs all of them with more seeds.
"""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from eidolon.scorers.core.metric import JudgedSample
from eidolon.scorers.forgetting.events import Events, read_events
from eidolon.scorers.forgetting.late_early import late_early_odds_ratio
from eidolon.scorers.forgetting.rivals.effect import HeldEffect
from eidolon.scorers.forgetting.rivals.held import HELD, PLAIN, Material, fit_rival
from eidolon.scorers.forgetting.rivals.history import earlier_wrong
from eidolon.scorers.forgetting.rivals.judge_errors import FalseAlarms, combine
from eidolon.scorers.forgetting.rivals.metric import RivalExplanations
from eidolon.scorers.forgetting.rivals.naming import Named, read_named
from eidolon.scorers.forgetting.rivals.salience import match_salience
from eidolon.scorers.forgetting.rivals.table import compare_rivals, explains, verdict
from eidolon.scorers.forgetting.worlds import WORLDS, NamingWorld, simulate_world
from eidolon.scorers.metrics.scoring import score
from tests.scorers.forgetting.test_forgetting import CATEGORIES, sample

RIVALS = {rival.name: rival for rival in (PLAIN, *HELD)}
SEEDS = 6


@cache
def fits(world: str, rival: str) -> tuple[HeldEffect, ...]:
    """Return the fits of some seeds of a world."""
    found = []
    for seed in range(SEEDS):
        course = simulate_world(WORLDS[world], seed=100 + seed)
        alarms = FalseAlarms(WORLDS[world].false_alarms[1], 0.01)
        found.append(
            fit_rival(RIVALS[rival], Material(course.events, Named(course.there, course.named), alarms, seed))  # type: ignore[index]
        )
    return tuple(found)


def says_up(world: str, rival: str) -> int:
    return sum(one.ci is not None and one.ci[0] > 1 for one in fits(world, rival))


def median(world: str, rival: str) -> float:
    return float(np.median([one.odds_ratio for one in fits(world, rival) if one.odds_ratio is not None]))


@pytest.mark.parametrize(
    ("world", "rival"),
    [
        ("snowball", "snowball_length"),
        ("snowball", "snowball"),
        ("random slopes", "slopes"),
        ("stops after a wrong mention", "stopping"),
    ],
)
def test_a_rival_passes_its_own_world_which_fools_the_plain_ratio(world: str, rival: str) -> None:
    assert says_up(world, "plain") >= SEEDS // 2
    assert median(world, "plain") > 2
    assert says_up(world, rival) <= 2
    assert 0.5 < median(world, rival) < 1.7


def test_what_only_a_rival_measures_is_found() -> None:
    per_mention = [one.beside[0].value for one in fits("snowball", "snowball_length")]
    assert np.median(np.log(per_mention)) == pytest.approx(0.7, abs=0.2)
    spreads = [one.beside[0].value for one in fits("random slopes", "slopes")]
    assert np.median(spreads) == pytest.approx(2, abs=0.6)
    ending = [one.beside[0].value for one in fits("stops after a wrong mention", "stopping")]
    assert np.median(ending) > 4


def test_no_fit_from_responses_alone_passes_salience() -> None:
    for rival in ("plain", "length", "snowball_length", "stopping", "slopes", "naming"):
        assert says_up("salience", rival) >= SEEDS - 3, rival
        assert median("salience", rival) > 4, rival


def test_the_judge_explains_what_its_false_alarms_explain() -> None:
    world = NamingWorld(false_alarms=(0.0, 0.2), absent=-5.5, images=500)
    course = simulate_world(world, seed=4)
    material = Material(course.events, Named(course.there, course.named), FalseAlarms(0.2, 0.02))
    plain, without = fit_rival(PLAIN, material), fit_rival(RIVALS["judge"], material)
    assert plain.log_odds_ratio is not None
    assert without.log_odds_ratio is not None
    assert without.log_odds_ratio < 0.7 * plain.log_odds_ratio
    none = fit_rival(RIVALS["judge"], replace(material, alarms=FalseAlarms(0.0, 1e-9)))
    assert none.log_odds_ratio == pytest.approx(plain.log_odds_ratio)
    assert fit_rival(RIVALS["judge"], replace(material, alarms=None)).reason


def test_imputations_are_combined_by_rubins_rules() -> None:
    value, error = combine(np.array([1.0, 2.0, 3.0]), np.array([0.5, 0.5, 0.5]))
    assert value == 2
    assert error == pytest.approx((0.25 + 4 / 3 * 1.0) ** 0.5)


def test_a_matched_world_of_salience_has_the_rise_of_a_world_of_salience_alone() -> None:
    course = simulate_world(WORLDS["salience"], seed=5)
    observed = late_early_odds_ratio(course.events).log_odds_ratio
    found = match_salience(course.events, observed, categories=80, seed=0)
    assert found.closest is not None
    assert found.closest.spread >= 2
    alike = next(one for one in found.spreads if one.spread == 0)
    assert alike.ci[0] < 1 < alike.ci[1] or alike.odds_ratio < 2, "without salience nothing rises"
    assert found.observed[0] == pytest.approx(found.closest.wrong[0], abs=0.06)
    again = match_salience(course.events, observed, categories=80, seed=0)
    assert again == found


def test_earlier_wrong_mentions_are_those_of_a_plain_count() -> None:
    events = simulate_world(WORLDS["50 images"], seed=1).events
    mentions = events.mentions
    wanted = [
        sum(bool(mentions.hallucinated[j]) and mentions.response[j] == mentions.response[i] for j in range(i))
        for i in range(len(mentions))
    ]
    assert earlier_wrong(mentions).tolist() == wanted


def test_the_named_categories_are_those_of_the_first_mentions() -> None:
    samples = [
        sample(0, "a dog and a cat and a dog by a car", ["dog", "car", "bed"]),
        sample(1, "cup", ["dog"]),
        sample(2, "dog and cat", ["dog", "cat"], ignored=["dog"]),
    ]
    named, first = read_named(samples), read_events(samples).mentions
    vocabulary = ["bed", "car", "cat", "cup", "dog"]
    assert [vocabulary[c] for c in named.category] == ["dog", "cat", "car", "cup", "cat"]
    assert len(named.category) == int(first.first.sum())
    assert named.there.tolist() == [
        [True, True, False, False, True],
        [False, False, False, False, True],
        [False, False, True, False, False],
    ]


def written(seed: int, responses: int = 150) -> list[JudgedSample]:
    """Return responses that name what is there early and anything late."""
    rng = np.random.default_rng(seed)
    found = []
    for key in range(responses):
        there = rng.permutation(CATEGORIES)[: rng.integers(1, 4)].tolist()
        absent = [name for name in CATEGORIES if name not in there]
        words, left = [], [*rng.permutation(there).tolist(), *rng.permutation(absent).tolist()]
        for at in range(5):
            if at and rng.random() < 0.35:
                left[0], left[-1] = left[-1], left[0]
            words += ["and"] * int(rng.integers(1, 40)) + [left.pop(0)]
        found.append(sample(key, " ".join(words[: rng.integers(60, 140)]), there))
    return found


def test_the_table_says_what_may_be_said_and_scores_have_its_numbers() -> None:
    samples = written(1)
    scores = score(samples, [RivalExplanations()], signature="s", resamples=10)
    numbers = scores.metrics["rivals"]
    found = compare_rivals(samples, signature="s")
    for rival in found.rivals[:-1]:
        assert numbers[f"{rival.name}_odds_ratio_per_100_words"].value == rival.effect.odds_ratio
    assert found.sentence.startswith(("100 words later", "There is no"))
    assert "forget" not in found.sentence or "do not show" in found.sentence
    none = score([], [RivalExplanations()], signature="s", resamples=10).metrics["rivals"]
    for name in RIVALS:
        if name != "judge":
            assert none[f"{name}_odds_ratio_per_100_words"].value is None
            assert none[f"{name}_odds_ratio_per_100_words"].reason


@pytest.mark.parametrize(
    ("plain", "found", "wanted"),
    [
        ((2.0, 9.0), (1.2, 5.0), "cannot"),
        ((2.0, 9.0), (0.8, 5.0), "could"),
        ((2.0, 9.0), None, "unknown"),
        ((0.8, 9.0), (0.8, 5.0), "unknown"),
        ((0.1, 0.5), (0.2, 0.7), "cannot"),
        ((0.1, 0.5), (0.2, 1.7), "could"),
    ],
)
def test_a_rival_could_explain_what_vanishes_with_it(
    plain: tuple[float, float], found: tuple[float, float] | None, wanted: str
) -> None:
    assert explains(HeldEffect(odds_ratio=3, ci=plain), HeldEffect(odds_ratio=2, ci=found)) == wanted


def test_nothing_is_explained_where_nothing_rises() -> None:
    assert "nothing to explain" in verdict(HeldEffect(odds_ratio=1.2, ci=(0.5, 3.0)), [], None, "unknown")
    assert "no late-minus-early odds ratio: too few" in verdict(
        HeldEffect(reason="too few"), [], None, "unknown"
    )


def test_a_rival_without_data_has_a_reason() -> None:
    events = simulate_world(NamingWorld(images=2), seed=0)
    empty = Material(
        Events(events.events.responses, events.events.mentions.select(np.zeros(len(events.named), bool))),
        Named(events.there, events.named[:0]),
        FalseAlarms(0.1, 0.1),
    )
    for rival in RIVALS.values():
        assert fit_rival(rival, empty).reason, rival.name
