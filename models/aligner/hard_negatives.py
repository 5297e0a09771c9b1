"""Finds the hard negative classes of names, two ways (Hubenthal & Kumar, WACV 2023; and the authors' article)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from eidolon.scorers.text.name_similarity import name_distance, name_similarity

LEAST_CONFUSED, MOST_CONFUSED = 0.05, 0.35
"""Shares of a class's samples that a first model gives to another class. Above, the labels are doubtful."""
LEAST_DISTANCE = 3
"""Smallest edit distance of a hard negative's name: names closer than this may be spellings of one brand."""
LEAST_SIMILARITY = 0.75


def confused_classes(confusion: NDArray[np.float64], names: Sequence[str]) -> NDArray[np.bool_]:
    """Return the hard negatives of each class, bool (classes, classes), by the confusions of a first model.

    `confusion` counts samples: row is the true class, column the predicted one. A class without samples has none.
    """
    totals = confusion.sum(1, keepdims=True)
    shares = np.divide(confusion, totals, out=np.zeros_like(confusion, dtype=float), where=totals > 0)
    hard: NDArray[np.bool_] = (shares >= LEAST_CONFUSED) & (shares <= MOST_CONFUSED)
    np.fill_diagonal(hard, False)
    for i, j in zip(*np.nonzero(hard), strict=True):
        hard[i, j] = name_distance(names[i], names[j]) >= LEAST_DISTANCE
    return hard


def similar_names(names: Sequence[str], least: float = LEAST_SIMILARITY) -> NDArray[np.bool_]:
    """Return the hard negatives of each class, bool (classes, classes), by the similarity of their names."""
    hard = np.zeros((len(names), len(names)), dtype=np.bool_)
    for i, one in enumerate(names):
        for j in range(i):
            hard[i, j] = hard[j, i] = name_similarity(one, names[j]) >= least
    return hard
