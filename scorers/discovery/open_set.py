"""Known or unknown: an open-set classifier of mentions, the first stage of ADVIN (Vedula et al., arXiv 2006.01208).

Nouns of known categories are trained against other nouns that WordNet has, as proxies for unknown ones. A mention's
features are cosines with what is nearest: of its noun with known nouns and with proxies, and of its context with the
mean contexts of known nouns and of proxies. A noun is never compared with itself, nor judged by a classifier that saw
it as a proxy.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from scipy.special import expit

from eidolon.scorers.core.metric import FloatArray
from eidolon.scorers.discovery.clusters import IntArray
from eidolon.scorers.discovery.contexts import NounVectors, unit

RIDGE: Final = 1.0
"""Strength of the penalty on squared weights, in units of examples, for features of variance 1."""
STEPS: Final = 50
FOLDS: Final = 5
LEAST: Final = FOLDS
"""Known nouns and proxies; with fewer of either there is no classifier."""

Evidence = Literal["cosine", "nouns", "mentions"]
"""What the classifier sees: the nearest known noun; also the nearest proxy; also the contexts of mentions."""
_FEATURES: Final[dict[Evidence, int]] = {"cosine": 1, "nouns": 2, "mentions": 4}


@dataclass(frozen=True, slots=True)
class NounMentions:
    """Nouns, each with some of its mentions."""

    nouns: FloatArray
    """Shape (n, d)."""
    noun: IntArray
    """The row of each mention's noun, shape (m,). Every noun has a mention."""
    contexts: FloatArray
    """Shape (m, e)."""

    @classmethod
    def of(cls, found: NounVectors, rows: Sequence[int]) -> "NounMentions":
        """Return the nouns of these rows with their mentions."""
        place = np.full(len(found.nouns), -1)
        place[list(rows)] = np.arange(len(rows))
        noun = place[found.contexts.noun]
        return cls(found.vectors[list(rows)], noun[noun >= 0], found.contexts.vectors[noun >= 0])

    def means(self, values: FloatArray) -> FloatArray:
        """Return each noun's mean over its mentions of values (m, …)."""
        total = np.zeros((len(self.nouns), *values.shape[1:]))
        np.add.at(total, self.noun, values)
        counts = np.bincount(self.noun, minlength=len(self.nouns))
        found: FloatArray = (total.T / counts).T
        return found


@dataclass(frozen=True, slots=True)
class OpenSet:
    """A trained classifier."""

    evidence: Evidence
    known: NounMentions
    proxies: NounMentions
    mean: FloatArray
    scale: FloatArray
    weights: FloatArray
    """The last is the intercept."""

    def of_mentions(self, asked: NounMentions) -> FloatArray:
        """Return how likely each mention is of a known category, shape (m,), if half of all nouns were."""
        rows = (_features(self.evidence, asked, self.known, self.proxies) - self.mean) / self.scale
        found: FloatArray = expit(rows @ self.weights[:-1] + self.weights[-1])
        return found

    def of_nouns(self, asked: NounMentions) -> FloatArray:
        """Return each noun's mean over its mentions, shape (n,)."""
        return asked.means(self.of_mentions(asked))


def fit_open_set(known: NounMentions, proxies: NounMentions, evidence: Evidence) -> OpenSet:
    """Return the classifier of known nouns against proxies.

    Both sides have the same total weight, and on a side each noun has the same.
    """
    rows = np.concatenate(
        [
            _features(evidence, known, known, proxies, itself=0),
            _features(evidence, proxies, known, proxies, itself=1),
        ]
    )
    share = np.concatenate([1 / np.bincount(side.noun)[side.noun] for side in (known, proxies)])
    mean = np.average(rows, axis=0, weights=share)
    scale = np.sqrt(np.average((rows - mean) ** 2, axis=0, weights=share))
    scale = np.where(scale > 0, scale, 1.0)
    x = np.column_stack([(rows - mean) / scale, np.ones(len(rows))])
    y = np.repeat([1.0, 0.0], [len(known.noun), len(proxies.noun)])
    total = len(known.nouns) + len(proxies.nouns)
    weight = share * np.where(y > 0, total / (2 * len(known.nouns)), total / (2 * len(proxies.nouns)))
    return OpenSet(evidence, known, proxies, mean, scale, fit_logistic(x, y, weight))


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
    found: NounVectors, known: Sequence[int], unknown: Sequence[int], evidence: Evidence
) -> list[float | None]:
    """Return for each unknown noun how likely it is of a known category, by a classifier that did not see it.

    `known` and `unknown` are rows of `found`; the unknown ones are each other's proxies, in `FOLDS` parts. None for
    all where there is too little to learn from.
    """
    if len(known) < LEAST or len(unknown) < 2 * LEAST:
        return [None] * len(unknown)
    chances: list[float | None] = [None] * len(unknown)
    for fold in range(FOLDS):
        asked = range(fold, len(unknown), FOLDS)
        proxies = [row for i, row in enumerate(unknown) if i % FOLDS != fold]
        model = fit_open_set(NounMentions.of(found, known), NounMentions.of(found, proxies), evidence)
        values = model.of_nouns(NounMentions.of(found, [unknown[i] for i in asked]))
        for i, value in zip(asked, values.tolist(), strict=True):
            chances[i] = round(value, 4)
    return chances


def _features(
    evidence: Evidence,
    asked: NounMentions,
    known: NounMentions,
    proxies: NounMentions,
    itself: int | None = None,
) -> FloatArray:
    """Return the cosines of each mention (m, 1, 2 or 4). `itself` says which of the two sets is asked about: 0 or 1."""
    near = []
    for number, others in enumerate((known, proxies)):
        cosine = unit(asked.nouns) @ unit(others.nouns).T
        if itself == number:
            np.fill_diagonal(cosine, -1.0)
        near.append(cosine.max(axis=1)[asked.noun])
    if evidence == "mentions":
        for number, others in enumerate((known, proxies)):
            cosine = unit(asked.contexts) @ unit(others.means(others.contexts)).T
            if itself == number:
                cosine[np.arange(len(cosine)), asked.noun] = -1.0
            near.append(cosine.max(axis=1))
    return np.column_stack(near[: _FEATURES[evidence]])
