"""Retention of each variant by condition and length, and the reach of windows."""

from collections.abc import Sequence

import numpy as np

from eidolon.benchmark.study.memory.pools import Analysis, Pool
from eidolon.benchmark.study.memory.records import Reach, ReachCheck, RetentionPoint
from eidolon.models.memory.layout import Memory
from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.core.metric import FloatArray
from eidolon.scorers.retention.measure import SERIES, USABLE, Cell, compute, shares, unusable
from eidolon.scorers.retention.records import CONDITIONS
from eidolon.scorers.statistics.crossed_bootstrap import pooled


def retention_points(
    analysis: Analysis, pool: Pool, trained_tokens: int | None
) -> tuple[RetentionPoint, ...]:
    """Return accuracy and retention of every cell, ordered by condition, series and length."""
    cells = {cell for pairs in pool.pairs for cell in pairs}
    order = sorted(cells, key=lambda cell: (CONDITIONS.index(cell[0]), [*SERIES].index(cell[1]), cell[2]))
    return tuple(_point(analysis, pool, cell, trained_tokens) for cell in order)


def _point(analysis: Analysis, pool: Pool, cell: Cell, trained_tokens: int | None) -> RetentionPoint:
    condition, series, n = cell
    sums = pool.cell(cell)
    images = int((sums[..., 0].sum(axis=0) > 0).sum())
    found = analysis.estimate(pool, sums, compute, shares)
    reason = unusable(found["above_at_0"], images)
    names = ("accuracy", "accuracy_at_0", "margin", "margin_at_0", "yes_rate")
    return RetentionPoint(
        condition=condition,
        series=series,
        n=n,
        images=images,
        questions=int(sums[..., 0].sum()),
        **{name: found[name].estimate() for name in names},
        retention=Estimate.undefined() if reason else found["retention"].estimate(),
        retention_margin=Estimate.undefined() if reason else found["retention_margin"].estimate(),
        reason=reason,
        beyond_training=None if trained_tokens is None else n > trained_tokens,
    )


_AFTER_TEXT = ("accuracy", "margin", "yes_rate", "retention", "retention_margin")


def refuse(points: Sequence[RetentionPoint], reason: str) -> tuple[RetentionPoint, ...]:
    """Return the points without what was measured after the text, which is not reported for this reason."""
    nothing = dict.fromkeys(_AFTER_TEXT, Estimate.undefined())
    return tuple(one.model_copy(update={**nothing, "reason": reason}) for one in points)


def reach_of(memory: Memory) -> int | None:
    """Return how many tokens back the input can affect the output; None without a bound."""
    return len(memory.layout) * (memory.window - 1) if set(memory.layout) == {"SWA"} else None


def check_reach(memory: Memory, points: Sequence[RetentionPoint]) -> Reach | None:
    """Return the reach of windows and the accuracy beyond it; None for memories without a bound."""
    tokens = reach_of(memory)
    if tokens is None:
        return None
    checks = [
        ReachCheck(
            condition=point.condition,
            n=point.n,
            accuracy=point.accuracy,
            at_chance=point.accuracy.ci[0] <= 0.5 <= point.accuracy.ci[1],
        )
        for point in points
        if point.condition != "before"
        and point.series == "unnamed"
        and point.n > tokens
        and point.accuracy.ci is not None
    ]
    return Reach(tokens=tokens, checks=tuple(checks))


def own_retention(sums: FloatArray) -> float | None:
    """Return the retention of one model, from sums (images, 6); None if R(0) is too small."""
    found = compute(pooled(sums[None]))
    return plain(found["retention"]) if found["above_at_0"] > USABLE else None


def plain(value: FloatArray) -> float | None:
    """Return a scalar array as a number; None for NaN."""
    return None if np.isnan(value) else float(value)
