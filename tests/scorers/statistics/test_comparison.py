"""Comparison of two runs: its records, outcomes and reasons, and how often it errs."""

import math
import random
import statistics as plain

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eidolon.scorers.core.metric import Quantity, ratio
from eidolon.scorers.metrics.throne import Throne, VotedImage
from eidolon.scorers.statistics.comparison import Compared, compare_family, decide
from eidolon.scorers.statistics.paired import (
    Side,
    mcnemar,
    minimum_detectable_effect,
    paired_bootstrap,
    randomisation,
)

SHARE = (Quantity("share", True, (0, 1), "hits / tries", "nothing was tried"),)


def share(totals):
    return {"share": ratio(totals[..., 0], totals[..., 1])}


def mean(totals):
    return {"mean": ratio(totals[..., 0], totals[..., 1])}


counts = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3), st.integers(0, 3), st.integers(0, 4)),
    min_size=1,
    max_size=14,
)


def run(samples, seed, rate=0.3):
    """Return hits and tries of each sample, shape (samples, 2)."""
    generator = np.random.default_rng(seed)
    tries = generator.integers(0, 6, size=samples)
    return np.stack([generator.binomial(tries, rate), tries], axis=1).astype(float)


def sides(rows):
    """Return two runs over images 0 to 4. Hits never exceed tries."""
    a = np.array([[min(r[0], r[1]), r[1]] for r in rows], dtype=float)
    b = np.array([[min(r[2], r[3]), r[3]] for r in rows], dtype=float)
    return a, b, [r[4] for r in rows]


def compared(a, b, clusters, **settings):
    settings = {"resamples": 60, **settings}
    found = compare_family(SHARE, Side(a, share), Side(b, share), clusters, **settings)
    return decide({"family": found})["family"]["share"]


@given(counts)
def test_b_against_a_is_the_mirror_image(rows):
    a, b, clusters = sides(rows)
    there, back = compared(a, b, clusters), compared(b, a, clusters)
    mirror = {"a_better": "b_better", "b_better": "a_better"}
    assert (back.a, back.b) == (there.b, there.a)
    assert back.p == there.p
    assert back.outcome == mirror.get(there.outcome, there.outcome)
    assert back.undefined_resamples == there.undefined_resamples
    if there.difference is not None:
        assert back.difference == -there.difference
    if there.ci is not None:
        assert back.ci == pytest.approx((-there.ci[1], -there.ci[0]))


@given(counts)
def test_a_run_does_not_differ_from_its_equal(rows):
    a, _, clusters = sides(rows)
    got = compared(a, a.copy(), clusters)
    if a[:, 1].sum() == 0:
        assert (got.difference, got.p, got.outcome) == (None, None, None)
        assert got.reason == "undefined in A and B: nothing was tried"
        return
    assert got.difference == 0
    if len(set(clusters)) > 1:
        assert (got.p, got.p_holm) == (1, 1)
        assert got.ci in ((0, 0), None)
        assert got.mde is None
        assert got.outcome != "a_better"
        assert got.outcome != "b_better"


@given(counts, st.randoms(use_true_random=False))
def test_the_order_of_the_samples_does_not_show(rows, shuffler):
    shuffled = list(rows)
    shuffler.shuffle(shuffled)
    assert compared(*sides(rows)) == compared(*sides(shuffled))


def test_too_few_images_and_no_resamples_have_a_reason():
    a, b = run(6, 0), run(6, 1)
    one = compared(a, b, [1] * 6)
    assert (one.ci, one.p, one.mde) == (None, None, None)
    assert one.reason == "no interval: it takes at least two images"
    assert compared(a, b, [1] * 6, unit="items").reason == "no interval: it takes at least two items"
    none = compared(a, b, range(6), resamples=0)
    assert (none.ci, none.p) == (None, None)
    assert none.reason == "no interval: no resamples were asked for"
    mostly = compared(np.array([[1.0, 1]] * 9), np.array([[1.0, 1]] + [[0, 0]] * 8), range(9))
    assert mostly.ci is None
    assert mostly.outcome is None
    assert "more than 5%" in mostly.reason
    other_rules = compared(a, b, range(6), test=False)
    assert other_rules.p is None
    assert other_rules.ci is not None
    assert "different rules" in other_rules.reason


def test_what_is_neither_better_nor_worse_is_not_tested():
    quantities = (Quantity("share", None, (0, 1), "", ""),)
    a, b = run(40, 0, 0.1), run(40, 1, 0.9)
    found = compare_family(quantities, Side(a, share), Side(b, share), range(40), resamples=100)
    got = decide({"x": found})["x"]["share"]
    assert (got.p, got.p_holm, got.outcome) == (None, None, None)
    assert got.ci[0] > 0
    assert got.mde > 0


def entry(p, difference, ci, higher=True):
    return Compared(
        a=0, b=difference, difference=difference, ci=ci, p=p, p_holm=None, mde=None,
        higher_is_better=higher, outcome=None,
    )  # fmt: skip


def test_outcomes_take_the_direction_the_correction_and_the_interval():
    decided = decide(
        {
            "x": {
                "up": entry(0.001, 0.2, (0.1, 0.3)),
                "down": entry(0.001, -0.2, (-0.3, -0.1)),
                "lower_is_better": entry(0.001, 0.2, (0.1, 0.3), higher=False),
                "interval_holds_0": entry(0.001, 0.2, (-0.1, 0.3)),
            },
            "y": {"corrected_away": entry(0.03, 0.2, (0.1, 0.3)), "large": entry(0.5, 0.2, (-0.1, 0.3))},
        }
    )
    assert {n: v.outcome for values in decided.values() for n, v in values.items()} == {
        "up": "b_better",
        "down": "a_better",
        "lower_is_better": "a_better",
        "interval_holds_0": "no_significant_difference",
        "corrected_away": "no_significant_difference",
        "large": "no_significant_difference",
    }
    assert decided["x"]["up"].p_holm == pytest.approx(0.006)
    assert decided["y"]["corrected_away"].p_holm == pytest.approx(0.06)


def pair_of_runs(generator, images, shift):
    """Return two runs of means over images: the difficulty of each image is common, the noise is not."""
    hard = generator.normal(size=images)
    return tuple(
        np.stack([hard + generator.normal(scale=0.5, size=images) + s, np.ones(images)], axis=1)
        for s in (0, shift)
    )


def test_covers_the_true_difference_and_errs_as_often_as_it_says():
    # 200 experiments each; binomial error is 1.5 points at 5 %.
    generator = np.random.default_rng(1)
    covered = wrong = 0
    for experiment in range(200):
        a, b = pair_of_runs(generator, 60, 0.2)
        found = paired_bootstrap(Side(a, mean), Side(b, mean), range(60), seed=experiment, resamples=300)[
            "mean"
        ]
        covered += bool(found.low <= 0.2 <= found.high)
        a, b = pair_of_runs(generator, 60, 0)
        wrong += bool(randomisation(a, b, range(60), mean, seed=experiment, resamples=199)["mean"] <= 0.05)
    assert 0.90 <= covered / 200 <= 0.99
    assert wrong / 200 <= 0.10


def test_a_difference_of_the_minimum_detectable_size_is_found_four_times_in_five():
    generator = np.random.default_rng(3)
    # The paired difference has a standard deviation of √(2 · 0.5²) an image.
    mde = minimum_detectable_effect(math.sqrt(0.5 / 80))
    assert mde == pytest.approx(2.8016 * math.sqrt(0.5 / 80), rel=1e-4)
    estimated, found = [], 0
    for experiment in range(250):
        a, b = pair_of_runs(generator, 80, mde)
        result = paired_bootstrap(Side(a, mean), Side(b, mean), range(80), seed=experiment, resamples=300)[
            "mean"
        ]
        estimated.append(minimum_detectable_effect(float(result.error)))
        found += bool(result.low > 0)
    assert plain.mean(estimated) == pytest.approx(mde, rel=0.05)
    assert 0.72 <= found / 250 <= 0.88


def test_pairing_narrows_the_interval():
    generator = np.random.default_rng(0)
    a, b = pair_of_runs(generator, 300, 0)
    shuffled = b[np.random.default_rng(1).permutation(300)]
    paired, unpaired = (
        float(paired_bootstrap(Side(a, mean), Side(other, mean), range(300), resamples=500)["mean"].error)
        for other in (b, shuffled)
    )
    assert paired < 0.6 * unpaired


def test_answers_have_mcnemar_beside_the_test():
    quantities = (Quantity("accuracy", True, (0, 1), "", ""),)
    generator = random.Random(0)
    right_a = [generator.random() < 0.6 for _ in range(40)]
    right_b = [generator.random() < 0.8 for _ in range(40)]

    def accuracy(totals):
        return {"accuracy": ratio(totals[..., 0], totals[..., 1])}

    rows = [np.array([[r, 1] for r in right] + [[0, 0]], dtype=float) for right in (right_a, right_b)]
    found = compare_family(
        quantities, *(Side(row, accuracy) for row in rows), range(41), answers=("accuracy",), resamples=20
    )
    assert found["accuracy"].mcnemar == mcnemar(right_a, right_b)


def test_means_over_categories_and_fractions_survive_a_mirror():
    """The statistics of THRONE are fractions, and its means leave categories out."""
    generator = np.random.default_rng(0)
    metric = Throne("compat", 9, 9, 5)
    a, b = (
        metric.statistics(
            [VotedImage(i, generator.choice([0, 4, 9], size=5), generator.random(5) < 0.4) for i in range(30)]
        )
        for _ in range(2)
    )
    there = randomisation(a, b, range(30), metric.compute, resamples=200)
    back = randomisation(b, a, range(30), metric.compute, resamples=200)
    assert there == back
    assert all(0 < p <= 1 for p in there.values())
