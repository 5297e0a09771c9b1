"""What a metric is: per-sample sufficient statistics, and a function from their sum to the values.

The split makes every resample, subset and pooled score a matrix product away (the design of sacrebleu).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from eidolon.scorers.types import Judgement, Response

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Quantity:
    """One named number of a metric family: `chair_i` of `chair`."""

    name: str
    higher_is_better: bool | None
    bounds: tuple[float, float]
    description: str


@dataclass(frozen=True, slots=True)
class JudgedSample:
    """A scored response with its truth. Unscored responses never reach a metric."""

    response: Response
    judgement: Judgement
    objects: frozenset[str]


class Metric(Protocol):
    """A family of numbers over judged samples."""

    family: str
    quantities: tuple[Quantity, ...]

    def statistics(self, samples: Sequence[JudgedSample]) -> FloatArray:
        """Return sufficient statistics, shape (samples, k), additive over samples."""
        ...

    def compute(self, totals: FloatArray) -> dict[str, FloatArray]:
        """Map summed statistics (..., k) to one array (...) a quantity; NaN where it is undefined."""
        ...
