"""Intervals and tests over the seeds of trained models, by Student's t.

A bootstrap over three seeds rejects a true null in 9 to 15 % of cases instead of 5 %. The t interval has the right
coverage for normal errors, and is wide with few seeds.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from eidolon.scorers.statistics.bootstrap import LEVEL

FEWEST_SEEDS = 5
"""The fewest seeds from which a difference is decided."""
ROUNDING = 1e-12
"""Standard errors and differences up to this are those of equal values."""


@dataclass(frozen=True, slots=True)
class SeedDifference:
    """A mean difference with its 95 % interval and the two-sided p of the same t statistic."""

    value: float
    low: float
    high: float
    p: float


def paired_difference(differences: Sequence[float]) -> SeedDifference | None:
    """Return the mean of differences by seed.

    None with fewer than `FEWEST_SEEDS`, or if they are all equal and not 0: their spread is then unknown.
    """
    values = np.asarray(differences, dtype=float)
    if len(values) < FEWEST_SEEDS:
        return None
    return _by_t(float(values.mean()), float(values.std(ddof=1) / len(values) ** 0.5), len(values) - 1)


def welch_difference(first: Sequence[float], second: Sequence[float]) -> SeedDifference | None:
    """Return the mean of `first` minus that of `second`, whose seeds are independent and may differ in variance.

    The degrees of freedom are Welch's (1947). None with fewer than `FEWEST_SEEDS` in either, or if both have no spread
    and differ.
    """
    groups = [np.asarray(group, dtype=float) for group in (first, second)]
    if min(map(len, groups)) < FEWEST_SEEDS:
        return None
    squares = [group.var(ddof=1) / len(group) for group in groups]
    total = sum(squares)
    below = sum(square**2 / (len(group) - 1) for square, group in zip(squares, groups, strict=True))
    freedom = float(total**2 / below) if below > 0 else float(sum(map(len, groups)) - 2)
    return _by_t(float(groups[0].mean() - groups[1].mean()), float(total**0.5), freedom)


def _by_t(value: float, error: float, freedom: float) -> SeedDifference | None:
    from scipy.special import stdtr, stdtrit

    if error <= ROUNDING:
        return SeedDifference(0.0, 0.0, 0.0, 1.0) if abs(value) <= ROUNDING else None
    reach = float(stdtrit(freedom, (1 + LEVEL) / 2)) * error
    p = 2 * float(stdtr(freedom, -abs(value) / error))
    return SeedDifference(value, value - reach, value + reach, p)
