"""Precision, recall and F of the set of categories that a response names. `objects.f05` is the headline.

A cell is a (response, category) pair. TP is named and true, FP is named and not true, FN is true and not named. Each
cell counts once, even if the response repeats itself, so that neither length nor repetition changes the score.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from eidolon.scorers.core.judge import Judge, needs_object_verdicts
from eidolon.scorers.core.metric import FloatArray, JudgedSample, LeaderboardColumn, Quantity, Share, ratio
from eidolon.scorers.core.verdict import cells

QUANTITIES = (
    Quantity("precision", True, (0, 1), "TP / (TP + FP)", "nothing is named"),
    Quantity("recall", True, (0, 1), "TP / (TP + FN)", "there is nothing to name"),
    Quantity("f1", True, (0, 1), "2 TP / (2 TP + FN + FP)", "nothing is named and there is nothing to name"),
    Quantity(
        "f05",
        True,
        (0, 1),
        "1.25 TP / (1.25 TP + 0.25 FN + FP)",
        "nothing is named and there is nothing to name",
    ),
)


def f_beta(tp: ArrayLike, fp: ArrayLike, fn: ArrayLike, beta: float) -> FloatArray:
    """Return (1+β²)·TP / ((1+β²)·TP + β²·FN + FP) elementwise (van Rijsbergen 1979), NaN for 0/0.

    Computed from counts rather than from precision and recall, it is 0 and not undefined for a silent response to an
    image with objects.
    """
    tp, fp, fn = (np.asarray(count, dtype=float) for count in (tp, fp, fn))
    weight = beta * beta
    return ratio((1 + weight) * tp, (1 + weight) * tp + weight * fn + fp)


class Objects:
    """Precision, recall, F1 and F0.5 over all cells of all responses."""

    family: str = "objects"
    quantities: tuple[Quantity, ...] = QUANTITIES
    columns: tuple[str, ...] = ("tp", "fp", "fn")
    row_by_row: bool = True
    leaderboard_columns: tuple[LeaderboardColumn, ...] = (
        LeaderboardColumn("f05", "F0.5 ↑"),
        LeaderboardColumn("recall", "recall ↑"),
    )

    def check_judge(self, judge: Judge) -> str | None:
        """Return why the judge's verdicts do not show which objects are true, None if they do."""
        return needs_object_verdicts(judge)

    def statistics(self, samples: Sequence[JudgedSample]) -> FloatArray:
        """Return TP, FP and FN, shape (samples, 3)."""
        rows = []
        for sample in samples:
            cell = cells(sample)
            tp = len(cell.predicted & cell.truth)
            rows.append((tp, len(cell.predicted) - tp, len(cell.truth) - tp))
        return np.array(rows, dtype=float).reshape(len(samples), 3)

    def compute(self, totals: FloatArray) -> dict[str, FloatArray]:
        """Map totals (..., 3) to the quantities, shape (...)."""
        tp, fp, fn = (totals[..., i] for i in range(3))
        return {
            "precision": ratio(tp, tp + fp),
            "recall": ratio(tp, tp + fn),
            "f1": f_beta(tp, fp, fn, beta=1),
            "f05": f_beta(tp, fp, fn, beta=0.5),
        }

    def shares(self, totals: FloatArray) -> dict[str, Share]:
        """Map totals (..., 3) to the events and trials of the shares, each (...)."""
        tp, fp, fn = (totals[..., i] for i in range(3))
        return {"precision": Share(tp, tp + fp), "recall": Share(tp, tp + fn)}

    def by_category(self, vocabulary: Sequence[str]) -> "ObjectsPerCategory":
        """Return the metric with the same quantities for each category of the vocabulary."""
        return ObjectsPerCategory(vocabulary)


class ObjectsPerCategory:
    """The quantities of `Objects` for each category by itself, pooled over responses."""

    family: str = "objects"
    quantities: tuple[Quantity, ...] = QUANTITIES
    columns: tuple[str, ...] = Objects.columns
    row_by_row: bool = True

    def __init__(self, vocabulary: Sequence[str]) -> None:
        """Take the distinct categories of the judge, in the order in which they are reported."""
        self.vocabulary = tuple(vocabulary)
        self._position = {category: i for i, category in enumerate(self.vocabulary)}
        if len(self._position) != len(self.vocabulary):
            raise ValueError("a vocabulary names each category once")

    def statistics(self, samples: Sequence[JudgedSample]) -> FloatArray:
        """Return TP, FP and FN of each category, category-major, shape (samples, categories · 3).

        Raises:
            ValueError: a category is not in the vocabulary.
        """
        counts = np.zeros((len(samples), len(self.vocabulary), 3))
        for row, sample in zip(counts, samples, strict=True):
            cell = cells(sample)
            for statistic, categories in enumerate(
                (cell.predicted & cell.truth, cell.predicted - cell.truth, cell.truth - cell.predicted)
            ):
                for category in categories:
                    row[self._index(category, sample), statistic] = 1
        return counts.reshape(len(samples), 3 * len(self.vocabulary))

    def compute(self, totals: FloatArray) -> dict[str, FloatArray]:
        """Map totals (..., categories · 3) to the quantities, shape (..., categories)."""
        return Objects().compute(self._by_category(totals))

    def shares(self, totals: FloatArray) -> dict[str, Share]:
        """Map totals (..., categories · 3) to the events and trials of the shares, each (..., categories)."""
        return Objects().shares(self._by_category(totals))

    def _by_category(self, totals: FloatArray) -> FloatArray:
        return totals.reshape(*totals.shape[:-1], len(self.vocabulary), 3)

    def _index(self, category: str, sample: JudgedSample) -> int:
        try:
            return self._position[category]
        except KeyError:
            raise ValueError(
                f"sample {sample.judgement.sample_id!r}: category {category!r} is not in the vocabulary"
            ) from None
