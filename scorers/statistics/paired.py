"""The difference between two runs on the same samples: intervals and tests.

Everything is paired: a row holds both runs' statistics of one sample. An image is resampled, or has its labels swapped,
with all of its responses in both runs. So what makes an image hard is common to both runs and cancels out.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from eidolon.scorers.core.metric import FloatArray
from eidolon.scorers.core.types import ImageId, Record
from eidolon.scorers.statistics.bootstrap import (
    Compute,
    cluster_totals,
    column_sums,
    combine,
    estimate,
    resample,
)

RESAMPLES = 10_000
"""Five times those of a single score: Holm's smallest levels need p-values well below 0.01."""
ALPHA = 0.05
POWER = 0.80
TIE = 1e-12
"""Relative rounding error. A rearrangement whose difference equals the observed one within it is as extreme."""


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two runs."""

    statistics: FloatArray
    """Statistics of the shared samples, shape (samples, k)."""
    compute: Compute
    """Maps sums of statistics to quantities."""


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """A quantity in both runs, as arrays in the shape of the quantity: () for a single number."""

    a: FloatArray
    b: FloatArray
    difference: FloatArray
    """B - A. NaN where either is."""
    low: FloatArray
    high: FloatArray
    """Bounds of the interval. NaN without one."""
    error: FloatArray
    """Standard error: the standard deviation of the resampled differences. NaN without an interval."""
    undefined_resamples: NDArray[np.int64]


class McNemar(Record):
    """McNemar's test (1947) on the questions that only one of the runs answers right.

    It assumes independent questions. Several questions about one image are not.
    """

    only_a: int
    """Right in A and wrong in B."""
    only_b: int
    """Right in B and wrong in A."""
    exact: float
    """Two-sided binomial p of the two counts."""
    mid: float
    """The mid-p value: half the weight on the observed counts (Fagerland, Lydersen & Laake 2013). Less conservative."""


def paired_bootstrap(
    a: Side, b: Side, clusters: Sequence[ImageId], *, seed: int = 0, resamples: int = RESAMPLES
) -> dict[str, PairedDifference]:
    """Return the quantities that both sides compute, with the 95 % percentile interval of B - A.

    `clusters` names the image of each sample. Both runs are resampled by the same draws, those of
    `bootstrap.bootstrap`.
    """
    columns = a.statistics.shape[1]

    def differences(totals: FloatArray) -> dict[str, FloatArray]:
        first, second = a.compute(totals[..., :columns]), b.compute(totals[..., columns:])
        return {name: second[name] - first[name] for name in first if name in second}

    first, second = (side.compute(column_sums(side.statistics)) for side in (a, b))
    totals = cluster_totals(np.hstack([a.statistics, b.statistics]), clusters)
    drawn: Mapping[str, FloatArray] = {}
    if len(totals) > 1 and resamples > 0:
        drawn = resample(totals, differences, seed=seed, resamples=resamples)
    return {name: _difference(first[name], second[name], drawn.get(name)) for name in first if name in second}


def randomisation(
    a: FloatArray,
    b: FloatArray,
    clusters: Sequence[ImageId],
    compute: Compute,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> dict[str, FloatArray]:
    """Return the two-sided p-value of each quantity's difference by approximate randomisation.

    Under the null hypothesis it does not matter which run wrote the responses to an image, so the labels of the runs
    may be swapped. Each of R rearrangements swaps the labels of every cluster with probability 1/2. Then
    p = (1 + number of rearrangements with a difference at least as large as the observed) / (1 + R) (Noreen 1989;
    Riezler & Maxwell 2005). A rearrangement in which the quantity is undefined counts as large.

    `a` and `b` have shape (samples, k). p is NaN where the difference itself is undefined, with fewer than two
    clusters, and without resamples.
    """
    columns = a.shape[1]
    totals = cluster_totals(np.hstack([a, b]), clusters)
    whole = totals.sum(axis=0)

    def size(first: FloatArray, second: FloatArray) -> dict[str, FloatArray]:
        one, other = compute(first), compute(second)
        return {name: np.abs(other[name] - one[name]) for name in one}

    def rearranged(moved: FloatArray) -> dict[str, FloatArray]:
        kept = whole - moved
        return size(
            kept[..., :columns] + moved[..., columns:],
            kept[..., columns:] + moved[..., :columns],
        )

    observed = size(whole[:columns], whole[columns:])
    if len(totals) < 2 or resamples == 0:
        return {name: np.full(np.shape(value), np.nan) for name, value in observed.items()}
    drawn = combine(
        swaps(len(totals), seed=seed, resamples=resamples), totals, rearranged, resamples=resamples
    )
    return {name: _p_value(value, drawn[name]) for name, value in observed.items()}


def swaps(clusters: int, *, seed: int, resamples: int) -> Iterator[NDArray[np.uint8]]:
    """Yield for each rearrangement which clusters are swapped, 0 or 1, shape (clusters,).

    The random stream is independent of that of `bootstrap.draws`. A larger `resamples` extends it.
    """
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(1,))))
    for _ in range(resamples):
        bits = np.frombuffer(generator.bytes(-(-clusters // 8)), dtype=np.uint8)
        yield np.unpackbits(bits, count=clusters)


def mcnemar(right_a: Sequence[bool], right_b: Sequence[bool]) -> McNemar:
    """Compare two runs' answers to the same questions, right or wrong. p is 1 if they never differ."""
    from scipy.stats import binom

    pairs = list(zip(right_a, right_b, strict=True))
    only_a, only_b = sum(a and not b for a, b in pairs), sum(b and not a for a, b in pairs)
    few, differing = min(only_a, only_b), only_a + only_b
    at_most, exactly = float(binom.cdf(few, differing, 0.5)), float(binom.pmf(few, differing, 0.5))
    return McNemar(
        only_a=only_a, only_b=only_b, exact=min(1.0, 2 * at_most), mid=min(1.0, 2 * at_most - exactly)
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted by Holm's step-down method (1979), in the same order.

    The i-th smallest of m becomes the largest of (m - j + 1) · p_j over j ≤ i, at most 1.
    """
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1, np.maximum.accumulate(np.arange(len(p), 0, -1) * p[order]))
    return [float(value) for value in adjusted]


def minimum_detectable_effect(error: float) -> float:
    """Return (z_0.975 + z_0.80) · SE: the true difference that is found with 80 % power at a two-sided 5 %.

    This is the normal approximation of power analysis (Bloom 1995), without a correction for several quantities.
    """
    normal = NormalDist()
    return (normal.inv_cdf(1 - ALPHA / 2) + normal.inv_cdf(POWER)) * error


def _difference(a: FloatArray, b: FloatArray, drawn: FloatArray | None) -> PairedDifference:
    found = estimate(b - a, drawn)
    deviation = np.full(np.shape(found.value), np.nan)
    if drawn is not None and len(drawn) > 1:
        defined = ~np.isnan(drawn)
        number = np.maximum(defined.sum(axis=0), 2)
        mean = np.where(defined, drawn, 0).sum(axis=0) / number
        deviation = np.sqrt((np.where(defined, drawn - mean, 0) ** 2).sum(axis=0) / (number - 1))
    return PairedDifference(
        a=np.asarray(a),
        b=np.asarray(b),
        difference=found.value,
        low=found.low,
        high=found.high,
        error=np.where(np.isnan(found.low), np.nan, deviation),
        undefined_resamples=found.undefined_resamples,
    )


def _p_value(observed: FloatArray, drawn: FloatArray) -> FloatArray:
    extreme = np.isnan(drawn) | (drawn >= observed - TIE * (1 + observed))
    p = (1 + extreme.sum(axis=0)) / (1 + len(drawn))
    return np.asarray(np.where(np.isnan(observed), np.nan, p), dtype=float)
