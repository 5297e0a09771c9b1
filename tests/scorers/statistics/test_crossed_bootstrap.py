"""The bootstrap over seeds and images, compared with loops, and with the plain bootstrap for one seed."""

import zlib
from math import isnan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta, t
from scipy.stats import norm as normal

from eidolon.scorers.core.metric import FloatArray, Share, ratio
from eidolon.scorers.statistics.bootstrap import bootstrap, draws
from eidolon.scorers.statistics.crossed_bootstrap import Crossed, combine_fits, pooled
from eidolon.scorers.statistics.seeds import paired_difference, welch_difference
from eidolon.scorers.statistics.small_samples import LEAST_CORRELATION, METHOD


def share(totals: FloatArray) -> dict[str, FloatArray]:
    return {"share": ratio(totals[..., 1], totals[..., 0])}


def shares(totals: FloatArray) -> dict[str, Share]:
    return {"share": Share(totals[..., 1], totals[..., 0])}


def counts(seeds: int, images: int, seed: int) -> FloatArray:
    rng = np.random.default_rng(seed)
    asked = rng.integers(0, 4, size=(seeds, images))
    return np.stack([asked, rng.binomial(asked, 0.7)], axis=-1).astype(float)


@pytest.mark.parametrize("seeds", [1, 2, 3])
def test_totals_are_those_of_loops(seeds: int) -> None:
    statistics = counts(seeds, 7, 3)
    resamples = 40
    generator = np.random.Generator(np.random.PCG64([5, zlib.crc32(b"bm")]))
    chosen = generator.integers(seeds, size=(resamples, seeds)).tolist()
    expected = []
    for pictures, models in zip(draws(7, seed=5, resamples=resamples), chosen, strict=True):
        total = [0.0, 0.0]
        for model in models if seeds > 1 else [0]:
            for picture in pictures:
                for column in range(2):
                    total[column] += statistics[model, picture, column]
        expected.append(total)
    assert Crossed(7, seed=5, resamples=resamples).totals(statistics, "bm").tolist() == expected


def test_with_one_seed_it_is_the_plain_bootstrap() -> None:
    statistics = counts(1, 30, 8)
    plain = bootstrap(statistics[0], list(range(30)), share, seed=2, resamples=500)["share"]
    found = Crossed(30, seed=2, resamples=500).estimate(statistics, "any", share)["share"]
    assert (found.value, found.low, found.high) == (plain.value, plain.low, plain.high)


def test_seeds_that_differ_widen_the_interval() -> None:
    """Three models of different skill, each consistent. Resampled images alone say nothing about the next model."""
    statistics = np.ones((3, 40, 2))
    statistics[1, :, 1] = 0.5
    statistics[2, :, 1] = 0
    found = Crossed(40, resamples=500).estimate(statistics, "a", share)["share"]
    assert float(found.value) == 0.5
    assert float(found.low) < 0.2
    assert float(found.high) > 0.8
    # Images alone give no width: all images of a model are alike.
    alone = Crossed(40, resamples=500).estimate(statistics[1:2], "a", share)["share"]
    assert (float(alone.low), float(alone.high)) == (0.5, 0.5)


def test_with_images_that_are_all_alike_it_is_students_interval() -> None:
    """The share of each model is the same in every image, so that only seeds differ."""
    skills = np.array([0.9, 0.4, 0.5, 0.55, 0.7])
    statistics = np.ones((5, 8, 2))
    statistics[..., 1] = skills[:, None]
    found = Crossed(8, resamples=200).estimate(statistics, "a", share)["share"]
    reach = t.ppf(0.975, 4) * skills.std(ddof=1) / 5**0.5
    assert float(found.low) == pytest.approx(skills.mean() - reach)
    assert float(found.high) == pytest.approx(skills.mean() + reach)


def test_the_error_over_seeds_is_that_of_a_loop_and_both_levels_add_in_squares() -> None:
    statistics = counts(4, 25, 6)
    crossed = Crossed(25, seed=3, resamples=200)
    found = crossed.estimate(statistics, "a", share)["share"]
    total = statistics.sum(axis=(0, 1))
    left_out = []
    for seed in range(4):
        rest = total - statistics[seed].sum(axis=0)
        left_out.append(rest[1] / rest[0])
    error = (3 / 4 * sum((one - sum(left_out) / 4) ** 2 for one in left_out)) ** 0.5
    drawn = []
    for pictures in draws(25, seed=3, resamples=200):
        asked, right = statistics.sum(axis=0)[pictures].sum(axis=0)
        drawn.append(right / asked)
    value = total[1] / total[0]
    for bound, percent in ((found.low, 2.5), (found.high, 97.5)):
        expected = ((value - np.percentile(drawn, percent)) ** 2 + (t.ppf(0.975, 3) * error) ** 2) ** 0.5
        assert abs(float(bound) - value) == pytest.approx(expected)


def test_a_difference_pairs_the_same_models_and_takes_others_as_independent() -> None:
    """Images are alike, so that the intervals are those of `seeds`: paired, and Welch's."""
    skills = np.array([[0.9, 0.4, 0.5, 0.55, 0.7], [0.8, 0.35, 0.4, 0.6, 0.65]])
    first, second = np.ones((2, 5, 6, 2))
    first[..., 1], second[..., 1] = skills[:, :, None]
    crossed = Crossed(6, resamples=100)
    paired = crossed.difference(("a", first), ("a", second), share)["share"]
    expected = paired_difference((skills[0] - skills[1]).tolist())
    assert expected is not None
    assert [float(paired.low), float(paired.high)] == pytest.approx([expected.low, expected.high])
    apart = crossed.difference(("a", first), ("b", second), share)["share"]
    welch = welch_difference(*skills.tolist())
    assert welch is not None
    assert [float(apart.low), float(apart.high)] == pytest.approx([welch.low, welch.high])


def test_what_images_do_cancels_out_of_a_difference() -> None:
    statistics = counts(2, 20, 4)
    crossed = Crossed(20, resamples=300)
    same = crossed.difference(("a", statistics), ("a", statistics), share)["share"]
    assert (float(same.value), float(same.low), float(same.high)) == (0, 0, 0)
    # Other models have other seeds, so that some width is left.
    other = crossed.difference(("a", statistics), ("b", statistics), share)["share"]
    assert float(other.low) < 0 < float(other.high)


def test_a_single_model_adds_nothing_to_the_error_of_a_difference_but_its_images() -> None:
    statistics = counts(1, 30, 2)
    crossed = Crossed(30, resamples=300)
    found = crossed.difference(("a", statistics), ("b", counts(1, 30, 5)), share)["share"]
    plain = [share(crossed.totals(one, "any"))["share"] for one in (statistics, counts(1, 30, 5))]
    low, high = np.percentile(plain[0] - plain[1], [2.5, 97.5])
    assert [float(found.low), float(found.high)] == pytest.approx([low, high])


def test_a_quantity_that_hangs_on_one_seed_has_no_interval() -> None:
    statistics = np.zeros((3, 10, 2))
    statistics[1] = 1  # the others were asked nothing
    found = Crossed(10, resamples=100).estimate(statistics, "a", share)["share"]
    assert float(found.value) == 1
    assert isnan(float(found.low))


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_the_interval_holds_the_truth(seeds: int) -> None:
    """Models of different skill on images that differ too. Percentiles over both levels hold it much less often."""
    generator = np.random.default_rng(seeds)
    images, runs = 60, 400
    held = by_percentiles = 0
    for _ in range(runs):
        means = 0.2 * generator.standard_normal((seeds, 1)) + 0.2 * generator.standard_normal((1, images))
        statistics = np.stack([np.ones((seeds, images)), means], axis=-1)
        crossed = Crossed(images, resamples=200)
        found = crossed.estimate(statistics, "a", share)["share"]
        held += bool(found.low <= 0 <= found.high)
        low, high = np.percentile(share(crossed.totals(statistics, "a"))["share"], [2.5, 97.5])
        by_percentiles += bool(low <= 0 <= high)
    assert held / runs >= 0.93
    assert by_percentiles / runs < 0.9


def test_what_no_image_was_asked_about_has_no_value() -> None:
    found = Crossed(5, resamples=50).estimate(np.zeros((2, 5, 2)), "a", share)["share"]
    assert isnan(float(found.value))
    assert isnan(float(found.low))


def test_pooled_sums_over_both() -> None:
    statistics = counts(3, 4, 1)
    assert pooled(statistics).tolist() == [
        sum(float(statistics[s, i, c]) for s in range(3) for i in range(4)) for c in range(2)
    ]


@settings(max_examples=50)
@given(st.lists(st.tuples(st.floats(-3, 3), st.floats(0.01, 2)), min_size=1, max_size=5))
def test_combined_fits(fits: list[tuple[float, float]]) -> None:
    value, error, low, high = combine_fits({str(i): fit for i, fit in enumerate(fits)})
    mean = sum(fit[0] for fit in fits) / len(fits)
    within = sum(fit[1] ** 2 for fit in fits) / len(fits)
    between = sum((fit[0] - mean) ** 2 for fit in fits) / max(1, len(fits) - 1) / len(fits)
    assert value == pytest.approx(mean, abs=1e-12)
    assert error == pytest.approx((within + between) ** 0.5)
    # The combined error is never smaller than that of the least precise fit.
    assert error >= min(fit[1] for fit in fits) - 1e-12
    # Its interval is that of the normal distribution, or wider.
    assert (low + high) / 2 == pytest.approx(value, abs=1e-9)
    assert high - low >= 2 * 1.959963 * error


@pytest.mark.parametrize(
    ("seeds", "spread", "error"), [(2, 1, 0.3), (3, 1, 0.1), (5, 1, 0.1), (5, 0.46, 0.24)]
)
def test_the_interval_of_combined_fits_holds_the_truth(seeds: int, spread: float, error: float) -> None:
    """Seeds differ by `spread`, and share the error of their images. The normal interval holds it in 82 to 94 %."""
    random = np.random.default_rng(seeds)
    held = []
    for _ in range(2000):
        values = spread * random.standard_normal(seeds) + error * random.standard_normal()
        found = combine_fits({str(i): (float(value), error) for i, value in enumerate(values)})
        held.append(found.low <= 0 <= found.high)
    assert 0.94 < np.mean(held) < 0.99


def few(events: FloatArray, trials: FloatArray, resamples: int = 300) -> tuple[float, float, str | None]:
    """The interval of events and trials, (seeds, images)."""
    crossed = Crossed(events.shape[1], resamples=resamples)
    found = crossed.estimate(np.stack([trials, events], axis=-1), "a", share, shares=shares)["share"]
    return float(found.low), float(found.high), found.estimate().method


@pytest.mark.parametrize("seeds", [1, 3, 5])
def test_without_an_event_the_interval_is_exact(seeds: int) -> None:
    """The formulas of `small_samples` in plain numbers. Images are the clusters."""
    trials = np.full((seeds, 40), 2.0)
    low, high, method = few(np.zeros((seeds, 40)), trials)
    n = trials.sum()
    effect = 1 + LEAST_CORRELATION * (n / 40 - 1)
    effective = n / effect * (normal.ppf(0.975) / t.ppf(0.975, 39)) ** 2
    assert low == 0
    assert high == pytest.approx(beta.ppf(0.975, 1, effective))
    assert method == METHOD
    low, high, method = few(trials, trials)
    assert low == pytest.approx(beta.ppf(0.025, effective, 1))
    assert high == 1


def test_images_without_a_row_are_no_clusters() -> None:
    events, trials = np.zeros((2, 30)), np.full((2, 30), 3.0)
    padded = np.concatenate([trials, np.zeros((2, 60))], axis=1)
    assert few(np.zeros((2, 90)), padded)[1] == pytest.approx(few(events, trials)[1])
    nowhere = np.zeros((2, 30))
    nowhere[:, 0] = 3
    assert isnan(few(events, nowhere)[1])  # one image: no interval


def test_from_five_events_on_it_is_not_exact() -> None:
    statistics = counts(3, 20, 9)
    crossed = Crossed(20, resamples=300)
    one, other = (crossed.estimate(statistics, "a", share, shares=s)["share"] for s in (None, shares))
    assert (one.low, one.high) == (other.low, other.high)
    assert other.estimate().method is None


def test_events_of_one_model_tell_less_than_those_of_three() -> None:
    """The variance between seeds is in the design effect, with S/(S-1) for the few seeds."""
    trials = np.full((3, 40), 2.0)
    together, apart = np.zeros((2, 3, 40))
    together[0, :3] = 1
    apart[[0, 1, 2], [0, 1, 2]] = 1
    one, other = few(together, trials), few(apart, trials)
    assert one[0] < other[0]
    assert one[1] > other[1]
    crossed = Crossed(40, resamples=300)
    drawn = share(crossed.totals(np.stack([trials, together], axis=-1), "a"))["share"]
    effect = float(drawn.var()) * 3 / 2 / (3 / 240 * (1 - 3 / 240) / 240)
    effective = 240 / effect * (normal.ppf(0.975) / t.ppf(0.975, 39)) ** 2
    hits = 3 / 240 * effective
    assert one[:2] == pytest.approx(
        (beta.ppf(0.025, hits, effective - hits + 1), beta.ppf(0.975, hits + 1, effective - hits))
    )


def test_coverage_of_rare_events_in_a_few_models() -> None:
    """Models whose true rates differ much (sd 1 of the logarithm) around 1 %, on images that differ too."""
    generator = np.random.default_rng(3)
    seeds, images, rate, runs = 3, 40, 0.01, 150
    held = by_percentiles = 0
    for _ in range(runs):
        skill = np.exp(generator.standard_normal((seeds, 1)) - 0.5)
        hard = generator.gamma(2, 0.5, (1, images))
        events = generator.binomial(2, np.minimum(rate * skill * hard, 1)).astype(float)
        trials = np.full((seeds, images), 2.0)
        low, high, _ = few(events, trials, 200)
        held += low <= rate <= high
        drawn = Crossed(images, resamples=200).totals(np.stack([trials, events], -1), "a")
        low, high = np.percentile(share(drawn)["share"], [2.5, 97.5])
        by_percentiles += bool(low <= rate <= high)
    assert held / runs >= 0.95
    assert by_percentiles / runs < 0.9
