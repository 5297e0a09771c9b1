"""Intervals of shares with few events, where a percentile bootstrap is too narrow.

Without an event every resample has none, and the bootstrap interval is [0, 0]. With few events it leaves out large
shares that the data do not rule out. With fewer than `FEW` events, or fewer than `FEW` other outcomes, the interval is
therefore that of Clopper & Pearson (1934), with an effective number of trials for clusters (Korn & Graubard 1998):

    n* = n / design effect · (t_∞ / t_(clusters - 1))²,    x* = n* · x / n.

The design effect is the variance of the share over the resamples, divided by that of independent trials. Few events
hardly determine it. So it is at least that of an intraclass correlation of `LEAST_CORRELATION`, 1 + (n / clusters -
1) · `LEAST_CORRELATION` (Kish 1965).

Where another level is resampled too, as the seeds of trained models, and has fewer units than there are clusters, the
variance over the resamples is corrected by the number of those units. The degrees of freedom stay those of the
clusters: those of three seeds would give 0 to 20 % for no event in 240 trials, where coverage is already complete.

A mean of similarities or an F score is no share of something counted, but it lies between 0 and 1 too. There a cluster
is one trial, and the value times the number of clusters is taken as the events: among all variables between 0 and 1
with one mean, the variance is largest where each is 0 or 1. The resamples show how many clusters differ from a bound:
with k of them, about e^-k of the resamples equal it. With fewer than `FEW` such clusters the interval is exact.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.core.metric import FloatArray

FEW = 5
"""With fewer events, or fewer other outcomes, the bootstrap does not give the interval."""
LEAST_CORRELATION = 0.1
"""Smallest correlation between two trials of one cluster that an interval allows for."""
METHOD = "cluster-adjusted Clopper-Pearson"
"""The name of the method, recorded with each such interval."""


NO_CHANGE = "exact, no image differs"
"""The name of the method of `unchanged`."""


@dataclass(frozen=True, slots=True)
class FewEvents:
    """Where a share has few events, and its interval there. Arrays have the shape of the share."""

    rows: NDArray[np.bool_]
    low: FloatArray
    high: FloatArray


def unchanged(difference: Estimate, *, images: int, largest: float = 1.0, level: float = 0.95) -> Estimate:
    """Return a paired difference of shares, with an interval of some width if the bootstrap's has none.

    Then no image differs from the others. With 95 % confidence no more than a share u of all images does, where
    (1 - u)^images = 0.025 (Clopper & Pearson 1934). So the difference is within u · `largest` of its value: `largest`
    is what one image can change it by.
    """
    if difference.value is None or difference.ci is None or difference.ci[0] < difference.ci[1]:
        return difference
    reach = largest * (1 - ((1 - level) / 2) ** (1 / images))
    ci = (difference.value - reach, difference.value + reach)
    return difference.model_copy(update={"ci": ci, "method": NO_CHANGE})


def few_events(
    events: FloatArray,
    trials: FloatArray,
    drawn: FloatArray,
    *,
    clusters: int,
    units: int | None = None,
    level: float,
) -> FewEvents:
    """Return where a share has few events, and its exact interval there.

    `drawn` is the share in each resample of the clusters, shape (resamples, …). NaN means no trial. `units` counts
    those of the resampled level with the fewest, at least 2. None: the clusters.
    """
    events, trials = np.asarray(events, dtype=float), np.asarray(trials, dtype=float)
    rows = np.asarray((trials > 0) & (np.minimum(events, trials - events) < FEW))
    n = np.where(rows, trials, 1.0)
    share = np.where(rows, events, 0.0) / n
    return exact_interval(rows, share, n, drawn, clusters=clusters, units=units, level=level)


def exact_interval(
    rows: NDArray[np.bool_],
    share: FloatArray,
    trials: FloatArray,
    drawn: FloatArray,
    *,
    clusters: int,
    units: int | None,
    level: float,
) -> FewEvents:
    """Return the exact interval of shares of so many trials, which are at least 1."""
    if not rows.any():
        return FewEvents(rows, np.zeros(rows.shape), np.ones(rows.shape))
    # The import is a sixth of the start of `eidolon score`.
    from scipy.special import betaincinv, stdtrit

    tail = (1 - level) / 2
    reach = float(stdtrit(np.inf, 1 - tail)) / float(stdtrit(clusters - 1, 1 - tail))
    effect = design_effect(share, trials, drawn, clusters=clusters, units=units)
    effective = trials / effect * reach**2
    hits = share * effective
    misses = effective - hits
    # A beta distribution without successes is all at 0, and one without failures at 1.
    low = np.where(hits > 0, betaincinv(np.where(hits > 0, hits, 1.0), misses + 1, tail), 0.0)
    high = np.where(misses > 0, betaincinv(hits + 1, np.where(misses > 0, misses, 1.0), 1 - tail), 1.0)
    return FewEvents(rows, np.asarray(low), np.asarray(high))


def few_clusters(
    value: FloatArray, drawn: FloatArray, *, clusters: int, units: int | None = None, level: float
) -> FewEvents:
    """Return where a quantity between 0 and 1 has few clusters that differ from a bound, and its exact interval there.

    `drawn` is the quantity in each resample of the clusters, shape (resamples, …). NaN means undefined.
    """
    value = np.asarray(value, dtype=float)
    at_bound = np.maximum((drawn <= 0).mean(axis=0), (drawn >= 1).mean(axis=0))
    rows = np.asarray(~np.isnan(value) & ((at_bound > math.exp(-FEW)) | (clusters < FEW)))
    share = np.where(rows, np.clip(value, 0, 1), 0.5)
    trials = np.full(value.shape, float(clusters))
    return exact_interval(rows, share, trials, drawn, clusters=clusters, units=units, level=level)


def design_effect(
    share: FloatArray, trials: FloatArray, drawn: FloatArray, *, clusters: int, units: int | None = None
) -> FloatArray:
    """Return the factor by which clusters increase the variance of a share of so many trials.

    `clusters` and `units` are at least 2. The variance over resamples is that of a mean of `units` draws from the units
    themselves, and so too small by the factor (units - 1) / units. None: the units are the clusters.
    """
    units = units or clusters
    least = 1 + LEAST_CORRELATION * np.maximum(trials / clusters - 1, 0)
    known = ~np.isnan(drawn)
    number = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, drawn, 0).sum(axis=0) / number
    variance = (np.where(known, drawn - mean, 0) ** 2).sum(axis=0) / number * units / (units - 1)
    independent = share * (1 - share) / trials
    observed = np.divide(variance, independent, out=np.zeros(np.shape(least)), where=independent > 0)
    return np.asarray(np.minimum(np.maximum(observed, least), np.maximum(trials, 1)))
