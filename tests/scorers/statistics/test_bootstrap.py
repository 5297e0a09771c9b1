"""The bootstrap, compared with plain Python loops over the same draws; its exactness, and its coverage."""

import math
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from eidolon.scorers.core.metric import FloatArray, ratio
from eidolon.scorers.statistics.bootstrap import (
    bootstrap,
    cluster_ids,
    cluster_totals,
    column_sums,
    draws,
    method,
    percentiles,
    resample,
)


def share(totals: FloatArray) -> dict[str, FloatArray]:
    return {"share": ratio(totals[..., 0], totals[..., 1])}


def pairs(samples: int, seed: int) -> FloatArray:
    """Hallucinated mentions and mentions of each sample, shape (samples, 2)."""
    generator = np.random.default_rng(seed)
    mentions = generator.integers(0, 6, size=samples)
    return np.stack([generator.binomial(mentions, 0.3), mentions], axis=1).astype(float)


def naive_interval(statistics, clusters, *, seed, resamples):
    """Resample images one by one, sum their rows one by one, sort, interpolate."""
    images = sorted(set(clusters), key=lambda c: (isinstance(c, str), c))
    rows = {
        image: [row for row, c in zip(statistics, clusters, strict=True) if c == image] for image in images
    }
    generator = np.random.Generator(np.random.PCG64(seed))
    values = []
    for _ in range(resamples):
        top = bottom = 0.0
        for position in generator.integers(len(images), size=len(images)):
            for row in rows[images[position]]:
                top += row[0]
                bottom += row[1]
        if bottom:
            values.append(top / bottom)
    values.sort()

    def quantile(q):
        place = q * (len(values) - 1)
        below = math.floor(place)
        above = min(below + 1, len(values) - 1)
        return values[below] + (values[above] - values[below]) * (place - below)

    return quantile(0.025), quantile(0.975), resamples - len(values)


@pytest.mark.parametrize("seed", [0, 7])
def test_equals_its_naive_twin(seed):
    statistics = pairs(60, seed)
    clusters = [i // 3 if i % 2 else f"image {i // 3}" for i in range(60)]
    got = bootstrap(statistics, clusters, share, seed=seed, resamples=300)["share"]
    low, high, undefined = naive_interval(statistics.tolist(), clusters, seed=seed, resamples=300)
    assert got.value == statistics[:, 0].sum() / statistics[:, 1].sum()
    assert (got.low, got.high) == pytest.approx((low, high), rel=1e-14)
    assert got.undefined_resamples == undefined == 0


def test_undefined_resamples_are_left_out_and_counted():
    # One image of four has mentions: a resample misses it with probability (3/4)⁴ = 0.32.
    statistics = np.array([[1.0, 2.0], [0, 0], [0, 0], [0, 0]])
    got = bootstrap(statistics, [1, 2, 3, 4], share, resamples=500)["share"]
    assert got.value == 0.5
    assert 0.2 < got.undefined_resamples / 500 < 0.45
    assert math.isnan(got.low)
    assert math.isnan(got.high)
    # Four of five images have them: 0.2⁵ of the resamples are undefined, and the interval is over the rest.
    statistics = np.array([[1.0, 2.0], [0, 2], [1, 3], [1, 1], [0, 0]])
    got = bootstrap(statistics, [1, 2, 3, 4, 5], share, seed=3, resamples=5000)["share"]
    low, high, undefined = naive_interval(statistics.tolist(), [1, 2, 3, 4, 5], seed=3, resamples=5000)
    assert (got.low, got.high, got.undefined_resamples) == (low, high, undefined)
    assert undefined > 0


@pytest.mark.parametrize("statistics", [np.zeros((0, 2)), np.ones((3, 2))])
def test_fewer_than_two_images_have_no_interval(statistics):
    got = bootstrap(statistics, ["same"] * len(statistics), share)["share"]
    assert math.isnan(got.low)
    assert math.isnan(got.high)
    assert got.undefined_resamples == 0


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("block_bytes", [1, 1000, 2**16, 2**23])
def test_bits_do_not_depend_on_the_block_or_the_order(whole, block_bytes):
    statistics = pairs(200, seed=1) * (1 if whole else 1 / 3)
    clusters = np.random.default_rng(0).integers(50, size=200).tolist()
    expected = resample(cluster_totals(statistics, clusters), share, seed=5, resamples=150)["share"]
    order = np.random.default_rng(2).permutation(200)
    totals = cluster_totals(statistics[order], [clusters[i] for i in order])
    got = resample(totals, share, seed=5, resamples=150, block_bytes=block_bytes)["share"]
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("largest", [1.0, 1e6, 1e12])
def test_large_totals_stay_exact(largest):
    statistics = np.round(pairs(40, seed=2) * largest)
    got = resample(cluster_totals(statistics, range(40)), share, seed=1, resamples=20)["share"]
    integers = statistics.astype(object).astype(int)
    for row, positions in zip(got, draws(40, seed=1, resamples=20), strict=True):
        top, bottom = (sum(int(integers[p, column]) for p in positions) for column in range(2))
        assert row == top / bottom


def test_the_number_of_blas_threads_does_not_show():
    program = (
        "import numpy as np; from eidolon.scorers.statistics.bootstrap import resample, cluster_totals;"
        "s = np.random.default_rng(0).random((400, 64)) * 100;"
        "v = resample(cluster_totals(s, range(400)), lambda t: {'t': t}, resamples=300)['t'];"
        "import hashlib; print(hashlib.sha256(v.tobytes()).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "OPENBLAS_NUM_THREADS": threads, "OMP_NUM_THREADS": threads},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in ("1", "2")
    }
    assert len(digests) == 1


def test_draws_are_pinned_and_grow_by_appending():
    # A change here changes every published interval, so it needs a new name of the method.
    assert [d.tolist() for d in draws(10, seed=0, resamples=2)] == [
        [8, 6, 5, 2, 3, 0, 0, 0, 1, 8],
        [6, 9, 5, 6, 9, 7, 6, 5, 5, 9],
    ]
    few, many = (np.array(list(draws(7, seed=4, resamples=n))) for n in (3, 9))
    np.testing.assert_array_equal(many[:3], few)


def test_clusters_are_ordered_by_id_and_resampled_whole():
    assert cluster_ids(["b", 10, "a", 2, 2]) == [2, 10, "a", "b"]
    totals = cluster_totals(np.array([[1.0], [2], [4], [8]]), [3, 1, 3, 2])
    assert totals.tolist() == [[2], [8], [5]]
    # Copies of a response to the same image add no information, so the interval must not narrow.
    statistics, images = pairs(30, seed=0), list(range(30))
    once = bootstrap(statistics, images, share)["share"]
    thrice = bootstrap(np.tile(statistics, (3, 1)), images * 3, share)["share"]
    assert (thrice.low, thrice.high) == (once.low, once.high)


@given(
    arrays(
        float,
        st.tuples(st.integers(2, 40), st.just(3)),
        elements=st.one_of(st.just(math.nan), st.integers(0, 5).map(float)),
    )
)
def test_percentiles_equal_numpys_without_nan(values):
    low, high = percentiles(values, level=0.9)
    for column in range(3):
        defined = values[~np.isnan(values[:, column]), column]
        if len(defined):
            np.testing.assert_allclose(
                [low[column], high[column]], np.quantile(defined, [0.05, 0.95]), rtol=1e-12, atol=1e-12
            )
        else:
            assert math.isnan(low[column])
            assert math.isnan(high[column])


@given(st.lists(st.floats(0, 1), max_size=30), st.randoms(use_true_random=False))
def test_sums_do_not_depend_on_the_order(values, random):
    shuffled = random.sample(values, len(values))
    sums = [column_sums(np.array(v, dtype=float).reshape(-1, 1)) for v in (values, shuffled)]
    assert sums[0] == sums[1] == math.fsum(values)


def test_covers_the_truth_about_as_often_as_it_says():
    # 300 experiments of 80 images; a ratio of Poisson counts whose true value is 0.3. The 95 % interval of a
    # pooled ratio at this size covers in 92 to 96 %; binomial error over 300 experiments is 1.3 points.
    generator = np.random.default_rng(0)
    covered = 0
    for experiment in range(300):
        mentions = generator.poisson(4, size=80)
        statistics = np.stack([generator.binomial(mentions, 0.3), mentions], axis=1).astype(float)
        got = bootstrap(statistics, range(80), share, seed=experiment, resamples=400)["share"]
        covered += bool(got.low <= 0.3 <= got.high)
    assert 0.90 <= covered / 300 <= 0.98


def test_correlated_responses_widen_the_interval():
    # Five responses to an image that are all right or all wrong are one observation, not five.
    right = np.repeat(np.random.default_rng(0).integers(0, 2, size=60), 5).astype(float)
    statistics = np.stack([right, np.ones(300)], axis=1)
    by_image, by_response = (
        resample(cluster_totals(statistics, clusters), share)["share"]
        for clusters in ([i // 5 for i in range(300)], range(300))
    )
    assert by_image.std() / by_response.std() == pytest.approx(math.sqrt(5), rel=0.1)


def test_refuses_nan_and_unequal_lengths():
    with pytest.raises(ValueError, match="finite"):
        cluster_totals(np.array([[math.nan]]), [1])
    with pytest.raises(ValueError, match="1 rows of statistics for 2 cluster ids"):
        cluster_totals(np.zeros((1, 1)), [1, 2])


def test_names_its_method():
    assert method(seed=3, resamples=2000) == "percentile bootstrap over images, B=2000, seed=3"
