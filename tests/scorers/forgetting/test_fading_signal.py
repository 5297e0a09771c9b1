"""The fading rate from two forms without the picture, against a regression of statsmodels and known answers."""

import math
from dataclasses import replace

import numpy as np
import pytest
import statsmodels.api as sm

from eidolon.scorers.forgetting.dependency import WITH_FLOOR, pdm_table
from eidolon.scorers.forgetting.fading import TokenSeries
from eidolon.scorers.forgetting.fading_signal import NOT_ABOVE, ONE_FORM, fit_signal
from eidolon.scorers.forgetting.token_kinds import KINDS


def made(rate: float, n: int, *, noise: float = 0.0, floor: float = 0.0, level: float = 1.0, seed: int = 0):  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(seed)
    found = []
    for image in range(n):
        length = int(rng.integers(20, 90))
        kinds = tuple(KINDS[i] for i in rng.choice(4, size=length))
        size = level * np.exp(
            rng.normal() - 2 * rate * np.arange(length) + noise * rng.standard_normal(length)
        )
        signal = size + floor * rng.standard_normal(length)
        signal[rng.random(length) < 0.1] = math.nan
        zero = np.zeros(length)
        found.append(TokenSeries(image, zero, zero, kinds, (None,) * length, zero, signal))
    return found


@pytest.mark.parametrize("by_kind", [False, True])
def test_it_equals_a_poisson_regression_with_a_level_for_each_group(by_kind: bool) -> None:
    series = made(0.013, 6, noise=0.7)
    groups, t, y = [], [], []
    for one in series:
        for at, (kind, x) in enumerate(zip(one.kinds, one.signal, strict=True)):
            if not math.isnan(x):
                groups.append((one.image_id, kind if by_kind else ""))
                t.append(at)
                y.append(x)
    names = sorted(set(groups))
    dummies = np.array([[float(group == name) for name in names] for group in groups])
    fitted = sm.GLM(np.array(y), np.column_stack([t, dummies]), family=sm.families.Poisson()).fit(tol=1e-12)
    found = fit_signal(series, "", by_kind=by_kind, resamples=20)
    assert found.rate == pytest.approx(-fitted.params[0] / 2, rel=1e-4)
    assert found.tokens == len(y) - (sum(groups.count(name) == 1 for name in names))
    assert found.certain == sum(int(np.isnan(one.signal).sum()) for one in series)


@pytest.mark.parametrize("rate", [0.02, 0.0, -0.01])
def test_an_exact_rate_is_found(rate: float) -> None:
    found = fit_signal(made(rate, 20), "", resamples=100)
    assert found.rate == pytest.approx(rate, abs=1e-6)
    assert found.rate_ci == pytest.approx((rate, rate), abs=1e-3)


def test_intervals_cover_with_noise_that_exceeds_the_signal() -> None:
    rate = 0.01
    fits = [fit_signal(made(rate, 60, noise=0.5, floor=1.0, seed=s), "", resamples=150) for s in range(40)]
    covered = sum(fit.rate_ci is not None and fit.rate_ci[0] <= rate <= fit.rate_ci[1] for fit in fits)
    assert covered >= 34


def test_nothing_fades_where_nothing_depends() -> None:
    noise_only = fit_signal(made(0.02, 30, level=1e-3, floor=1.0), "", resamples=200)
    assert (noise_only.rate, noise_only.reason) == (None, NOT_ABOVE)
    rounding = fit_signal(made(0.02, 30, level=1e-12), "", resamples=200)
    assert rounding.rate is None
    assert rounding.reason == "most tokens are the same with the picture and without"
    one_form = [TokenSeries(0, np.zeros(3), np.zeros(3), ("rest",) * 3, (None,) * 3)]
    assert fit_signal(one_form, "").reason == ONE_FORM
    assert fit_signal([], "").reason == "no response has two such tokens"


def test_the_main_fit_of_a_run_has_no_floor_in_it() -> None:
    """Noise of one form is in the size of the difference to it, and not in the product of two forms."""
    rate, noise = 0.02, 0.5
    series = []
    for one in made(rate, 40, floor=0.05):
        fading = np.exp(-2 * rate * np.arange(len(one.kinds)))
        series.append(replace(one, difference=np.sqrt(fading + noise**2)))
    table = pdm_table(series, without="shuffled", beside="neutral", resamples=100)
    low, high = table.fade.rate_ci or (0, 0)
    assert low < rate < high
    assert table.fade.rate == pytest.approx(rate, abs=0.002)
    assert table.sensitivity[-1].label == WITH_FLOOR
    assert 0 < (table.sensitivity[-1].rate or 0) < 0.012
    one_form = [replace(one, signal=None, beside=None) for one in series]
    alone = pdm_table(one_form, without="neutral", resamples=0)
    assert alone.fade.rate == pytest.approx(table.sensitivity[-1].rate)
    assert WITH_FLOOR not in {fade.label for fade in alone.sensitivity}
