"""What a metric is, and what it may offer beyond the minimum.

A metric is a table of sufficient statistics, one row for each sample, and a function from their sum to the values. So
every resample, subset and pooled score is one matrix product (the design of sacrebleu).

`Metric` is the minimum. Each runtime-checkable protocol is optional: a metric offers it by having its members. A
third-party metric is registered with an entry point in the group `eidolon.metrics`: a class without required
parameters, or a `JudgeMetricFactory`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.core.judge import Judge
from eidolon.scorers.core.types import Judgement, Response

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Quantity:
    """One named number of a metric family: `chair_i` of `chair`."""

    name: str
    higher_is_better: bool | None
    bounds: tuple[float, float]
    description: str
    undefined: str = "its denominator is zero"
    """Why the value is undefined, if it is: the reason beside a null in `scores.json`."""


@dataclass(frozen=True, slots=True)
class Sources:
    """The ground truth of one image by source. The two sources did not see each other."""

    annotated: frozenset[str]
    """The objects that annotators marked, for example with a box."""
    captioned: frozenset[str]
    """The objects that a reference caption names."""


@dataclass(frozen=True, slots=True)
class Depiction:
    """How a true object is shown: what attribute and relation claims are compared with."""

    boxes: tuple[tuple[float, float, float, float], ...] = ()
    """(x0, y0, x1, y1) of every instance, as shares of the image's sides; empty if they are unknown."""
    colour: str | None = None
    """None if it is unknown."""

    @property
    def centre(self) -> tuple[float, float]:
        """The mean centre of the instances."""
        xs = [(x0 + x1) / 2 for x0, _, x1, _ in self.boxes]
        ys = [(y0 + y1) / 2 for _, y0, _, y1 in self.boxes]
        return sum(xs) / len(xs), sum(ys) / len(ys)


@dataclass(frozen=True, slots=True)
class JudgedSample:
    """A scored response with its ground truth. Unscored responses never reach a metric."""

    response: Response
    judgement: Judgement
    objects: frozenset[str]
    """The true objects of the image."""
    areas: Mapping[str, float] = field(default_factory=dict)
    """For some or all true objects, the share of the image that the largest instance covers."""
    sources: "Sources | None" = None
    """The true objects by source. None if reference captions added nothing to the ground truth."""
    depicted: Mapping[str, Depiction] = field(default_factory=dict)
    """How true objects are shown, if a metric needs it and the dataset has it."""


class Computation(Protocol):
    """Named quantities as functions of summed statistics. The samples may be of any kind."""

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        """The quantities, in the order in which they are reported."""
        ...

    @property
    def columns(self) -> tuple[str, ...]:
        """A name for each of the k statistics; their sums are the `counts` block of `scores.json`."""
        ...

    def compute(self, totals: FloatArray) -> dict[str, FloatArray]:
        """Map summed statistics (..., k) to one array (...) for each quantity; NaN where it is undefined."""
        ...


class Metric(Protocol):
    """A family of numbers over judged samples. Everything below it is optional."""

    family: str
    """The metric's name: of its entry in the registry, of `--metric`, and of its block in `scores.json`."""
    quantities: tuple[Quantity, ...]
    """The quantities, in the order in which they are reported."""
    columns: tuple[str, ...]
    """A name for each of the k statistics; their sums are the `counts` block of `scores.json`."""

    def statistics(self, samples: Sequence[JudgedSample]) -> FloatArray:
        """Return sufficient statistics, shape (samples, k), finite and additive over samples."""
        ...

    def compute(self, totals: FloatArray) -> dict[str, FloatArray]:
        """Map summed statistics (..., k) to one array (...) for each quantity; NaN where it is undefined."""
        ...


@dataclass(frozen=True, slots=True)
class Share:
    """Counted events among trials: a quantity that is a share of something counted. Arrays of one shape."""

    events: FloatArray
    trials: FloatArray
    unit: FloatArray | float = 1.0
    """The quantity is the share times this."""

    @classmethod
    def per_100_words(cls, wrong: FloatArray, named: FloatArray, words: FloatArray) -> "Share":
        """Return the wrong mentions per 100 words as a share of the mentions, or of the words where nothing is named.

        A word is no trial of its own: words of one image are far from independent.
        """
        trials = np.where(named > 0, named, words)
        return cls(wrong, trials, np.where(trials > 0, 100 * ratio(trials, words), 100.0))


@dataclass(frozen=True, slots=True)
class Bounded:
    """A quantity between 0 and 1 that is no share of counted events, such as a mean of similarities or an F score."""


@runtime_checkable
class ShareMetric(Protocol):
    """A metric that declares which of its quantities are shares of counted events.

    Such a quantity has an exact interval where events, or the other outcomes, are few.
    """

    def shares(self, totals: FloatArray) -> Mapping[str, Share]:
        """Map summed statistics (..., k) to the events and trials of quantities, each (...)."""
        ...


@runtime_checkable
class JudgeMetricFactory(Protocol):
    """A metric class whose metric is made for the judge that it counts."""

    needs_judge: bool
    """False if the class can also be called without arguments, as where only a run folder is at hand."""

    def for_judge(self, judge: Judge) -> Metric:
        """Return the metric for a judge.

        Raises:
            UserError: it cannot count this judge.
        """
        ...


@runtime_checkable
class JudgeCheckingMetric(Protocol):
    """A metric that does not fit every judge."""

    def check_judge(self, judge: Judge) -> str | None:
        """Return why the metric cannot use the judge's verdicts, and what to give instead. None if it can."""
        ...


@runtime_checkable
class ReferenceMetric(Protocol):
    """A metric that declares whether every sample needs reference captions. By default none does."""

    needs_references: bool


@runtime_checkable
class DepictionMetric(Protocol):
    """A metric that declares whether it needs to know how objects are shown. By default none does."""

    needs_depictions: bool


@runtime_checkable
class CostlyMetric(Protocol):
    """A metric that `eidolon score` computes by default for a limited number of responses alone."""

    default_responses: int
    """The largest number of responses."""


@runtime_checkable
class RowMetric(Protocol):
    """A metric that declares whether its statistics of a sample depend on that sample alone.

    If they do, `eidolon score` asks for them batch by batch, in several processes, and keeps no samples. By default a
    metric is handed all samples at once.
    """

    row_by_row: bool


@runtime_checkable
class CategoryMetric(Protocol):
    """A metric that can also be computed for each category by itself."""

    def by_category(self, vocabulary: Sequence[str]) -> Metric:
        """Return a metric with the same quantities as arrays (..., categories), in the vocabulary's order.

        Its statistics are category-major, shape (samples, categories · k), where `columns` names the k
        statistics of one category.
        """
        ...


@dataclass(frozen=True, slots=True)
class MetricVariant:
    """The same family with other settings: an entry of `variants` in `scores.json`."""

    label: str
    settings: dict[str, Any]
    metric: Metric


@runtime_checkable
class VariantsMetric(Protocol):
    """A metric that is also reported with other settings."""

    def variants(self) -> Sequence[MetricVariant]:
        """Return the other settings, in the order in which they are reported."""
        ...


@runtime_checkable
class CountingMetric(Protocol):
    """A metric whose `counts` block is not the sums of its statistics."""

    def counts(self, samples: Sequence[JudgedSample]) -> dict[str, int | float]:
        """Return the numbers behind the quantities, by name."""
        ...


@runtime_checkable
class FittedMetric(Protocol):
    """A metric with quantities that are no function of summed statistics. They bring their own intervals."""

    fitted_quantities: tuple[Quantity, ...]

    def fit(self, samples: Sequence[JudgedSample]) -> dict[str, Estimate]:
        """Return each of `fitted_quantities` by name, with a 95 % interval."""
        ...


@runtime_checkable
class DetailedMetric(Protocol):
    """A metric that writes a file of its own to the run folder: `<family>.json`."""

    def detail(
        self, samples: Sequence[JudgedSample], *, signature: str, seed: int, resamples: int
    ) -> "Detail":
        """Return the content of the file."""
        ...


class Detail(Protocol):
    """The content of a metric's file."""

    def to_json(self) -> str:
        """Return the file's text."""
        ...


@dataclass(frozen=True, slots=True)
class LeaderboardColumn:
    """A column of the leaderboard."""

    quantity: str
    """Name of the quantity within its family."""
    heading: str
    decimals: str = ".3f"
    """Format of the number, as of Python's `format`."""
    interval: bool = True
    """Whether the interval stands below the number."""
    at: str | None = None
    """Another quantity of the family, which says where this one was measured: printed behind it as ` at 64`."""


@runtime_checkable
class LeaderboardMetric(Protocol):
    """A metric class that declares its columns of the leaderboard.

    Without it a family has one column, for its first quantity.
    """

    leaderboard_columns: tuple[LeaderboardColumn, ...]


def ratio(numerator: ArrayLike, denominator: ArrayLike) -> FloatArray:
    """Return `numerator / denominator` elementwise, NaN where the denominator is zero."""
    top, bottom = np.broadcast_arrays(np.asarray(numerator, float), np.asarray(denominator, float))
    result = np.full(top.shape, np.nan)
    np.divide(top, bottom, out=result, where=bottom != 0)
    return result
