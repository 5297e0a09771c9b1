"""Prediction-powered inference: rates by an annotator's truth, corrected on a labelled part.

With the statistics of every cluster (image) under the annotator's truth, s', and under the true one, s, for the
clusters of the labelled part, the mean statistics are

    m(λ) = mean_labelled(s) + λ · (mean_unlabelled(s') - mean_labelled(s')),

and a quantity is a function f of them (Angelopoulos et al., Science 2023, for λ = 1; the weight λ is that of PPI++,
Angelopoulos, Duchi & Zrnic 2023). Quantities are ratios, so their variance is that of the linear part, by the delta
method: with the gradient g of f at m(λ),

    var f = var_labelled(g·(s - λ s')) / n + λ² var_unlabelled(g·s') / N,
    λ = cov_labelled(g·s, g·s') / ((1 + n/N) var(g·s')), from 0 to 1.

At λ = 0 the annotator has no part in the result. A statistic that does not depend on the truth has s = s', and the
estimate is then the mean over all clusters.
"""

from dataclasses import dataclass

import numpy as np

from eidolon.scorers.core.metric import FloatArray
from eidolon.scorers.statistics.bootstrap import LEVEL, Compute

STEP = 1e-4
"""Relative step of the central differences for the gradient."""
ROUNDS = 3
"""Rounds in which weight and gradient follow each other."""


@dataclass(frozen=True, slots=True)
class Powered:
    """A prediction-powered estimate."""

    value: float
    low: float
    high: float
    """NaN where the quantity or its gradient is undefined."""
    weight: float
    """λ: what the annotator's truth counts."""
    differing: int
    """Labelled clusters whose share in the quantity is another under the annotator's truth."""


def prediction_powered(
    true: FloatArray,
    predicted: FloatArray,
    elsewhere: FloatArray,
    compute: Compute,
    *,
    level: float = LEVEL,
    weight: float | None = None,
) -> dict[str, Powered]:
    """Return each quantity of `compute` with its interval.

    `true` and `predicted` (n, k) are the statistics of the labelled clusters under the true truth and under the
    annotator's, `elsewhere` (N, k) those of the other clusters under the annotator's. `weight` is λ, by default the
    best for each quantity. The interval is that of Student's t with the degrees of freedom of Welch & Satterthwaite.

    Raises:
        ValueError: there are fewer than two labelled or two other clusters.
    """
    if len(true) != len(predicted):
        raise ValueError(
            f"{len(true)} labelled clusters under one truth and {len(predicted)} under the other"
        )
    if len(true) < 2 or len(elsewhere) < 2:
        raise ValueError("it takes at least two labelled clusters, and two others")
    names = list(compute(true.mean(axis=0)))
    return {name: _one(true, predicted, elsewhere, compute, name, level, weight) for name in names}


def _one(
    true: FloatArray,
    predicted: FloatArray,
    elsewhere: FloatArray,
    compute: Compute,
    name: str,
    level: float,
    given: float | None,
) -> Powered:
    from scipy.special import stdtrit

    n, others = len(true), len(elsewhere)
    shift = elsewhere.mean(axis=0) - predicted.mean(axis=0)
    best = 0.0 if given is None else given
    at = true.mean(axis=0) + best * shift
    slope = gradient(compute, name, at)
    for _ in range(ROUNDS if given is None else 0):
        a, b, c = (statistics @ slope for statistics in (true, predicted, elsewhere))
        spread = float(np.var(np.concatenate([b, c]), ddof=1))
        best = float(np.cov(a, b)[0, 1]) / ((1 + n / others) * spread) if spread > 0 else 0.0
        best = min(1.0, max(0.0, best)) if np.isfinite(best) else 0.0
        if not _differing(a, b):
            best = others / (n + others)  # the mean over all clusters
        at = true.mean(axis=0) + best * shift
        slope = gradient(compute, name, at)
    a, b, c = (statistics @ slope for statistics in (true, predicted, elsewhere))
    value = float(compute(at)[name])
    parts = np.array([np.var(a - best * b, ddof=1) / n, best**2 * np.var(c, ddof=1) / others])
    variance = float(parts.sum())
    if variance > 0:
        freedom = variance**2 / float((parts**2 / np.array([n - 1, others - 1])).sum())
        reach = float(stdtrit(freedom, (1 + level) / 2)) * variance**0.5
    else:
        reach = 0.0 if variance == 0 else float("nan")
    return Powered(value, value - reach, value + reach, best, _differing(a, b))


def _differing(a: FloatArray, b: FloatArray) -> int:
    """Return how many values differ by more than the rounding of a numerical gradient."""
    scale = float(np.abs(a).max(initial=0.0)) or 1.0
    return int((np.abs(a - b) > 1e-9 * scale).sum())


def gradient(compute: Compute, name: str, at: FloatArray) -> FloatArray:
    """Return the gradient of a quantity at mean statistics (k,), by central differences."""
    steps = STEP * np.maximum(np.abs(at), float(np.abs(at).max(initial=0.0)) * 1e-2)
    steps = np.where(steps > 0, steps, STEP)
    moved = np.diag(steps)
    upper, lower = compute(at + moved)[name], compute(at - moved)[name]
    return np.asarray((upper - lower) / (2 * steps), dtype=float)
