"""Is the difference between two runs on the same samples more than chance?

Everything here is paired: both runs' statistics of a sample stand in one row, and an image is resampled, or
has its labels swapped, with all of its responses in both runs. What makes an image hard is so common to both
and cancels out of the difference.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from eidolon.scorers.core.metric import FloatArray, Quantity
from eidolon.scorers.core.types import ImageId, Record
from eidolon.scorers.statistics.bootstrap import (
    MAX_UNDEFINED_SHARE,
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
"""Rearrangements whose difference equals the observed one but for rounding are as extreme as it is."""

Outcome = Literal["a_better", "b_better", "no_significant_difference"]


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two runs: a row of statistics a shared sample, and what makes quantities of their sums."""

    statistics: FloatArray
    """Shape (samples, k)."""
    compute: Compute


@dataclass(frozen=True, slots=True)
class Difference:
    """A quantity in both runs and B - A; arrays share the shape of the quantity, () for a single number."""

    a: FloatArray
    b: FloatArray
    difference: FloatArray
    """NaN where either is."""
    low: FloatArray
    high: FloatArray
    error: FloatArray
    """Standard error: the deviation of the resampled differences; NaN, as the bounds, without an interval."""
    undefined_resamples: NDArray[np.int64]


class McNemar(Record):
    """McNemar's test (1947) on the questions that one run alone answers rightly.

    It takes every question for independent, which several on one image are not.
    """

    only_a: int
    """Right in A and wrong in B."""
    only_b: int
    exact: float
    """Two-sided binomial p of the two counts."""
    mid: float
    """The same with half the weight on what was seen (Fagerland, Lydersen & Laake 2013): less cautious."""


class Compared(Record):
    """One quantity in both runs. What cannot be given is null, and `reason` says why."""

    model_config = ConfigDict(allow_inf_nan=False)

    a: float | None
    b: float | None
    difference: float | None
    """B - A."""
    ci: tuple[float, float] | None
    p: float | None
    """Two-sided, by approximate randomisation; null also where neither direction is better."""
    p_holm: float | None
    """Adjusted for all quantities tested in the same comparison."""
    mde: float | None
    """The smallest true difference that samples like these would show four times in five."""
    higher_is_better: bool | None
    outcome: Outcome | None
    mcnemar: McNemar | None = None
    reason: str | None = None
    undefined_resamples: int = 0
    """Resamples in which the difference was undefined, so that the interval leaves them out."""

    @model_serializer(mode="wrap")
    def _without_empty(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        empty = {"mcnemar": None, "reason": None, "undefined_resamples": 0}
        return {k: v for k, v in handler(self).items() if k not in empty or v != empty[k]}


class ComparedFamily(Record):
    """The quantities of one metric by name; `per_category` without tests, where both runs have it."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Compared] = Field(init=False)

    per_category: dict[str, dict[str, Compared]] | None = None

    def __getitem__(self, quantity: str) -> Compared:
        return self.__pydantic_extra__[quantity]

    def quantities(self) -> dict[str, Compared]:
        """Return the quantities by name."""
        return dict(self.__pydantic_extra__ or {})

    @model_serializer(mode="wrap")
    def _per_category_last(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = handler(self)
        per_category = fields.pop("per_category", None)
        return fields if per_category is None else {**fields, "per_category": per_category}


def paired_bootstrap(
    a: Side, b: Side, clusters: Sequence[ImageId], *, seed: int = 0, resamples: int = RESAMPLES
) -> dict[str, Difference]:
    """Return the quantities that both sides compute, with the 95 % percentile interval of B - A.

    Both runs are resampled by the same draws of clusters, those that `bootstrap.bootstrap` takes too.
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

    If it did not matter which run wrote the responses to an image, their labels could as well be swapped.
    Each of R rearrangements swaps every cluster's with probability 1/2; p = (1 + number with a difference at
    least as large as the observed) / (1 + R) (Noreen 1989; Riezler & Maxwell 2005). A rearrangement in which
    the quantity is undefined counts as large. `a` and `b` have shape (samples, k). NaN where the difference
    itself is undefined, where there are fewer than two clusters, and without resamples.
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

    A stream of its own beside that of `bootstrap.draws`; a larger `resamples` only adds to it.
    """
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(1,))))
    for _ in range(resamples):
        bits = np.frombuffer(generator.bytes(-(-clusters // 8)), dtype=np.uint8)
        yield np.unpackbits(bits, count=clusters)


def mcnemar(right_a: Sequence[bool], right_b: Sequence[bool]) -> McNemar:
    """Compare two runs' answers to the same questions, right or wrong; p is 1 where they never differ."""
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
    """Return (z_0.975 + z_0.80) · SE, the true difference found with 80 % power at a two-sided 5 %.

    The normal approximation of power analysis (Bloom 1995). It says what the samples could have shown,
    before any correction for several quantities.
    """
    normal = NormalDist()
    return (normal.inv_cdf(1 - ALPHA / 2) + normal.inv_cdf(POWER)) * error


def compare_family(
    quantities: Sequence[Quantity],
    a: Side,
    b: Side,
    clusters: Sequence[ImageId],
    *,
    test: bool = True,
    answers: Sequence[str] = (),
    unit: str = "images",
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> dict[str, Compared]:
    """Compare two runs' quantities; `p_holm` and `outcome` are still to come, from `decide`.

    `test` is False where the sides compute differently, so that labels cannot be swapped. `answers` names the
    quantities that are shares of right answers: they have McNemar's test beside the other.
    """
    found = paired_bootstrap(a, b, clusters, seed=seed, resamples=resamples)
    p_values = {}
    if test and any(quantity.higher_is_better is not None for quantity in quantities):
        p_values = randomisation(
            a.statistics, b.statistics, clusters, a.compute, seed=seed, resamples=resamples
        )
    each = [(side.compute(side.statistics) if answers else {}) for side in (a, b)]
    size = len(set(clusters))
    compared = {}
    for quantity in quantities:
        if quantity.name not in found:
            continue
        value = _compared(quantity, found[quantity.name], (), size, resamples, unit)
        update: dict[str, Any] = {}
        if quantity.higher_is_better is not None and quantity.name in p_values:
            update["p"] = _number(p_values[quantity.name])
        if quantity.name in answers:
            update["mcnemar"] = _answers(*(values[quantity.name] for values in each))
        if not test and value.reason is None and quantity.higher_is_better is not None:
            update["reason"] = "no test: the two were computed by different rules"
        compared[quantity.name] = value.model_copy(update=update)
    return compared


def compare_categories(
    quantities: Sequence[Quantity],
    a: Side,
    b: Side,
    clusters: Sequence[ImageId],
    vocabulary: Sequence[str],
    *,
    unit: str = "images",
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> dict[str, dict[str, Compared]]:
    """Compare the quantities of each category, arrays (categories,): with intervals, without tests."""
    found = paired_bootstrap(a, b, clusters, seed=seed, resamples=resamples)
    size = len(set(clusters))
    return {
        category: {
            q.name: _compared(q, found[q.name], (i,), size, resamples, unit)
            for q in quantities
            if q.name in found
        }
        for i, category in enumerate(vocabulary)
    }


def decide(families: Mapping[str, Mapping[str, Compared]]) -> dict[str, dict[str, Compared]]:
    """Return the quantities of all families with p adjusted over all that were tested, and who is better."""
    tested = [
        (family, name)
        for family, values in families.items()
        for name, value in values.items()
        if value.p is not None
    ]
    adjusted = holm([families[family][name].p or 0.0 for family, name in tested])
    decided = {family: dict(values) for family, values in families.items()}
    for (family, name), p in zip(tested, adjusted, strict=True):
        value = decided[family][name]
        decided[family][name] = value.model_copy(update={"p_holm": p, "outcome": _outcome(value, p)})
    return decided


def _outcome(value: Compared, p: float) -> Outcome | None:
    """Say who is better where test and interval both say that there is a difference.

    Either alone may mislead: swapped labels mix the denominators of two runs of which one says much more, and
    the interval is not adjusted for the number of quantities.
    """
    if value.ci is None:
        return None
    if p >= ALPHA or not value.difference or value.ci[0] <= 0 <= value.ci[1]:
        return "no_significant_difference"
    return "b_better" if (value.difference > 0) == value.higher_is_better else "a_better"


def _difference(a: FloatArray, b: FloatArray, drawn: FloatArray | None) -> Difference:
    found = estimate(b - a, drawn)
    deviation = np.full(np.shape(found.value), np.nan)
    if drawn is not None and len(drawn) > 1:
        defined = ~np.isnan(drawn)
        number = np.maximum(defined.sum(axis=0), 2)
        mean = np.where(defined, drawn, 0).sum(axis=0) / number
        deviation = np.sqrt((np.where(defined, drawn - mean, 0) ** 2).sum(axis=0) / (number - 1))
    return Difference(
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


def _answers(a: FloatArray, b: FloatArray) -> McNemar | None:
    """Compare the share of right answers of each sample by itself: 1 or 0, NaN where nothing was asked."""
    asked = ~np.isnan(a) & ~np.isnan(b)
    if not asked.any():
        return None
    # AMBER's published rounding makes 0.999 of a 1.
    return mcnemar((a[asked] > 0.5).tolist(), (b[asked] > 0.5).tolist())


def _compared(
    quantity: Quantity, found: Difference, at: tuple[int, ...], clusters: int, resamples: int, unit: str
) -> Compared:
    undefined = int(found.undefined_resamples[at])
    low, error = float(found.low[at]), float(found.error[at])
    missing = [name for name, side in (("A", found.a), ("B", found.b)) if np.isnan(side[at])]
    reason = None
    if missing:
        reason = f"undefined in {' and '.join(missing)}: {quantity.undefined}"
    elif resamples == 0:
        reason = "no interval: no resamples were asked for"
    elif clusters < 2:
        reason = f"no interval: it takes at least two {unit}"
    elif low != low:
        reason = (
            f"no interval: undefined in {undefined} of {resamples} resamples, "
            f"more than {MAX_UNDEFINED_SHARE:.0%}"
        )
    elif not error > TIE:
        reason = f"no minimum detectable effect: the difference does not vary between {unit}"
    return Compared(
        a=_number(found.a[at]),
        b=_number(found.b[at]),
        difference=_number(found.difference[at]),
        ci=None if low != low else (low + 0.0, float(found.high[at]) + 0.0),
        p=None,
        p_holm=None,
        mde=minimum_detectable_effect(error) if error > TIE else None,
        higher_is_better=quantity.higher_is_better,
        outcome=None,
        reason=reason,
        undefined_resamples=0 if missing else undefined,
    )


def _number(value: FloatArray | float) -> float | None:
    number = float(value) + 0.0  # no negative zero
    return None if number != number else number
