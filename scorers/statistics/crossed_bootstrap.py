"""Intervals over two crossed levels: the seeds that models were trained with, and the images they saw.

Images are resampled: a percentile bootstrap, in which all groups of models have the same draw of images, so that what
makes an image hard cancels out of a difference between groups. Seeds are too few for that: a percentile bootstrap over
five of them holds the truth in 84 % of cases. Their error is that of the jackknife over seeds, with Student's t on S-1
degrees of freedom. An interval reaches from the value as far as the root of the two squared distances. With one seed
it is that of the images alone.

A share with few events has the exact interval of `small_samples`: cluster-adjusted Clopper-Pearson (Korn & Graubard
1998). The clusters are the images. The design effect is from the variance over resamples of both levels, in which every
drawn model counts with every drawn image, corrected by S/(S-1).
"""

import zlib
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from eidolon.scorers.core.metric import FloatArray, Share
from eidolon.scorers.core.resampling import RESAMPLES
from eidolon.scorers.statistics.bootstrap import (
    LEVEL,
    BootstrapResult,
    Compute,
    Shares,
    column_sums,
    draws,
    estimate,
    estimates,
)


class Crossed:
    """The draws of one analysis.

    Statistics have shape (seeds, images, k) and are additive over seeds and images. An image that a model was not
    asked about is a row of zeros.
    """

    def __init__(self, images: int, *, seed: int = 0, resamples: int = RESAMPLES) -> None:
        self._images, self._seed, self._resamples = images, seed, resamples
        self._counts = np.zeros((resamples, images))
        for row, drawn in enumerate(draws(images, seed=seed, resamples=resamples)) if images else ():
            self._counts[row] = np.bincount(drawn, minlength=images)

    def totals(self, statistics: FloatArray, group: str) -> FloatArray:
        """Return the summed statistics of each resample, (resamples, k). Groups with the same name draw the same
        seeds."""
        seeds = len(statistics)
        if seeds == 1:
            return np.asarray(self._counts @ statistics[0])
        weights = self._seed_weights(group, seeds)
        return np.asarray(sum(weights[:, i, None] * (self._counts @ one) for i, one in enumerate(statistics)))

    def estimate(
        self, statistics: FloatArray, group: str, compute: Compute, *, shares: Shares | None = None
    ) -> dict[str, BootstrapResult]:
        """Return each quantity of the pooled statistics with its interval. `shares` maps the pooled statistics to
        those quantities that are shares."""
        sums = pooled(statistics)
        values = compute(sums)
        bounds = shares(sums) if shares else {}
        drawn = compute(self.totals(statistics, group)) if self._images > 1 and self._resamples else {}
        images = max(2, int(np.count_nonzero((statistics != 0).any(axis=(0, 2)))))
        seeds = len(statistics)
        units = images if seeds == 1 else min(seeds, images)
        found = estimates(values, drawn, bounds, clusters=images, units=units)
        if seeds == 1 or not drawn:
            return found
        over_images = self._over_images(statistics, compute)
        between = seed_errors(statistics, compute)
        for name, both in found.items():
            reach = student(seeds - 1) * between[name]
            wide = widened(estimate(values[name], over_images[name]), reach)
            if name in bounds:
                bound = bounds[name]
                wide = _within(wide, bound.unit if isinstance(bound, Share) else 1.0)
            # No interval where resamples of both levels are often undefined.
            kept = np.isnan(both.low) | (False if both.exact is None else both.exact)
            found[name] = _where(kept, both, wide)
        return found

    def difference(
        self, a: tuple[str, FloatArray], b: tuple[str, FloatArray], compute: Compute
    ) -> dict[str, BootstrapResult]:
        """Return each quantity of group a minus that of group b, with its interval.

        A group is its name and its statistics. Groups with the same name are the same models with another treatment:
        their seeds are paired. Else they are independent, with Welch's (1947) degrees of freedom.
        """
        (first_name, first), (second_name, second) = a, b
        values, minus = (compute(pooled(statistics)) for statistics in (first, second))
        if self._images < 2 or not self._resamples:
            return {name: estimate(values[name] - minus[name], None) for name in values}
        drawn_a, drawn_b = (self._over_images(statistics, compute) for statistics in (first, second))
        reach = (
            _paired_reach(first, second, compute)
            if first_name == second_name and len(first) == len(second)
            else _welch_reach(first, second, compute)
        )
        return {
            name: widened(estimate(values[name] - minus[name], drawn_a[name] - drawn_b[name]), reach[name])
            for name in values
        }

    def _over_images(self, statistics: FloatArray, compute: Compute) -> dict[str, FloatArray]:
        """Return each quantity in each resample of images, with all seeds."""
        return compute(self._counts @ statistics.sum(axis=0))

    def _seed_weights(self, group: str, seeds: int) -> FloatArray:
        generator = np.random.Generator(np.random.PCG64([self._seed, zlib.crc32(group.encode())]))
        drawn = generator.integers(seeds, size=(self._resamples, seeds))
        return np.asarray((drawn[:, :, None] == np.arange(seeds)).sum(axis=1), dtype=float)


def pooled(statistics: FloatArray) -> FloatArray:
    """Return the sums over seeds and images, (k,), independent of their order."""
    return column_sums(statistics.reshape(-1, statistics.shape[-1]))


def seed_errors(statistics: FloatArray, compute: Compute) -> dict[str, FloatArray]:
    """Return the standard error of each quantity over seeds, by the jackknife (Efron & Tibshirani 1993, 11.5).

    It is s/sqrt(S) for a mean, and 0 with one seed; NaN where a quantity is undefined without one of the seeds.
    """
    return _jackknife_error(_without_each(statistics, compute))


def student(freedom: FloatArray | float) -> FloatArray:
    """Return the 97.5 % quantile of Student's t."""
    from scipy.special import stdtrit

    return np.asarray(stdtrit(freedom, (1 + LEVEL) / 2))


def widened(result: BootstrapResult, reach: FloatArray) -> BootstrapResult:
    """Return the result with an interval that reaches `reach` farther on both sides, in the sense of a root of
    squares. No interval where `reach` is NaN."""
    low = result.value - np.hypot(np.maximum(result.value - result.low, 0), reach)
    high = result.value + np.hypot(np.maximum(result.high - result.value, 0), reach)
    return replace(result, low=low, high=high)


def _within(result: BootstrapResult, unit: FloatArray | float) -> BootstrapResult:
    """Return the result with an interval in [0, unit]."""
    return replace(result, low=np.maximum(result.low, 0), high=np.minimum(result.high, unit))


def _where(chosen: NDArray[np.bool_], first: BootstrapResult, second: BootstrapResult) -> BootstrapResult:
    """Return the first result where chosen, else the interval of the second."""
    low, high = (np.where(chosen, getattr(first, name), getattr(second, name)) for name in ("low", "high"))
    return replace(first, low=low, high=high)


def _without_each(statistics: FloatArray, compute: Compute) -> dict[str, FloatArray]:
    """Return each quantity without each of the seeds, (seeds, …). Empty with one seed."""
    seeds = len(statistics)
    if seeds == 1:
        return {name: np.zeros((1, *np.shape(value))) for name, value in compute(pooled(statistics)).items()}
    found = [compute(pooled(np.delete(statistics, one, axis=0))) for one in range(seeds)]
    return {name: np.stack([each[name] for each in found]) for name in found[0]}


def _jackknife_error(without: dict[str, FloatArray]) -> dict[str, FloatArray]:
    return {
        name: np.asarray(((len(each) - 1) * ((each - each.mean(axis=0)) ** 2).mean(axis=0)) ** 0.5)
        for name, each in without.items()
    }


def _paired_reach(first: FloatArray, second: FloatArray, compute: Compute) -> dict[str, FloatArray]:
    """Return the half-width over seeds of the difference between two treatments of the same models."""
    one, other = (_without_each(statistics, compute) for statistics in (first, second))
    errors = _jackknife_error({name: one[name] - other[name] for name in one})
    t = student(max(1, len(first) - 1))
    return {name: np.asarray(t * error) for name, error in errors.items()}


def _welch_reach(first: FloatArray, second: FloatArray, compute: Compute) -> dict[str, FloatArray]:
    """Return the half-width over seeds of the difference between two independent groups of models."""
    groups = [(len(group), seed_errors(group, compute)) for group in (first, second)]
    reach = {}
    for name in groups[0][1]:
        squares = [(count, errors[name] ** 2) for count, errors in groups]
        total = squares[0][1] + squares[1][1]
        below = sum(square**2 / max(1, count - 1) for count, square in squares)
        with np.errstate(invalid="ignore", divide="ignore"):
            freedom = np.where(total > 0, total**2 / below, 1.0)
        reach[name] = np.asarray(student(np.where(np.isnan(total), 1.0, freedom)) * total**0.5)
    return reach


class CombinedFit(NamedTuple):
    """The mean of one estimate for each seed."""

    value: float
    error: float
    """Standard error."""
    low: float
    high: float
    """Bounds of the 95 % interval."""


def combine_fits(fits: Mapping[str, tuple[float, float]]) -> CombinedFit:
    """Return the mean of one estimate for each seed. `fits` has (estimate, error).

    All seeds saw the same images, so that the effect of images on an estimate does not average out. The mean squared
    error of the fits is kept whole, and s²/S, the variance between seeds, is added; part of s² comes from the errors of
    the fits too. The interval adds the squares of the normal half-width of the fits and of Student's over S seeds: in
    simulations it holds the truth in 95 to 98 %, from two seeds on. One seed has the normal interval of its fit.
    """
    values = np.array([value for value, _ in fits.values()])
    errors = np.array([error for _, error in fits.values()])
    between = float(values.var(ddof=1)) / len(values) if len(values) > 1 else 0.0
    within = float((errors**2).mean())
    mean = float(values.mean())
    reach = float(np.hypot(student(np.inf) * within**0.5, student(max(1, len(values) - 1)) * between**0.5))
    return CombinedFit(mean, (within + between) ** 0.5, mean - reach, mean + reach)
