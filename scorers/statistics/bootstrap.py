"""Percentile bootstrap over images (Efron 1979). Clusters are resampled whole (Davison & Hinkley 1997, 3.8).

A resample draws as many images as there are, with replacement, each with all of its responses. A metric is a function
of summed statistics. So all resamples together are one product: (how often each image was drawn) @ (sums of each
image). The counts are drawn block by block, so that memory does not grow with images times resamples.

The same seed gives the same bits, whatever the block size, the number of BLAS threads and the order of the samples.
Images are sorted by id, resamples are drawn one after the other, and statistics are on a binary grid on which every
sum is exact, whatever the order of summation.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.core.metric import Bounded, FloatArray, Share
from eidolon.scorers.core.resampling import RESAMPLES
from eidolon.scorers.core.types import ImageId
from eidolon.scorers.statistics.small_samples import METHOD, FewEvents, few_clusters, few_events

LEVEL = 0.95
MAX_UNDEFINED_SHARE = 0.05
"""Largest share of undefined resamples with which there is an interval. An interval over the rest would be
conditional on an event that the data do not guarantee."""
BLOCK_BYTES = 8 * 2**20
"""Memory of one block of draw counts: large enough for the matrix product, small beside everything else."""

Compute = Callable[[FloatArray], dict[str, FloatArray]]
Shares = Callable[[FloatArray], Mapping[str, Share | Bounded]]
"""Maps summed statistics to the events and trials of those quantities that are shares. Others may be bounded."""


@dataclass(frozen=True, slots=True)
class BootstrapResult:
    """A quantity and its interval as arrays, each in the shape of the quantity: () for a single number."""

    value: FloatArray
    """From all samples. NaN where the quantity is undefined."""
    low: FloatArray
    high: FloatArray
    """NaN where there is no interval: fewer than two clusters, or too many undefined resamples."""
    undefined_resamples: NDArray[np.int64]
    """Number of resamples in which the quantity is undefined. The interval leaves them out."""
    exact: NDArray[np.bool_] | None = None
    """Where the interval is that of a share with few events. None: nowhere."""

    def estimate(self, *at: int) -> Estimate:
        """Return the number at an index of the arrays, with its interval: `()` for a single number."""
        exact = self.exact is not None and bool(self.exact[at])
        value, low, high = (float(array[at]) for array in (self.value, self.low, self.high))
        return Estimate.of(value, low, high, METHOD if exact else None)


def bootstrap(
    statistics: FloatArray,
    clusters: Sequence[ImageId],
    compute: Compute,
    *,
    shares: Shares | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> dict[str, BootstrapResult]:
    """Return each quantity of `compute` with its percentile interval.

    `statistics` has shape (samples, k), and `clusters` names the image of each sample. The bounds are the (1 ±
    level)/2 quantiles, linearly interpolated, of the resamples in which the quantity is defined. They equal the value
    if the samples show no variation at all, unless `shares` names the quantity: with few events, or few clusters that
    differ from a bound, it has the interval of `small_samples`.
    """
    sums = column_sums(statistics)
    values = compute(sums)
    totals = cluster_totals(statistics, clusters)
    enough = len(totals) > 1 and resamples > 0
    drawn = resample(totals, compute, seed=seed, resamples=resamples) if enough else {}
    return estimates(values, drawn, shares and shares(sums), clusters=len(totals), level=level)


def method(*, seed: int, resamples: int, over: str = "images") -> str:
    """Return the name of the method, as printed beside the intervals. `over` is what a cluster is called."""
    return f"percentile bootstrap over {over}, B={resamples}, seed={seed}"


def column_sums(statistics: FloatArray) -> FloatArray:
    """Return the sums over samples, shape (k,), correctly rounded and so independent of the order."""
    if np.array_equal(statistics, np.rint(statistics)):
        return np.asarray(statistics.sum(axis=0), dtype=float)
    return np.array([math.fsum(column) for column in statistics.T.tolist()])


def cluster_ids(clusters: Sequence[ImageId]) -> list[ImageId]:
    """Return the distinct ids in the order in which clusters are resampled: numbers, then strings, sorted."""
    return sorted(set(clusters), key=lambda cluster: (isinstance(cluster, str), cluster))


def cluster_totals(statistics: FloatArray, clusters: Sequence[ImageId]) -> FloatArray:
    """Return the summed statistics of each cluster, shape (clusters, k), in the order of `cluster_ids`.

    Statistics that are not integers are rounded to a grid of 2⁻⁵² of the largest possible total. On this grid every
    sum of a resample is exact in float64, and the rounding has no practical effect.

    Raises:
        ValueError: a statistic is not finite, or the lengths differ.
    """
    if len(statistics) != len(clusters):
        raise ValueError(f"{len(statistics)} rows of statistics for {len(clusters)} cluster ids")
    position = {cluster: i for i, cluster in enumerate(cluster_ids(clusters))}
    return numbered_totals(statistics, np.array([position[cluster] for cluster in clusters], dtype=np.intp))


def numbered_totals(statistics: FloatArray, rows: NDArray[np.integer[Any]]) -> FloatArray:
    """Return the `cluster_totals` where `rows` numbers the cluster of each sample, every number from 0 being there.

    Raises:
        ValueError: a statistic is not finite.
    """
    if not np.isfinite(statistics).all():
        raise ValueError("statistics must be finite; leave undefined samples out or count them as 0 of 0")
    if not len(rows):
        return np.zeros((0, statistics.shape[1]))
    largest = largest_total(_sum_rows(np.abs(statistics), rows))
    _, exponent = np.frexp(largest)
    step = np.ldexp(1.0, exponent - 52)
    return _sum_rows(np.rint(statistics / step) * step, rows)


def draws(clusters: int, *, seed: int, resamples: int) -> Iterator[NDArray[np.int64]]:
    """Yield the positions drawn for each resample, shape (clusters,).

    They depend on the arguments alone, and a larger `resamples` only adds to them. So two models that are scored on
    the same images are resampled alike and can be compared in pairs.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    for _ in range(resamples):
        yield generator.integers(clusters, size=clusters)


def resample(
    totals: FloatArray,
    compute: Compute,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    block_bytes: int = BLOCK_BYTES,
) -> dict[str, FloatArray]:
    """Return each quantity in each resample, shape (resamples, …), from `cluster_totals` (clusters, k)."""
    counts = (
        np.bincount(drawn, minlength=len(totals))
        for drawn in draws(len(totals), seed=seed, resamples=resamples)
    )
    return combine(counts, totals, compute, resamples=resamples, block_bytes=block_bytes)


def combine(
    weights: Iterator[NDArray[np.integer[Any]]],
    totals: FloatArray,
    compute: Compute,
    *,
    resamples: int,
    block_bytes: int = BLOCK_BYTES,
) -> dict[str, FloatArray]:
    """Return each quantity of `resamples` weighted sums of clusters, shape (resamples, …).

    Each of the `weights`, shape (clusters,), holds whole numbers whose sum is at most the number of clusters. So
    every sum of `cluster_totals` is exact.
    """
    clusters = len(totals)
    # Integers below 2²⁴ are exact in float32 too, at half the cost.
    integers = np.array_equal(totals, np.rint(totals))
    dtype = np.float32 if integers and largest_total(totals).max(initial=0) < 2**24 else np.float64
    totals = totals.astype(dtype)
    rows = max(1, min(resamples, block_bytes // (clusters * np.dtype(dtype).itemsize)))
    block_weights = np.empty((rows, clusters), dtype=dtype)
    values: dict[str, FloatArray] = {}
    for start in range(0, resamples, rows):
        block = block_weights[: resamples - start]
        for row in block:
            row[:] = next(weights)
        for name, value in compute((block @ totals).astype(np.float64)).items():
            if name not in values:
                values[name] = np.empty((resamples, *value.shape[1:]))
            values[name][start : start + len(block)] = value
    return values


def estimate(value: FloatArray, drawn: FloatArray | None, level: float = LEVEL) -> BootstrapResult:
    """Return a value with its interval from the resamples, shape (resamples, …). None means that there are none."""
    nothing = np.full(np.shape(value), np.nan)
    if drawn is None:
        return BootstrapResult(np.asarray(value), nothing, nothing, np.zeros(np.shape(value), dtype=np.int64))
    undefined = np.asarray(np.count_nonzero(np.isnan(drawn), axis=0), dtype=np.int64)
    low, high = percentiles(drawn, level)
    known = ~np.isnan(value) & (undefined <= MAX_UNDEFINED_SHARE * len(drawn))
    return BootstrapResult(
        np.asarray(value), np.where(known, low, np.nan), np.where(known, high, np.nan), undefined
    )


def estimates(
    values: Mapping[str, FloatArray],
    drawn: Mapping[str, FloatArray],
    shares: Mapping[str, Share | Bounded] | None,
    *,
    clusters: int,
    units: int | None = None,
    level: float = LEVEL,
) -> dict[str, BootstrapResult]:
    """Return values with their intervals from the resamples of so many clusters. `drawn` is empty without any.

    `units` is the number of units of another resampled level, if it has fewer than there are clusters.
    """
    found = {name: estimate(value, drawn.get(name), level) for name, value in values.items()}
    if drawn:
        for name, share in (shares or {}).items():
            if isinstance(share, Bounded):
                if name not in values:
                    continue  # fitted, not computed from sums
                few = few_clusters(values[name], drawn[name], clusters=clusters, units=units, level=level)
            else:
                shares_drawn = drawn[name] / share.unit
                few = few_events(
                    share.events, share.trials, shares_drawn, clusters=clusters, units=units, level=level
                )
                few = FewEvents(few.rows, np.asarray(few.low * share.unit), np.asarray(few.high * share.unit))
            found[name] = _with_few_events(found[name], few)
    return found


def _with_few_events(result: BootstrapResult, few: FewEvents) -> BootstrapResult:
    """Return the result with the interval of `small_samples` where there is an interval and events are few."""
    exact = few.rows & ~np.isnan(result.low)
    # A value that a program rounds may lie just outside of the interval of the exact share.
    low, high = np.minimum(few.low, result.value), np.maximum(few.high, result.value)
    return BootstrapResult(
        result.value,
        np.where(exact, low, result.low),
        np.where(exact, high, result.high),
        result.undefined_resamples,
        exact,
    )


def percentiles(values: FloatArray, level: float = LEVEL) -> tuple[FloatArray, FloatArray]:
    """Return the (1 ± level)/2 quantiles over the first axis. NaN values are left out.

    The interpolation between order statistics is linear (numpy's default, Hyndman & Fan 1996, type 7).
    """
    ordered = np.sort(values, axis=0)  # NaN sorts last
    last = np.count_nonzero(~np.isnan(values), axis=0) - 1

    def quantile(share: float) -> FloatArray:
        place = np.maximum(last, 0) * share
        below = np.floor(place).astype(np.intp)
        above = np.minimum(below + 1, np.maximum(last, 0))
        low = np.take_along_axis(ordered, below[np.newaxis], axis=0)[0]
        high = np.take_along_axis(ordered, above[np.newaxis], axis=0)[0]
        return np.asarray(low + (high - low) * (place - below), dtype=float)

    return quantile((1 - level) / 2), quantile((1 + level) / 2)


def _sum_rows(statistics: FloatArray, rows: NDArray[np.integer[Any]]) -> FloatArray:
    order = np.argsort(rows, kind="stable")
    starts = np.flatnonzero(np.diff(rows[order], prepend=-1))
    return np.asarray(np.add.reduceat(statistics[order], starts, axis=0), dtype=float)


def largest_total(totals: FloatArray) -> FloatArray:
    """Return the largest magnitude that the sum of a resample can have: one cluster, drawn every time."""
    return np.asarray(len(totals) * np.abs(totals).max(axis=0, initial=0))
