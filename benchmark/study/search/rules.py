"""Expert rules: what the architectures that recall much have in common. A search finds them; another one starts there.

A rule is a yes-no feature of an architecture and its effect on recall. The features are chosen one by one, each time
the one that explains most of what is left of the variance (forward selection), as long as it explains enough.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from eidolon.benchmark.study.search.space import SearchedLayout
from eidolon.scorers.core.types import Record

MOST = 4
"""Rules at most."""
WORTH = 0.05
"""Share of the variance of recall that a rule must explain."""
SUPPORT = 3
"""Architectures with the feature, and without it, that a rule needs."""
SHARPNESS = 4.0
"""Preference of the prior: an architecture is e^SHARPNESS times as likely as one whose rules promise 1.0 less."""


class LayoutRule(Record):
    """A feature and its effect."""

    feature: str
    """`any GDN`, `first GDN`, `last GDN`, `width 64` or `layers 3`: one that holds for some architectures."""
    effect: float
    """Recall of architectures with the feature minus that of those without, the other rules being equal."""
    explained: float
    """Share of the variance of recall that the rule explains beyond the rules before it."""
    support: int
    """Architectures with the feature, of those that the rules were found from."""

    def holds(self, point: SearchedLayout) -> bool:
        """Return whether an architecture has the feature."""
        return self.feature in features_of(point)


class Rules(Record):
    """The rules of a search."""

    found_from: int = Field(ge=0)
    """Trained architectures."""
    base: float
    """Recall without any of the features."""
    rules: tuple[LayoutRule, ...]

    def promise(self, point: SearchedLayout) -> float:
        """Return the recall that the rules promise; it may be outside [0, 1]."""
        return self.base + sum(rule.effect for rule in self.rules if rule.holds(point))


def features_of(point: SearchedLayout) -> frozenset[str]:
    """Return the features of an architecture."""
    layout = point.layout
    return frozenset(
        [f"any {symbol}" for symbol in layout]
        + [f"first {layout[0]}", f"last {layout[-1]}", f"layers {len(layout)}", f"width {point.width}"]
    )


def find_rules(recalls: Mapping[SearchedLayout, float]) -> Rules:
    """Return the rules of trained architectures and their recalls.

    Raises:
        ValueError: there is no architecture.
    """
    if not recalls:
        raise ValueError("rules need trained architectures")
    points = list(recalls)
    values = np.array(list(recalls.values()), float)
    total = float(((values - values.mean()) ** 2).sum())
    candidates = {
        feature: np.array([feature in features_of(point) for point in points], float)
        for feature in sorted(frozenset().union(*map(features_of, points)))
    }
    candidates = {
        feature: column
        for feature, column in candidates.items()
        if SUPPORT <= column.sum() <= len(points) - SUPPORT
    }
    chosen: dict[str, float] = {}
    solution, left = _regress([], values)
    while len(chosen) < MOST and total > 0:
        tried = {
            feature: _regress([candidates[name] for name in (*chosen, feature)], values)[1]
            for feature in candidates
            if feature not in chosen
        }
        if not tried:
            break
        best = min(tried, key=tried.__getitem__)
        explained = (left - tried[best]) / total
        if explained < WORTH:
            break
        chosen[best] = explained
        solution, left = _regress([candidates[name] for name in chosen], values)
    return Rules(
        found_from=len(points),
        base=round(float(solution[0]), 4),
        rules=tuple(
            LayoutRule(
                feature=name,
                effect=round(float(effect), 4),
                explained=round(explained, 4),
                support=int(candidates[name].sum()),
            )
            for (name, explained), effect in zip(chosen.items(), solution[1:], strict=True)
        ),
    )


def _regress(
    columns: Sequence[NDArray[np.float64]], values: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """Return constant and effects of a linear regression, and the squared error that is left."""
    rows = np.column_stack([np.ones(len(values)), *columns])
    solution = np.asarray(np.linalg.lstsq(rows, values, rcond=None)[0], np.float64)
    return solution, float(((values - rows @ solution) ** 2).sum())


def prior(rules: Rules | None, points: Sequence[SearchedLayout]) -> dict[SearchedLayout, float]:
    """Return the probability of each point at the start of a search; without rules all are equal."""
    if rules is None:
        return dict.fromkeys(points, 1 / len(points))
    promised = np.array([rules.promise(point) for point in points])
    weights = np.exp(SHARPNESS * (np.clip(promised, 0, 1) - 1))
    return dict(zip(points, (weights / weights.sum()).tolist(), strict=True))
