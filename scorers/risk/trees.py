"""Boosted trees in NumPy: the risk of a mention before anything is known of the model that wrote it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from eidolon.scorers.core.metric import FloatArray
from eidolon.scorers.risk.described import PLACE_FEATURES, Described, IntArray, places

PRIOR_WEIGHT: Final = 5.0
"""Mentions at the mean rate that are added to each category's in its prior."""


@dataclass(frozen=True, slots=True)
class Trees:
    """Gradient-boosted regression trees (Friedman 2001) on log-odds, all nodes in one table of k rows.

    A row goes left where its feature is at most the threshold. A leaf is its own left and right.
    """

    feature: IntArray
    threshold: FloatArray
    left: IntArray
    right: IntArray
    value: FloatArray
    roots: IntArray
    """The first node of each tree."""
    depth: int
    """Steps from a root that reach every leaf."""
    start: float
    """Log-odds before the first tree."""
    prior: FloatArray
    """Log-odds of each category in training, shape (vocabulary,)."""

    def logits(self, one: Described) -> FloatArray:
        """Return the log-odds that each mention is not in the picture, shape (m,)."""
        return self.of_rows(tree_features(one, self.prior))

    def of_rows(self, rows: FloatArray) -> FloatArray:
        """Return the log-odds of rows of features, shape (m,)."""
        node = np.broadcast_to(self.roots, (len(rows), len(self.roots)))
        at = np.arange(len(rows))[:, None]
        for _ in range(self.depth):
            node = np.where(
                rows[at, self.feature[node]] <= self.threshold[node], self.left[node], self.right[node]
            )
        found: FloatArray = self.start + self.value[node].sum(axis=1)
        return found


def tree_features(one: Described, prior: FloatArray) -> FloatArray:
    """Return the features of the mentions, shape (m, PLACE_FEATURES + 1 + vocabulary).

    They are the place, the category's log-odds, and for each category whether it was named before.
    """
    m = len(one.categories)
    named = np.zeros((m, len(prior)))
    named[np.arange(m), one.categories] = 1
    before = np.cumsum(named, axis=0) - named
    return np.concatenate([places(one), prior[one.categories][:, None], before], axis=1)


def category_prior(described: Sequence[Described], vocabulary: int) -> FloatArray:
    """Return the log-odds that a mention of each category is wrong, pulled to the mean rate where there are few."""
    wrong, counts = np.zeros(vocabulary), np.zeros(vocabulary)
    for one in described:
        np.add.at(wrong, one.categories[one.known], one.wrong[one.known])
        np.add.at(counts, one.categories[one.known], 1.0)
    mean = np.clip(wrong.sum() / max(counts.sum(), 1.0), 1e-3, 1 - 1e-3)
    share = (wrong + PRIOR_WEIGHT * mean) / (counts + PRIOR_WEIGHT)
    found: FloatArray = np.log(share / (1 - share))
    return found


FEATURES_BEFORE: Final = PLACE_FEATURES + 1
"""Features in front of those of the categories named before."""
