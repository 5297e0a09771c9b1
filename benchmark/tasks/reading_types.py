"""What a metric family of a finished run is read back to: every scored response, and the metric that scored them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from eidolon.scorers.core.metric import Computation, FloatArray
from eidolon.scorers.core.types import ImageId

Key = tuple[str, int]
"""(sample id, generation)."""


class SampleMetric(Computation, Protocol):
    """A metric over samples of any kind."""

    def statistics(self, samples: Sequence[Any]) -> FloatArray:
        """Return sufficient statistics, shape (samples, k)."""
        ...


@dataclass(frozen=True, slots=True)
class ScoredSample:
    """One scored response."""

    image_id: ImageId
    truth: str
    """The question and the truth as a text. Samples with different texts are different samples."""
    sample: Any
    """The metric's input."""
    evidence: Mapping[str, str] = field(default_factory=dict)
    """More about the sample, by name. Two runs can differ only in what both record."""


@dataclass(frozen=True, slots=True)
class CategorySplit:
    """A metric split by category."""

    vocabulary: tuple[str, ...]
    metric: Computation
    statistics: Callable[[Sequence[Any]], FloatArray]


@dataclass(frozen=True, slots=True)
class FamilyReading:
    """One metric family of a run: every scored response, and the metric that scored them."""

    scored: dict[Key, ScoredSample]
    metric: Callable[[Sequence[Any]], SampleMetric]
    """Makes the metric for the samples that it will take."""
    rules: str = ""
    """The metric's settings. Labels can be swapped only between runs with the same ones."""
    categories: CategorySplit | None = None
    answers: tuple[str, ...] = ()
    """Quantities that are shares of right answers to yes/no questions."""
    others: tuple[str, ...] = ()
    """Quantities that do not follow from summed statistics: fitted, or measured by a probe."""
