"""What a metric is: per-sample sufficient statistics, and a function from their sum to the values.

The split makes every resample, subset and pooled score a matrix product away (the design of sacrebleu).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.core.types import Judgement, Response

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Quantity:
    """One named number of a metric family: `chair_i` of `chair`."""

    name: str
    higher_is_better: bool | None
    bounds: tuple[float, float]
    description: str
    undefined: str = "its denominator is zero"
    """What is missing where the value is undefined: the reason beside a null in `scores.json`."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Two sources that looked at one picture apart; together they are its truth."""

    annotated: frozenset[str]
    """The objects that somebody annotated, as with a box."""
    captioned: frozenset[str]
    """The objects that somebody named in a reference caption."""


@dataclass(frozen=True, slots=True)
class JudgedSample:
    """A scored response with its truth. Unscored responses never reach a metric."""

    response: Response
    judgement: Judgement
    objects: frozenset[str]
    areas: Mapping[str, float] = field(default_factory=dict)
    """Of some or all true objects, the share of the picture that the largest instance covers, where it is known."""
    sources: "Sources | None" = None
    """Who says that the true objects are there; None where reference captions did not join them."""


class Computation(Protocol):
    """Named quantities as functions of summed statistics, whatever the samples were."""

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        """The quantities, in the order in which they are reported."""
        ...

    @property
    def columns(self) -> tuple[str, ...]:
        """A name for each of the k statistics; their sums are the `counts` block of `scores.json`."""
        ...

    def compute(self, totals: FloatArray) -> dict[str, FloatArray]:
        """Map summed statistics (..., k) to one array (...) a quantity; NaN where it is undefined."""
        ...


class Metric(Protocol):
    """A family of numbers over judged samples."""

    family: str
    quantities: tuple[Quantity, ...]
    columns: tuple[str, ...]
    """A name for each of the k statistics; their sums are the `counts` block of `scores.json`."""

    def statistics(self, samples: Sequence[JudgedSample]) -> FloatArray:
        """Return sufficient statistics, shape (samples, k), finite and additive over samples."""
        ...

    def compute(self, totals: FloatArray) -> dict[str, FloatArray]:
        """Map summed statistics (..., k) to one array (...) a quantity; NaN where it is undefined."""
        ...


@runtime_checkable
class CategoryMetric(Protocol):
    """A metric that can also be had for each category by itself."""

    def by_category(self, vocabulary: Sequence[str]) -> Metric:
        """Return the same quantities, computed to arrays (..., categories) in the vocabulary's order.

        Its statistics are category-major, shape (samples, categories · k), where `columns` names the k
        statistics of one category.
        """
        ...


@dataclass(frozen=True, slots=True)
class Alternative:
    """The same family read with other settings: an entry of `variants`."""

    label: str
    settings: dict[str, Any]
    metric: Metric


@runtime_checkable
class AlternativesMetric(Protocol):
    """A metric that is also reported with other settings."""

    def alternatives(self) -> Sequence[Alternative]:
        """Return the other settings, in the order in which they are reported."""
        ...


@runtime_checkable
class CountingMetric(Protocol):
    """A metric whose `counts` block is not the sums of its statistics."""

    def counts(self, samples: Sequence[JudgedSample]) -> dict[str, int | float]:
        """Return the numbers behind the quantities."""
        ...


@runtime_checkable
class FittedMetric(Protocol):
    """A metric with quantities that are no function of summed statistics, and bring their own intervals."""

    fitted_quantities: tuple[Quantity, ...]

    def fit(self, samples: Sequence[JudgedSample]) -> dict[str, Estimate]:
        """Return each of `fitted_quantities`; intervals have the level of all others."""
        ...


@runtime_checkable
class DetailedMetric(Protocol):
    """A metric with more to tell than numbers: `<family>.json` of the run folder."""

    def detail(
        self, samples: Sequence[JudgedSample], *, signature: str, seed: int, resamples: int
    ) -> "Detail":
        """Return what stands in the file."""
        ...


class Detail(Protocol):
    """The content of a metric's file."""

    def to_json(self) -> str:
        """Return the file's text."""
        ...


def ratio(numerator: ArrayLike, denominator: ArrayLike) -> FloatArray:
    """Return `numerator / denominator` elementwise, NaN where the denominator is zero."""
    top, bottom = np.broadcast_arrays(np.asarray(numerator, float), np.asarray(denominator, float))
    result = np.full(top.shape, np.nan)
    np.divide(top, bottom, out=result, where=bottom != 0)
    return result
