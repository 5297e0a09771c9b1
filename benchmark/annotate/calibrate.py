"""From scores to present, absent and unsure: a calibration and a cut, both chosen on labelled cells.

A cell is a pair of an image and a name.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from eidolon.benchmark.data.annotation_file import Cut, Platt
from eidolon.scorers.core.metric import FloatArray

BoolArray = NDArray[np.bool_]

PRIOR = 1.0
"""Weight of the ridge on a name's offset: as much as some labelled images of that name."""
STEPS = 50
DIGITS = 6


def fit(scores: FloatArray, truth: BoolArray, names: Sequence[str]) -> Platt:
    """Return the calibration of scores (images, names) by their truth (images, names).

    It is a logistic regression on all cells with one slope, at least 0, and an offset for each name that a ridge draws
    to the common one (Platt 1999, with names as random effects). Newton's method.
    """
    images, count = scores.shape
    middle, spread = float(scores.mean()), float(scores.std()) or 1.0
    x = ((scores - middle) / spread).ravel()
    y = truth.ravel().astype(float)
    design = np.zeros((x.size, 2 + count))
    design[:, 0], design[:, 1] = x, 1.0
    design[np.arange(x.size), 2 + np.tile(np.arange(count), images)] = 1.0
    ridge = np.full(2 + count, PRIOR)
    ridge[:2] = 1e-2  # keeps the fit finite where the cells separate
    weights = np.zeros(2 + count)
    for _ in range(STEPS):
        p = _sigmoid(design @ weights)
        slope = design.T @ (y - p) - ridge * weights
        curvature = (design * (p * (1 - p))[:, None]).T @ design + np.diag(ridge)
        step = np.linalg.solve(curvature, slope)
        weights = weights + step * min(1.0, 5.0 / max(float(np.abs(step).max()), 1e-12))
        if np.abs(step).max() < 1e-10:
            break
    rate = max(0.0, float(weights[0])) / spread
    offsets = weights[1] + weights[2:] - rate * middle
    return Platt(
        slope=round(rate, DIGITS),
        offsets={name: round(float(offset), DIGITS) for name, offset in zip(names, offsets, strict=True)},
    )


def probabilities(scores: FloatArray, calibration: Platt | None, names: Sequence[str]) -> FloatArray:
    """Return the probability of each cell, shape (images, names), rounded as the file holds it."""
    if calibration is None:
        return np.round(_sigmoid(scores), DIGITS)
    offsets = np.array([calibration.offsets[name] for name in names])
    return np.round(_sigmoid(calibration.slope * scores + offsets), DIGITS)


def choose_cut(found: FloatArray, truth: BoolArray, sure: float) -> Cut:
    """Return the cut of probabilities (images, names) by their truth.

    First the probability with the largest F1. `high` is the smallest from there on, from which at least the share
    `sure` of the cells is truly present. `low` is the largest up to there, below which at most the share 1 - `sure` of
    the truly present cells lies.
    """
    rule = f"labelled: precision and recall of at least {sure:g}, around the largest F1"
    p, there = found.ravel(), truth.ravel()
    order = np.argsort(-p, kind="stable")
    ranked, hits = p[order], np.cumsum(there[order])
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    cuts = ranked[last]  # from each of these on, all cells of the same probability are present
    hits, chosen, present = hits[last], last + 1, int(there.sum())
    if not present:
        return Cut(rule=rule, high=None, low=float(cuts[-1]))
    best = int(np.argmax(2 * hits / (chosen + present)))
    precise = np.flatnonzero(hits[: best + 1] >= sure * chosen[: best + 1])
    high = float(cuts[precise[-1]]) if len(precise) else None
    complete = np.flatnonzero((hits >= sure * present) & (np.arange(len(cuts)) >= best))
    low = float(cuts[complete[0]])
    return Cut(rule=rule, high=high, low=min(low, high) if high is not None else low)


def fixed_cut(low: float, high: float, rule: str) -> Cut:
    """Return a cut that is not chosen on a labelled part."""
    return Cut(rule=rule, high=high, low=low)


def decide(found: FloatArray, cut: Cut) -> tuple[BoolArray, BoolArray]:
    """Return which cells are present, and which unsure, each (images, names)."""
    present = np.zeros(found.shape, dtype=bool) if cut.high is None else found >= cut.high
    return present, ~present & (found >= cut.low)


def _sigmoid(x: FloatArray) -> FloatArray:
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -500, 500))))
