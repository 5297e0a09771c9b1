"""Paired intervals and tests, checked by plain loops over the same draws, by enumeration, and by hand."""

import itertools
import math
import statistics as plain

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eidolon.scorers.core.metric import Quantity, ratio
from eidolon.scorers.statistics.bootstrap import draws
from eidolon.scorers.statistics.paired import (
    Side,
    holm,
    mcnemar,
    paired_bootstrap,
    randomisation,
    swaps,
)

SHARE = (Quantity("share", True, (0, 1), "hits / tries", "nothing was tried"),)


def share(totals):
    return {"share": ratio(totals[..., 0], totals[..., 1])}


def mean(totals):
    return {"mean": ratio(totals[..., 0], totals[..., 1])}


def run(samples, seed, rate=0.3):
    """Return hits and tries of each sample, shape (samples, 2)."""
    generator = np.random.default_rng(seed)
    tries = generator.integers(0, 6, size=samples)
    return np.stack([generator.binomial(tries, rate), tries], axis=1).astype(float)


def naive_share(rows):
    hits, tries = sum(row[0] for row in rows), sum(row[1] for row in rows)
    return hits / tries if tries else math.nan


def by_image(rows, clusters):
    images = sorted(set(clusters), key=lambda c: (isinstance(c, str), c))
    return [[row for row, c in zip(rows, clusters, strict=True) if c == image] for image in images]


def naive_differences(a, b, clusters, *, seed, resamples):
    """Yield the difference of each resample, from the rows of the drawn images one by one."""
    images_a, images_b = by_image(a, clusters), by_image(b, clusters)
    for drawn in draws(len(images_a), seed=seed, resamples=resamples):
        yield (
            naive_share([row for i in drawn for row in images_b[i]])
            - naive_share([row for i in drawn for row in images_a[i]])
        )


@pytest.mark.parametrize("seed", [0, 5])
def test_paired_bootstrap_equals_its_naive_twin(seed):
    a, b = run(60, seed), run(60, seed + 1, 0.5)
    clusters = [i // 3 if i % 2 else f"image {i // 3}" for i in range(60)]
    got = paired_bootstrap(Side(a, share), Side(b, share), clusters, seed=seed, resamples=300)["share"]
    found = list(naive_differences(a.tolist(), b.tolist(), clusters, seed=seed, resamples=300))
    assert got.difference == pytest.approx(naive_share(b.tolist()) - naive_share(a.tolist()))
    low, high = np.quantile(found, [0.025, 0.975])
    assert (got.low, got.high) == (pytest.approx(low), pytest.approx(high))
    assert got.error == pytest.approx(plain.stdev(found))


def test_undefined_resamples_are_left_out_of_interval_and_error():
    a, b = np.array([[1.0, 1]] * 7 + [[0, 0]]), np.array([[0.0, 0]] * 5 + [[1, 2]] * 3)
    got = paired_bootstrap(Side(a, share), Side(b, share), range(8), resamples=400)["share"]
    found = list(naive_differences(a.tolist(), b.tolist(), range(8), seed=0, resamples=400))
    defined = [value for value in found if value == value]
    assert 0 < got.undefined_resamples == len(found) - len(defined) <= 20
    assert got.error == pytest.approx(plain.pstdev(defined) * math.sqrt(len(defined) / (len(defined) - 1)))


def test_runs_computed_differently_can_be_compared_by_interval():
    # Thirds instead of whole numbers: other columns, another function.
    a, b = run(40, 0), run(40, 1)
    thirds = np.repeat(b / 3, 3, axis=1)
    whole = paired_bootstrap(Side(a, share), Side(b, share), range(40), resamples=50)["share"]
    split = paired_bootstrap(
        Side(a, share),
        Side(thirds, lambda t: {"share": ratio(t[..., :3].sum(-1), t[..., 3:].sum(-1)), "more": t[..., 0]}),
        range(40),
        resamples=50,
    )
    assert list(split) == ["share"]
    assert split["share"].low == pytest.approx(whole.low)


def naive_p(a, b, signs, tie=1e-9):
    """Swap the images that the signs select, and count differences as large as the observed one."""
    observed = abs(naive_share([*itertools.chain(*b)]) - naive_share([*itertools.chain(*a)]))
    extreme = 0
    for sign in signs:
        first = [row for i, swapped in enumerate(sign) for row in (b if swapped else a)[i]]
        second = [row for i, swapped in enumerate(sign) for row in (a if swapped else b)[i]]
        difference = abs(naive_share(second) - naive_share(first))
        extreme += difference != difference or difference >= observed - tie
    return extreme


@pytest.mark.parametrize("seed", [0, 3])
def test_randomisation_equals_its_naive_twin(seed):
    a, b = run(40, seed), run(40, seed + 9, 0.5)
    clusters = [i // 2 for i in range(40)]
    signs = swaps(20, seed=seed, resamples=200)
    expected = (1 + naive_p(by_image(a.tolist(), clusters), by_image(b.tolist(), clusters), signs)) / 201
    assert randomisation(a, b, clusters, share, seed=seed, resamples=200)["share"] == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(4))
def test_randomisation_approaches_the_exhaustive_test(seed):
    a, b = run(9, seed), run(9, seed + 20, 0.6)
    exhaustive = (
        naive_p(
            by_image(a.tolist(), range(9)),
            by_image(b.tolist(), range(9)),
            itertools.product((0, 1), repeat=9),
        )
        / 2**9
    )
    sampled = randomisation(a, b, range(9), share, resamples=20_000)["share"]
    # Four standard errors of a share of 20,000 rearrangements.
    assert sampled == pytest.approx(exhaustive, abs=4 * math.sqrt(0.25 / 20_000))


def test_an_undefined_rearrangement_counts_as_large():
    # Swapping one of the two images leaves one run without any tries: half of all rearrangements.
    a, b = np.array([[1.0, 1], [0, 0]]), np.array([[0.0, 0], [0, 1]])
    assert randomisation(a, b, [1, 2], share, resamples=1000)["share"] == 1


def test_swaps_are_fair_and_grow_by_appending():
    few, many = (np.array(list(swaps(13, seed=2, resamples=n))) for n in (50, 4000))
    np.testing.assert_array_equal(many[:50], few)
    assert many.shape == (4000, 13)
    assert np.abs(many.mean(axis=0) - 0.5).max() < 4 * math.sqrt(0.25 / 4000)
    # A change here changes every published p-value, so it needs a new name of the method.
    assert few[:2].tolist() == PINNED


PINNED = [
    [0, 0, 0, 1, 0, 1, 1, 0, 0, 1, 1, 0, 0],
    [0, 0, 0, 1, 0, 0, 0, 1, 0, 1, 1, 0, 0],
]


def binomial(n, k):
    return math.comb(n, k) / 2**n


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=40))
def test_mcnemar_is_the_binomial_formula(pairs):
    right_a, right_b = [a for a, _ in pairs], [b for _, b in pairs]
    got = mcnemar(right_a, right_b)
    only_a, only_b = pairs.count((True, False)), pairs.count((False, True))
    n, few = only_a + only_b, min(only_a, only_b)
    tail = sum(binomial(n, k) for k in range(few + 1))
    assert (got.only_a, got.only_b) == (only_a, only_b)
    assert got.exact == pytest.approx(min(1, 2 * tail))
    assert got.mid == pytest.approx(2 * (tail - binomial(n, few)) + binomial(n, few))
    swapped = mcnemar(right_b, right_a)
    assert (swapped.exact, swapped.mid, swapped.only_a) == (got.exact, got.mid, got.only_b)


def test_mcnemar_by_hand():
    # Ten questions differ, two in A's favour: 2 · (1 + 10 + 45) / 1024, less 45 / 1024.
    got = mcnemar([True] * 2 + [False] * 8 + [True] * 5, [False] * 2 + [True] * 8 + [True] * 5)
    assert (got.exact, got.mid) == (pytest.approx(112 / 1024), pytest.approx(67 / 1024))


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_by_hand(p_values):
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    expected = [0.0] * len(p_values)
    largest = 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        expected[i] = largest
    assert holm(p_values) == pytest.approx(expected)
