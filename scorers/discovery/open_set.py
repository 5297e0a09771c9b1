"""Known or unknown: an open-set classifier of nouns, the first stage of ADVIN (Vedula et al., arXiv 2006.01208).

Nouns of known categories are trained against other nouns that WordNet has, as proxies for unknown ones. The features
of a noun are its cosines with the nearest known noun and the nearest proxy. A noun is never compared with itself, nor
judged by a classifier that saw it as a proxy.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import expit

from eidolon.scorers.core.metric import FloatArray

RIDGE: Final = 1.0
"""Strength of the penalty on squared weights, in units of examples, for features of variance 1."""
STEPS: Final = 50
FOLDS: Final = 5
LEAST: Final = FOLDS
"""Known nouns and proxies; with fewer of either there is no classifier."""


@dataclass(frozen=True, slots=True)
class OpenSet:
    """A trained classifier."""

    known: FloatArray
    proxies: FloatArray
    mean: FloatArray
    scale: FloatArray
    weights: FloatArray
    """The last is the intercept."""

    def probabilities(self, vectors: FloatArray) -> FloatArray:
        """Return how likely each vector (n, d) is of a known category, shape (n,), if half of all were."""
        rows = (_features(vectors, self.known, self.proxies) - self.mean) / self.scale
        found: FloatArray = expit(rows @ self.weights[:-1] + self.weights[-1])
        return found


def fit_open_set(known: FloatArray, proxies: FloatArray) -> OpenSet:
    """Return the classifier of known nouns (n, d) against proxies (m, d); both sides have the same total weight."""
    rows = np.concatenate(
        [
            _features(known, known, proxies, itself=0),
            _features(proxies, known, proxies, itself=1),
        ]
    )
    mean, scale = rows.mean(axis=0), rows.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    x = np.column_stack([(rows - mean) / scale, np.ones(len(rows))])
    y = np.repeat([1.0, 0.0], [len(known), len(proxies)])
    weight = np.where(y > 0, len(y) / (2 * len(known)), len(y) / (2 * len(proxies)))
    return OpenSet(known, proxies, mean, scale, fit_logistic(x, y, weight))


def fit_logistic(x: FloatArray, y: FloatArray, weight: FloatArray) -> FloatArray:
    """Return the weights (d,) of a weighted logistic regression by Newton's method; the last has no penalty."""
    penalty = np.full(x.shape[1], RIDGE)
    penalty[-1] = 1e-6
    found = np.zeros(x.shape[1])
    for _ in range(STEPS):
        p = expit(x @ found)
        gradient = x.T @ (weight * (p - y)) + penalty * found
        step = np.linalg.solve((x * (weight * p * (1 - p))[:, None]).T @ x + np.diag(penalty), gradient)
        found = found - step
        if np.abs(step).max() < 1e-9:
            break
    return found


def known_probabilities(
    vectors: FloatArray, known: Sequence[int], unknown: Sequence[int]
) -> list[float | None]:
    """Return for each unknown noun how likely it is of a known category, by a classifier that did not see it.

    `known` and `unknown` are rows of `vectors`; the unknown ones are each other's proxies, in `FOLDS` parts. None for
    all where there is too little to learn from.
    """
    if len(known) < LEAST or len(unknown) < 2 * LEAST:
        return [None] * len(unknown)
    found: list[float | None] = [None] * len(unknown)
    for fold in range(FOLDS):
        asked = range(fold, len(unknown), FOLDS)
        proxies = [row for i, row in enumerate(unknown) if i % FOLDS != fold]
        model = fit_open_set(vectors[list(known)], vectors[proxies])
        values = model.probabilities(vectors[[unknown[i] for i in asked]])
        for i, value in zip(asked, values.tolist(), strict=True):
            found[i] = round(value, 4)
    return found


def _features(
    vectors: FloatArray, known: FloatArray, proxies: FloatArray, itself: int | None = None
) -> FloatArray:
    """Return the cosines (n, 2). `itself` says which of the two sets the vectors are: 0 or 1."""
    near = []
    for number, others in enumerate((known, proxies)):
        cosine = _unit(vectors) @ _unit(others).T
        if itself == number:
            np.fill_diagonal(cosine, -1.0)
        near.append(cosine.max(axis=1))
    return np.column_stack(near)


def _unit(vectors: FloatArray) -> FloatArray:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    found: FloatArray = vectors / np.where(length > 0, length, 1.0)
    return found
