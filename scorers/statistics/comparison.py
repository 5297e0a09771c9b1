"""Comparison of two runs on the same samples: the records of `eidolon compare`, and how `paired.py` fills them."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from pydantic import ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from eidolon.scorers.core.metric import FloatArray, Quantity
from eidolon.scorers.core.types import ImageId, Record
from eidolon.scorers.statistics.bootstrap import MAX_UNDEFINED_SHARE
from eidolon.scorers.statistics.paired import (
    ALPHA,
    RESAMPLES,
    TIE,
    McNemar,
    PairedDifference,
    Side,
    holm,
    mcnemar,
    minimum_detectable_effect,
    paired_bootstrap,
    randomisation,
)

Outcome = Literal["a_better", "b_better", "no_significant_difference"]


class Compared(Record):
    """One quantity in both runs. What is not defined is null, and `reason` says why."""

    model_config = ConfigDict(allow_inf_nan=False)

    a: float | None
    b: float | None
    difference: float | None
    """B - A."""
    ci: tuple[float, float] | None
    p: float | None
    """Two-sided, by approximate randomisation. Null also where neither direction is better."""
    p_holm: float | None
    """The p-value adjusted for all quantities that are tested in the same comparison."""
    mde: float | None
    """The smallest true difference that is found with 80 % power in samples like these."""
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


@runtime_checkable
class FitComparingMetric(Protocol):
    """A metric that can compare fitted quantities of two runs, if they are asked for by name."""

    compared_fits: tuple[Quantity, ...]

    def compare_fit(
        self, quantity: Quantity, a: Sequence[Any], b: Sequence[Any], *, seed: int, resamples: int
    ) -> Compared:
        """Return the comparison of one of `compared_fits` on the same samples of both runs, in the same order."""
        ...


class ComparedFamily(Record):
    """The quantities of one metric by name, and `per_category` without tests, where both runs have it."""

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
    """Return the comparison of two runs' quantities. `decide` adds `p_holm` and `outcome`.

    `clusters` names the image of each sample, and `unit` is what a cluster is called in a reason. `test` is False if
    the sides compute by different rules, so that labels cannot be swapped. `answers` names the quantities that are
    shares of right answers: they also have McNemar's test.
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
    """Return the comparison of the quantities of each category, with intervals and without tests.

    The sides compute arrays (categories,) in the order of the vocabulary.
    """
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


def compared_fits(metric: object) -> tuple[str, ...]:
    """Return the fitted quantities of a metric that can be compared. They take time, so they are compared by name."""
    return tuple(q.name for q in metric.compared_fits) if isinstance(metric, FitComparingMetric) else ()


def compare_fits(
    metric: object, names: Collection[str], a: Sequence[Any], b: Sequence[Any], *, seed: int, resamples: int
) -> dict[str, Compared]:
    """Return the comparison of those of a metric's fitted quantities that `names` holds."""
    if not isinstance(metric, FitComparingMetric):
        return {}
    return {
        quantity.name: metric.compare_fit(quantity, a, b, seed=seed, resamples=resamples)
        for quantity in metric.compared_fits
        if quantity.name in names
    }


def decide(families: Mapping[str, Mapping[str, Compared]]) -> dict[str, dict[str, Compared]]:
    """Return the quantities of all families with `p_holm`, adjusted over all that were tested, and `outcome`."""
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
    """Return which run is better, if test and interval both find a difference.

    Either alone may mislead: swapped labels mix the denominators of two runs if one of them says much more, and the
    interval is not adjusted for the number of quantities.
    """
    if value.ci is None:
        return None
    if p >= ALPHA or not value.difference or value.ci[0] <= 0 <= value.ci[1]:
        return "no_significant_difference"
    return "b_better" if (value.difference > 0) == value.higher_is_better else "a_better"


def _answers(a: FloatArray, b: FloatArray) -> McNemar | None:
    """Return McNemar's test on the share of right answers of each sample: 1 or 0, NaN where nothing was asked."""
    asked = ~np.isnan(a) & ~np.isnan(b)
    if not asked.any():
        return None
    # AMBER's published rounding turns a 1 into 0.999.
    return mcnemar((a[asked] > 0.5).tolist(), (b[asked] > 0.5).tolist())


def _compared(
    quantity: Quantity, found: PairedDifference, at: tuple[int, ...], clusters: int, resamples: int, unit: str
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
