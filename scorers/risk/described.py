"""What the risk of a mention is read from: the objects that a response names, in order, and what was right."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eidolon.scorers.core.metric import FloatArray
from eidolon.scorers.core.types import ImageId, Judgement, Response

PLACE_FEATURES = 5
"""Numbers that say where a mention is."""
TOTALS = 4
"""Numbers about a judged response beside its objects."""
LOG_UNIT = 5.0
"""Logarithms of counts of words are divided by this, so that they are near 1."""

IntArray = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Described:
    """The first mention of each object in a response, in its order."""

    image_id: ImageId
    categories: IntArray
    """Index in the vocabulary of each of the m objects, shape (m,)."""
    words: IntArray
    """Words before each mention, shape (m,)."""
    length: int
    """Words of the response."""
    wrong: FloatArray
    """1 where the object is not in the picture, 0 where it is, NaN where that is unknown. Shape (m,)."""

    @property
    def known(self) -> NDArray[np.bool_]:
        """Whether the truth of each mention is known, shape (m,)."""
        return ~np.isnan(self.wrong)


def describe(response: Response, judgement: Judgement, index: Mapping[str, int]) -> Described:
    """Return the objects of a judged response. `index` maps each category to its number.

    A category counts once, at its first mention. Mentions that the judge ignores have no truth.

    Raises:
        KeyError: a mention is of a category that `index` lacks.
    """
    first: dict[str, tuple[int, float]] = {}
    values = {"hallucinated": 1.0, "grounded": 0.0}
    for mention in sorted(judgement.mentions, key=lambda one: one.start):
        if mention.category not in first:
            wrong = values.get(mention.verdict or "", np.nan)
            first[mention.category] = max(mention.word, 0), wrong
    return Described(
        image_id=response.image_id,
        categories=np.array([index[name] for name in first], dtype=np.int64),
        words=np.array([word for word, _ in first.values()], dtype=np.int64),
        length=len((response.response or "").split()),
        wrong=np.array([wrong for _, wrong in first.values()], dtype=float),
    )


def places(one: Described) -> FloatArray:
    """Return where each mention is, shape (m, PLACE_FEATURES)."""
    rank = np.arange(len(one.words), dtype=float)
    words, length = one.words.astype(float), max(one.length, 1)
    columns = (
        np.log1p(rank),
        np.log1p(words) / LOG_UNIT,
        np.minimum(words / length, 1.0),
        np.full(len(rank), np.log1p(length) / LOG_UNIT),
        (rank == 0).astype(float),
    )
    return np.stack(columns, axis=1).reshape(len(rank), PLACE_FEATURES)


def judged_row(one: Described, expected: FloatArray, vocabulary: int) -> FloatArray:
    """Return a judged response as numbers, shape (vocabulary + TOTALS,).

    `expected` are the probabilities (m,) that were known before the model was. The numbers are the outcome minus the
    expectation by category, their sum, the variance that the expectation gives it, the number of mentions and the
    length. Mentions without truth do not count.
    """
    row = np.zeros(vocabulary + TOTALS)
    known = one.known
    surprise = one.wrong[known] - expected[known]
    row[one.categories[known]] = surprise
    row[-4] = surprise.sum()
    row[-3] = (expected[known] * (1 - expected[known])).sum()
    row[-2] = np.log1p(known.sum())
    row[-1] = np.log1p(one.length) / LOG_UNIT
    return row


def joined_truth(described: Sequence[Described]) -> FloatArray:
    """Return the truth of all mentions in one row, NaN where it is unknown."""
    return np.concatenate([one.wrong for one in described]) if described else np.zeros(0)
