"""Clusters of names: a projection learned on known groups, and the distance that separates them best.

After ADVIN (Vedula et al., arXiv 2006.01208), in our own reading: the pair loss is y·d² + (1 - y)·max(0, m - d)², the
clustering is average-link, and its threshold is the one of the largest pairwise F1 on what is known. No number of
clusters is given.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from eidolon.scorers.core.metric import FloatArray

MARGIN: Final = 1.0
STEPS: Final = 150
RATE: Final = 0.2
THRESHOLDS: Final = 200
"""Thresholds that are tried at most."""
ROUNDING: Final = 1e-6
"""Points that are nearer than this are the same one."""

IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Grouping:
    """What was learned from known groups."""

    projection: FloatArray
    """Shape (d, d)."""
    threshold: float
    """Average-link distance at which clusters stay apart."""
    f1: float
    """Pairwise F1 of the known names at that threshold."""

    def group(self, vectors: FloatArray) -> IntArray:
        """Return the cluster of each vector, numbered from 0."""
        return cut(vectors @ self.projection, self.threshold)


def learn_grouping(vectors: FloatArray, groups: Sequence[int], *, project: bool = True) -> Grouping:
    """Return the projection and the threshold that fit known groups; without `project` the threshold alone.

    Raises:
        ValueError: there are fewer than two groups.
    """
    known = np.asarray(groups, dtype=np.int64)
    if len(np.unique(known)) < 2:
        raise ValueError("there are fewer than two groups: nothing can be learned about how groups differ")
    projection = fit_projection(vectors, known) if project else np.eye(vectors.shape[1])
    projected = vectors @ projection
    heights = _heights(projected)
    tried = np.quantile(heights, np.linspace(0, 1, min(THRESHOLDS, len(heights))))
    scores = [pairwise_f1(known, cut(projected, float(at))) for at in tried]
    best = int(np.argmax(scores))
    return Grouping(projection, float(tried[best]), scores[best])


def fit_projection(vectors: FloatArray, groups: IntArray) -> FloatArray:
    """Return the projection (d, d) after gradient descent on the pair loss, from the identity.

    Pairs of one group and pairs of two groups have the same total weight.
    """
    size, width = vectors.shape
    same = groups[:, None] == groups[None]
    pairs = ~np.eye(size, dtype=bool)
    weight = np.where(same, 1.0 / max((same & pairs).sum(), 1), 1.0 / max((~same).sum(), 1)) * pairs
    projection = np.eye(width)
    for _ in range(STEPS):
        projection = projection - RATE * pair_gradient(vectors, projection, same, weight)
    return projection


def pair_loss(
    vectors: FloatArray, projection: FloatArray, same: NDArray[np.bool_], weight: FloatArray
) -> float:
    """Return the weighted pair loss."""
    distance = _distances(vectors @ projection)
    return float((weight * np.where(same, distance**2, np.maximum(MARGIN - distance, 0) ** 2)).sum())


def pair_gradient(
    vectors: FloatArray, projection: FloatArray, same: NDArray[np.bool_], weight: FloatArray
) -> FloatArray:
    """Return the gradient of the pair loss by the projection, (d, d)."""
    projected = vectors @ projection
    distance = _distances(projected)
    # The loss changes with a squared distance by 1 for a pair of one group, by (d - m) / d for two that are too near.
    near = np.minimum(distance - MARGIN, 0) / np.maximum(distance, 1e-6)
    slope = weight * np.where(same, 1.0, near)
    # sum_ij s_ij (x_i - x_j)(p_i - p_j)^T = 2 X^T (D - S) P for a symmetric s.
    laplacian = np.diag(slope.sum(axis=1)) - slope
    found: FloatArray = 4 * vectors.T @ laplacian @ projected
    return found


def cut(points: FloatArray, threshold: float) -> IntArray:
    """Return the average-link clusters of points whose distance is at most the threshold, numbered from 0."""
    from scipy.cluster.hierarchy import fcluster, linkage

    if len(points) < 2:
        return np.zeros(len(points), dtype=np.int64)
    return (
        np.asarray(fcluster(linkage(points, "average"), threshold + ROUNDING, "distance"), dtype=np.int64) - 1
    )


def pairwise_f1(truth: IntArray, found: IntArray) -> float:
    """Return F1 over pairs: a pair is right if both groupings put it together. 0 without a right pair."""
    _, rows = np.unique(truth, return_inverse=True)
    _, columns = np.unique(found, return_inverse=True)
    table = np.zeros((rows.max(initial=0) + 1, columns.max(initial=0) + 1))
    np.add.at(table, (rows, columns), 1)

    def pairs(counts: FloatArray) -> float:
        return float((counts * (counts - 1) / 2).sum())

    both = pairs(table)
    total = pairs(table.sum(axis=1)) + pairs(table.sum(axis=0))
    return 2 * both / total if total else 0.0


def _heights(points: FloatArray) -> FloatArray:
    from scipy.cluster.hierarchy import linkage

    found: FloatArray = linkage(points, "average")[:, 2]
    return np.concatenate([[0.0], found])


def _distances(points: FloatArray) -> FloatArray:
    squares = (points**2).sum(axis=1)
    found: FloatArray = np.sqrt(np.maximum(squares[:, None] + squares[None] - 2 * points @ points.T, 0))
    return found
