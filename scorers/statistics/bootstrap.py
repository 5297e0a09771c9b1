"""Percentile bootstrap over images (Efron 1979; clusters are resampled whole: Davison & Hinkley 1997, 3.8).

A resample draws as many images as there are, with replacement, and takes with each all of its responses. As
a metric is a function of summed statistics, all resamples together are (how often each image was drawn) @
(sums of each image). The counts are drawn block by block, so that memory does not grow with the number of
images times the number of resamples.

The same seed gives the same bits, whatever the block size, the number of BLAS threads and the order of the
samples: images are put into the order of their ids, resamples are drawn one after the other, and statistics
lie on a binary grid on which every sum is exact, so that the order of summation cannot show.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.core.metric import FloatArray
from eidolon.scorers.core.resampling import RESAMPLES
from eidolon.scorers.core.types import ImageId

LEVEL = 0.95
MAX_UNDEFINED_SHARE = 0.05
"""Beyond this share of resamples without a value there is no interval: one over the rest would be
conditional on something that the data do not assure."""
BLOCK_BYTES = 8 * 2**20
"""Memory of one block of draw counts: large enough for the matrix product, small beside everything else."""

Compute = Callable[[FloatArray], dict[str, FloatArray]]


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

    def estimate(self, *at: int) -> Estimate:
        """Return the number at an index of the arrays, with its interval: `()` for a single number."""
        return Estimate.of(*(float(array[at]) for array in (self.value, self.low, self.high)))


def bootstrap(
    statistics: FloatArray,
    clusters: Sequence[ImageId],
    compute: Compute,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> dict[str, BootstrapResult]:
    """Return each quantity of `compute` with its percentile interval.

    `statistics` has shape (samples, k), `clusters` names the image of each sample. The bounds are the
    (1 ± level)/2 quantiles, linearly interpolated, of the resamples in which the quantity is defined. They
    collapse to the value where the samples show no variation at all (no hallucination in any of them).
    """
    values = compute(column_sums(statistics))
    totals = cluster_totals(statistics, clusters)
    enough = len(totals) > 1 and resamples > 0
    drawn = resample(totals, compute, seed=seed, resamples=resamples) if enough else {}
    return {name: estimate(value, drawn.get(name), level) for name, value in values.items()}


def method(*, seed: int, resamples: int, over: str = "images") -> str:
    """Return the name of the method, as printed beside the intervals; `over` says what a cluster is."""
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

    Statistics that are not integers are rounded to a grid so fine (2⁻⁵² of the largest possible total) that
    it cannot matter, and on which every resample's sum is exact in float64.
    Raises `ValueError` where a statistic is not finite or the lengths differ.
    """
    if len(statistics) != len(clusters):
        raise ValueError(f"{len(statistics)} rows of statistics for {len(clusters)} cluster ids")
    if not np.isfinite(statistics).all():
        raise ValueError("statistics must be finite; leave undefined samples out or count them as 0 of 0")
    position = {cluster: i for i, cluster in enumerate(cluster_ids(clusters))}
    rows = np.array([position[cluster] for cluster in clusters], dtype=np.intp)
    if not len(rows):
        return np.zeros((0, statistics.shape[1]))
    largest = _largest_total(_sum_rows(np.abs(statistics), rows))
    _, exponent = np.frexp(largest)
    step = np.ldexp(1.0, exponent - 52)
    return _sum_rows(np.rint(statistics / step) * step, rows)


def draws(clusters: int, *, seed: int, resamples: int) -> Iterator[NDArray[np.int64]]:
    """Yield for each resample the positions drawn, shape (clusters,).

    They depend on nothing but the arguments, and a larger `resamples` only adds to them, so two models scored
    on the same images are resampled alike and can be compared pairwise.
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

    Each of the `weights`, shape (clusters,), holds whole numbers whose sum is at most the number of clusters;
    so on `cluster_totals` every sum is exact.
    """
    clusters = len(totals)
    # Integers below 2²⁴ are exact in float32 too, at half the cost.
    integers = np.array_equal(totals, np.rint(totals))
    dtype = np.float32 if integers and _largest_total(totals).max(initial=0) < 2**24 else np.float64
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
    """Return a value with its interval from the resamples, shape (resamples, …); None means there are none."""
    nothing = np.full(np.shape(value), np.nan)
    if drawn is None:
        return BootstrapResult(np.asarray(value), nothing, nothing, np.zeros(np.shape(value), dtype=np.int64))
    undefined = np.asarray(np.count_nonzero(np.isnan(drawn), axis=0), dtype=np.int64)
    low, high = percentiles(drawn, level)
    known = ~np.isnan(value) & (undefined <= MAX_UNDEFINED_SHARE * len(drawn))
    return BootstrapResult(
        np.asarray(value), np.where(known, low, np.nan), np.where(known, high, np.nan), undefined
    )


def percentiles(values: FloatArray, level: float = LEVEL) -> tuple[FloatArray, FloatArray]:
    """Return the (1 ± level)/2 quantiles over the first axis, NaN values left out.

    Linear interpolation between order statistics (numpy's default, Hyndman & Fan 1996, type 7).
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


def _sum_rows(statistics: FloatArray, rows: NDArray[np.intp]) -> FloatArray:
    order = np.argsort(rows, kind="stable")
    starts = np.flatnonzero(np.diff(rows[order], prepend=-1))
    return np.asarray(np.add.reduceat(statistics[order], starts, axis=0), dtype=float)


def _largest_total(totals: FloatArray) -> FloatArray:
    """Return the largest magnitude a resample's sum can have: one cluster, drawn every time."""
    return np.asarray(len(totals) * np.abs(totals).max(axis=0, initial=0))
