"""Intervals of shares with few events: against the closed form, at the edges, and in simulated worlds."""

import math
import sys

import numpy as np
import pytest
from scipy.stats import beta, t
from scipy.stats import norm as normal

from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.core.metric import Bounded, FloatArray, Share, ratio
from eidolon.scorers.statistics.bootstrap import BootstrapResult, bootstrap, draws, percentiles
from eidolon.scorers.statistics.joint_bootstrap import joint_bootstrap, number_clusters, pack, unpack
from eidolon.scorers.statistics.small_samples import (
    FEW,
    LEAST_CORRELATION,
    METHOD,
    NO_CHANGE,
    design_effect,
    unchanged,
)


def compute(totals: FloatArray) -> dict[str, FloatArray]:
    return {"rate": ratio(totals[..., 0], totals[..., 1])}


def shares(totals: FloatArray) -> dict[str, Share]:
    return {"rate": Share(totals[..., 0], totals[..., 1])}


def interval(
    events: list[int], trials: list[int], clusters: list[int] | None = None, resamples: int = 200
) -> BootstrapResult:
    table = np.array([events, trials], dtype=float).T
    images = range(len(events)) if clusters is None else clusters
    return bootstrap(table, images, compute, shares=shares, resamples=resamples)["rate"]


def naive(events: list[int], trials: list[int], resamples: int = 200) -> tuple[float, float]:
    """The interval of the formulas in the module's text, in plain loops."""
    c, x, n = len(events), sum(events), sum(trials)
    share = x / n
    drawn = [
        sum(events[i] for i in row) / sum(trials[i] for i in row)
        for row in (row.tolist() for row in draws(c, seed=0, resamples=resamples))
    ]
    mean = sum(drawn) / resamples
    variance = sum((one - mean) ** 2 for one in drawn) / resamples * c / (c - 1)
    effect = 1 + LEAST_CORRELATION * max(n / c - 1, 0)
    if 0 < share < 1:
        effect = max(effect, variance / (share * (1 - share) / n))
    effective = n / min(effect, n) * (normal.ppf(0.975) / t.ppf(0.975, c - 1)) ** 2
    hits, misses = share * effective, (1 - share) * effective
    low = beta.ppf(0.025, hits, misses + 1) if x else 0.0
    high = beta.ppf(0.975, hits + 1, misses) if x < n else 1.0
    return float(low), float(high)


@pytest.mark.parametrize(
    ("events", "trials"),
    [
        ([0, 0, 0, 0], [5, 3, 8, 4]),
        ([1, 0, 0, 0, 2, 0], [5, 3, 8, 4, 6, 7]),
        ([4, 0, 0, 0, 0, 0], [5, 3, 8, 4, 6, 7]),
        ([5, 3, 8, 4], [5, 3, 8, 4]),
        ([5, 3, 7, 4], [5, 3, 8, 4]),
    ],
)
def test_few_events_equal_the_closed_form(events: list[int], trials: list[int]) -> None:
    found = interval(events, trials)
    low, high = naive(events, trials)
    assert float(found.low) == pytest.approx(low, abs=1e-9)
    assert float(found.high) == pytest.approx(high, abs=1e-9)
    assert found.estimate().method == METHOD


def test_an_interval_never_has_no_width() -> None:
    nothing, everything = interval([0] * 10, [6] * 10), interval([6] * 10, [6] * 10)
    assert nothing.low == 0
    assert 0.05 < nothing.high < 0.2
    assert everything.high == 1
    assert 0.8 < everything.low < 0.95
    assert float(everything.low) == pytest.approx(1 - float(nothing.high))


def mean_interval(values: list[float], resamples: int = 400) -> BootstrapResult:
    table = np.array([values, [1.0] * len(values)]).T
    bounded = {"rate": Bounded()}
    return bootstrap(table, range(len(values)), compute, shares=lambda _: bounded, resamples=resamples)[
        "rate"
    ]


def naive_mean(values: list[float], resamples: int = 400) -> tuple[float, float]:
    """The interval of a mean whose clusters are the trials, in plain loops."""
    c, mean = len(values), sum(values) / len(values)
    drawn = [
        sum(values[i] for i in row) / c
        for row in (row.tolist() for row in draws(c, seed=0, resamples=resamples))
    ]
    centre = sum(drawn) / resamples
    variance = sum((one - centre) ** 2 for one in drawn) / resamples * c / (c - 1)
    effect = max(1.0, variance / (mean * (1 - mean) / c)) if 0 < mean < 1 else 1.0
    effective = c / min(effect, c) * (normal.ppf(0.975) / t.ppf(0.975, c - 1)) ** 2
    hits, misses = mean * effective, (1 - mean) * effective
    low = beta.ppf(0.025, hits, misses + 1) if mean > 0 else 0.0
    high = beta.ppf(0.975, hits + 1, misses) if mean < 1 else 1.0
    return float(low), float(high)


@pytest.mark.parametrize(
    "values", [[0.0, 0.0], [0.0] * 12, [1.0] * 12, [0.4, 0.6, 0.5], [0.0] * 9 + [0.7], [1.0] * 9 + [0.2]]
)
def test_a_mean_with_few_clusters_off_its_bound_equals_the_closed_form(values: list[float]) -> None:
    found = mean_interval(values)
    low, high = naive_mean(values)
    assert float(found.low) == pytest.approx(low, abs=1e-9)
    assert float(found.high) == pytest.approx(high, abs=1e-9)
    assert high - low > 0.2
    assert found.estimate().method == METHOD


def test_a_mean_off_its_bounds_keeps_the_bootstrap() -> None:
    found = mean_interval([0.2, 0.4, 0.9, 0.5, 0.3, 0.6, 0.8])
    assert found.estimate().method is None


@pytest.mark.parametrize("images", [5, 20])
def test_a_mean_that_is_rarely_above_0_is_held(images: int) -> None:
    rng = np.random.default_rng(images)
    truth, held, held_by_percentiles = 0.05, 0, 0
    for _ in range(150):
        values = (0.5 * (rng.random(images) < 2 * truth)).tolist()
        found = mean_interval(values, 200)
        held += float(found.low) <= truth <= float(found.high)
        drawn = np.array([np.mean([values[i] for i in row]) for row in draws(images, seed=0, resamples=200)])
        low, high = percentiles(drawn)
        held_by_percentiles += float(low) <= truth <= float(high)
    assert held / 150 > 0.93
    assert held_by_percentiles / 150 < 0.9


def test_many_events_keep_the_bootstrap_and_import_no_scipy(monkeypatch: pytest.MonkeyPatch) -> None:
    events, trials = [2, 3, 1, 2, 4, 0], [5, 3, 8, 4, 6, 7]
    before = interval(events, trials)
    monkeypatch.setitem(sys.modules, "scipy.special", None)  # an import of it fails
    after = interval(events, trials)
    assert (after.low, after.high) == (before.low, before.high)
    assert after.estimate().method is None
    with pytest.raises(ImportError):
        interval([1, 0, 0, 0, 0, 0], trials)


def test_one_image_has_no_interval() -> None:
    found = interval([0, 1], [5, 5], clusters=[7, 7])
    assert math.isnan(found.low)
    assert found.estimate().ci is None
    assert found.estimate().method is None


def test_without_a_trial_there_is_no_share() -> None:
    found = interval([0, 0], [0, 0])
    assert found.estimate().value is None
    assert found.estimate().ci is None


def test_from_five_events_on_the_interval_is_the_bootstrap() -> None:
    trials = [6] * 10
    for hits, exact in ((FEW - 1, True), (FEW, False), (60 - FEW, False), (60 - FEW + 1, True)):
        events = [hits // 10 + (i < hits % 10) for i in range(10)]
        table = np.array([events, trials], dtype=float).T
        plain = bootstrap(table, range(10), compute, resamples=200)["rate"]
        found = interval(events, trials)
        assert (found.estimate().method == METHOD) is exact
        assert ((found.low, found.high) == (plain.low, plain.high)) is not exact
        assert plain.estimate().method is None


def test_clusters_widen_the_interval() -> None:
    """Four events of one image tell less than four events of four images."""
    trials = [6] * 20
    together, apart = interval([4] + [0] * 19, trials), interval([1] * 4 + [0] * 16, trials)
    assert together.high > apart.high
    assert together.low < apart.low


def test_a_design_effect_is_at_least_that_of_a_small_correlation() -> None:
    share, trials = np.array(0.0), np.array(60.0)
    assert design_effect(share, trials, np.zeros(50), clusters=10) == 1 + LEAST_CORRELATION * 5
    assert design_effect(share, np.array(10.0), np.zeros(50), clusters=10) == 1


def test_the_joint_bootstrap_gives_the_same_intervals() -> None:
    table = np.array([[0, 4], [1, 5], [0, 6], [1, 2], [0, 3]], dtype=float)
    rows, count = number_clusters(np.arange(5, dtype=np.int32), list(range(5)))
    (joint,) = joint_bootstrap([(unpack([pack(table)], 2), compute, shares)], rows, count, resamples=200)
    alone = interval([0, 1, 0, 1, 0], [4, 5, 6, 2, 3])
    assert joint["rate"].estimate() == alone.estimate()


@pytest.mark.parametrize("share", [0.02, 0.98])
@pytest.mark.parametrize(("images", "percentile"), [(10, 0.80), (50, 0.95)])
@pytest.mark.parametrize("correlation", [0.0, 0.2])
def test_coverage_with_few_images(share: float, images: int, percentile: float, correlation: float) -> None:
    """95 % intervals hold a true share of 2 % in at least nine of ten simulated runs; percentiles do not."""
    generator = np.random.default_rng(11)
    runs, held, held_by_percentiles = 300, 0, 0
    for _ in range(runs):
        trials = 1 + generator.poisson(5, images)
        size = (1 - correlation) / correlation if correlation else 0
        rate = generator.beta(share * size, (1 - share) * size, images) if correlation else share
        events = generator.binomial(trials, rate)
        table = np.stack([events, trials], axis=1).astype(float)
        found = bootstrap(table, range(images), compute, shares=shares, resamples=200)["rate"]
        plain = bootstrap(table, range(images), compute, resamples=200)["rate"]
        held += bool(found.low <= share <= found.high)
        held_by_percentiles += bool(plain.low <= share <= plain.high)
    assert held / runs >= 0.90
    assert held_by_percentiles / runs < percentile
    assert held > held_by_percentiles


def test_percentiles_alone_cannot_see_past_the_data() -> None:
    low, high = percentiles(np.zeros(20))
    assert (low, high) == (0, 0)


def per_100(wrong: list[int], named: list[int], words: list[int]) -> BootstrapResult:
    return bootstrap(
        np.array([wrong, named, words], dtype=float).T,
        range(len(wrong)),
        lambda totals: {"rate": 100 * ratio(totals[..., 0], totals[..., 2])},
        shares=lambda totals: {"rate": Share.per_100_words(*np.moveaxis(totals, -1, 0))},
        resamples=200,
    )["rate"]


def test_a_rate_per_100_words_is_a_share_of_the_mentions() -> None:
    named, words = [5, 3, 8, 4], [50, 40, 80, 30]
    found = per_100([0, 0, 0, 0], named, words)
    share = interval([0, 0, 0, 0], named)
    assert found.low == 0
    assert float(found.high) == pytest.approx(100 * float(share.high) * sum(named) / sum(words))
    assert found.estimate().method == METHOD


def test_a_rate_per_100_words_where_nothing_is_named_is_a_share_of_the_words() -> None:
    words = [50, 40, 80, 30]
    found = per_100([0, 0, 0, 0], [0, 0, 0, 0], words)
    assert found.low == 0
    assert float(found.high) == pytest.approx(100 * float(interval([0, 0, 0, 0], words).high))
    assert np.isnan(per_100([0, 0], [0, 0], [0, 0]).value)


def test_a_difference_without_an_image_that_differs_has_an_interval() -> None:
    found = unchanged(Estimate(value=0.0, ci=(0.0, 0.0)), images=120, largest=2)
    assert found.ci is not None
    low, high = found.ci
    assert (1 - high / 2) ** 120 == pytest.approx(0.025)
    assert low == -high
    assert found.method == NO_CHANGE
    some = Estimate(value=0.1, ci=(-0.1, 0.2))
    assert unchanged(some, images=120) is some
    nothing = Estimate.undefined("no images")
    assert unchanged(nothing, images=1) is nothing
