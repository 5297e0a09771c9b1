"""Pareto fronts: which points no other point beats in every objective."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray


def is_dominated(costs: ArrayLike) -> NDArray[np.bool_]:
    """Return for each row of `costs`, (points, objectives), whether another row is nowhere larger and once smaller.

    Equal rows do not dominate each other.
    """
    rows = np.asarray(costs, float)
    nowhere_larger = (rows[:, None] <= rows[None]).all(-1)
    once_smaller = (rows[:, None] < rows[None]).any(-1)
    return np.asarray((nowhere_larger & once_smaller).any(0), np.bool_)


def front_ranks(costs: ArrayLike) -> NDArray[np.int64]:
    """Return the front of each row: 0 for the Pareto front, 1 for the front without those of 0, and so on.

    It is the non-dominated sorting of NSGA-II (Deb et al. 2002).
    """
    rows = np.asarray(costs, float)
    ranks = np.full(len(rows), -1)
    rank = 0
    while (ranks < 0).any():
        left = np.flatnonzero(ranks < 0)
        ranks[left[~is_dominated(rows[left])]] = rank
        rank += 1
    return ranks


def spread(values: Sequence[float], count: int) -> list[int]:
    """Return the indices of at most `count` values, the smallest and the largest among them, evenly by order."""
    order = np.argsort(np.asarray(values, float), kind="stable")
    chosen = np.unique(np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int))
    return [int(order[place]) for place in chosen]
