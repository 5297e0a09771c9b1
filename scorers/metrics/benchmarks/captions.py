"""Benchmarks of long captions: each caption has its values, and the benchmark reports their means over images."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from eidolon.scorers.core.metric import FloatArray, LeaderboardColumn, Quantity, ratio
from eidolon.scorers.core.types import ImageId


@dataclass(frozen=True, slots=True)
class CaptionSample:
    """A scored caption."""

    sample_id: str
    image_id: ImageId
    values: Mapping[str, float | None]
    """By name; None where the value is undefined for this caption."""


class CaptionMeans:
    """Base of the caption benchmarks: the mean of each value over the captions that have it."""

    family: ClassVar[str]
    names: ClassVar[tuple[str, ...]]
    """The values of a caption."""
    quantities: ClassVar[tuple[Quantity, ...]]
    leaderboard_columns: ClassVar[tuple[LeaderboardColumn, ...]]

    @property
    def columns(self) -> tuple[str, ...]:
        """For each value the captions that have it, and its sum."""
        return tuple(column for name in self.names for column in (f"{name}_captions", name))

    def statistics(self, samples: Sequence[CaptionSample]) -> FloatArray:
        """Return the sums named by `columns`, shape (samples, 2 · values)."""
        rows = [
            [part for name in self.names for part in _counted(sample.values.get(name))] for sample in samples
        ]
        return np.array(rows, dtype=float).reshape(len(samples), len(self.columns))

    def compute(self, totals: FloatArray) -> dict[str, FloatArray]:
        """Map totals (..., 2 · values) to the mean of each value, shape (...)."""
        return {name: ratio(totals[..., 2 * i + 1], totals[..., 2 * i]) for i, name in enumerate(self.names)}


def _counted(value: float | None) -> tuple[float, float]:
    return (0.0, 0.0) if value is None else (1.0, value)
