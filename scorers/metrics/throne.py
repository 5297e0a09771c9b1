"""THRONE: which categories a free-form answer claims, by the votes of judges (Kaul et al., CVPR 2024).

`judges.votes` has the voting rule.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eidolon.scorers.core.errors import UserError, did_you_mean
from eidolon.scorers.core.metric import FloatArray, Quantity, ratio
from eidolon.scorers.core.types import ImageId
from eidolon.scorers.judges.votes import VotedCells, check_threshold, decide

MODES = ("compat", "fixed")
_COUNTS = ("predicted", "correct", "true")
_SUMS = ("precision", "recall", "f1", "f1_defined", "f05", "f05_defined")
MEASURES = ("precision", "recall", "f1", "f05")


@dataclass(frozen=True, slots=True, eq=False)
class VotedImage:
    """The number of yes votes on every category for one response, and which categories are true of its image."""

    image_id: ImageId
    votes: NDArray[np.int64]
    """Shape (categories,), 0 to V."""
    truth: NDArray[np.bool_]
    """Shape (categories,)."""
    undecided: NDArray[np.int64] | None = None
    """The number of votes that are neither yes nor no, shape (categories,). None where all votes are one of them."""


def cell_counts(cells: VotedCells) -> dict[str, int | float]:
    """Return the numbers behind the scores, over all cells: the `counts` block of `scores.json`."""
    return {
        "images": cells.truth.shape[0],
        "categories": cells.truth.shape[1],
        "predicted": int(cells.predicted.sum()),
        "correct": int((cells.predicted & cells.truth).sum()),
        "true": int(cells.truth.sum()),
        "ignored": int(cells.ignored.sum()),
    }


def check_mode(mode: str) -> str:
    """Return the mode.

    Raises:
        UserError: no mode has this name.
    """
    if mode not in MODES:
        raise UserError(f"unknown mode {mode!r}{did_you_mean(mode, MODES)}")
    return mode


class Throne:
    """Classwise and image-level precision, recall, F1 and F0.5 at a threshold.

    Classwise: TP, predictions and true categories are pooled for each category, and the mean is over categories.
    Image level: the measures are computed for each image, and the mean is over images (the released code calls it
    micro).

    The mode `compat` keeps the rules of the released code for 0/0. For a category the measure is then undefined, and
    left out of that mean alone; F is also undefined if P = R = 0. For an image P and R are 0 if the prediction or the
    ground truth is empty, while F is undefined if P = R = 0, and left out. In the mode `fixed`, 0/0 is 0, and every
    mean is over all categories or all images.
    """

    family: str = "throne"

    def __init__(self, mode: str, threshold: int, voters: int, categories: int) -> None:
        """Take the mode, the threshold, the number of votes on each cell, and the number of categories."""
        self.mode = check_mode(mode)
        self.threshold = check_threshold(threshold, voters)
        self.voters, self.categories = voters, categories
        self.quantities = tuple(
            Quantity(f"{level}_{name}", True, (0, 1), f"{name}, mean over {what}", reason)
            for level, what, reason in (
                ("classwise", "categories", "no category has it"),
                ("image", "images", "no image has it"),
            )
            for name in MEASURES
        )
        self.columns: tuple[str, ...] = (
            *(f"{name}:{category}" for category in range(categories) for name in _COUNTS),
            "images",
            *(f"image_{name}" for name in _SUMS),
        )

    def cells(self, samples: Sequence[VotedImage]) -> VotedCells:
        """Return the decisions on all cells of the samples."""
        shape = (len(samples), self.categories)
        yes = np.array([s.votes for s in samples], dtype=np.int64).reshape(shape)
        truth = np.array([s.truth for s in samples], dtype=bool).reshape(shape)
        undecided = np.zeros(shape, dtype=np.int64)
        for row, sample in zip(undecided, samples, strict=True):
            if sample.undecided is not None:
                row[:] = sample.undecided
        return decide(yes, truth, voters=self.voters, threshold=self.threshold, undecided=undecided)

    def category_statistics(self, samples: Sequence[VotedImage]) -> FloatArray:
        """Return predicted, correct and true of each category, shape (samples, categories · 3)."""
        cells = self.cells(samples)
        counts = np.stack([cells.predicted, cells.predicted & cells.truth, cells.truth], axis=-1)
        return counts.reshape(len(samples), 3 * self.categories).astype(float)

    def image_measures(self, samples: Sequence[VotedImage]) -> dict[str, FloatArray]:
        """Return precision, recall, f1 and f05 of each image, shape (samples,). F is NaN if it is undefined."""
        cells = self.cells(samples)
        correct = (cells.predicted & cells.truth).sum(axis=1)
        measures = _measures(cells.predicted.sum(axis=1), correct, cells.truth.sum(axis=1))
        if self.mode == "fixed":
            return {name: np.nan_to_num(value) for name, value in measures.items()}
        nothing = correct == 0
        for name in MEASURES:
            measures[name] = np.where(
                nothing, 0.0 if name in ("precision", "recall") else np.nan, measures[name]
            )
        return measures

    def statistics(self, samples: Sequence[VotedImage]) -> FloatArray:
        """Return the counts of each category, then sums of the per-image measures, shape (samples, 3C + 7)."""
        measures = self.image_measures(samples)
        parts = [np.ones(len(samples)), measures["precision"], measures["recall"]]
        for name in ("f1", "f05"):
            parts += [np.nan_to_num(measures[name]), (~np.isnan(measures[name])).astype(float)]
        return np.hstack([self.category_statistics(samples), np.stack(parts, axis=1)])

    def compute(self, totals: FloatArray) -> dict[str, FloatArray]:
        """Map totals (..., 3C + 7) to the quantities, shape (...)."""
        per_category = self.by_category().compute(totals[..., : 3 * self.categories])
        images, precision, recall, f1, f1_n, f05, f05_n = (
            totals[..., 3 * self.categories + i] for i in range(7)
        )
        means = {name: _defined_mean(value) for name, value in per_category.items()}
        return {
            **{f"classwise_{name}": means[name] for name in MEASURES},
            "image_precision": ratio(precision, images),
            "image_recall": ratio(recall, images),
            "image_f1": ratio(f1, f1_n),
            "image_f05": ratio(f05, f05_n),
        }

    def by_category(self) -> "ThronePerCategory":
        """Return the measures of each category, which use `category_statistics`."""
        return ThronePerCategory(self.mode, self.categories)


class ThronePerCategory:
    """Precision, recall, F1 and F0.5 of each category by itself."""

    columns: tuple[str, ...] = _COUNTS
    quantities: tuple[Quantity, ...] = (
        Quantity("precision", True, (0, 1), "correct / predicted", "it is never predicted"),
        Quantity("recall", True, (0, 1), "correct / true", "it is never true"),
        Quantity("f1", True, (0, 1), "2PR / (P + R)", "precision or recall is, or both are 0"),
        Quantity("f05", True, (0, 1), "1.25PR / (0.25P + R)", "precision or recall is, or both are 0"),
    )

    def __init__(self, mode: str, categories: int) -> None:
        self.mode, self.categories = mode, categories

    def compute(self, totals: FloatArray) -> dict[str, FloatArray]:
        """Map totals (..., categories · 3) to the measures, shape (..., categories)."""
        counts = totals.reshape(*totals.shape[:-1], self.categories, 3)
        measures = _measures(counts[..., 0], counts[..., 1], counts[..., 2])
        if self.mode == "fixed":
            return {name: np.nan_to_num(value) for name, value in measures.items()}
        return measures


def _measures(predicted: FloatArray, correct: FloatArray, true: FloatArray) -> dict[str, FloatArray]:
    precision, recall = ratio(correct, predicted), ratio(correct, true)
    return {
        "precision": precision,
        "recall": recall,
        "f1": ratio(2 * precision * recall, precision + recall),
        "f05": ratio(1.25 * precision * recall, 0.25 * precision + recall),
    }


def _defined_mean(values: FloatArray) -> FloatArray:
    """Return the mean over the last axis without NaN values. NaN if all are NaN."""
    defined = ~np.isnan(values)
    return ratio(np.where(defined, values, 0).sum(axis=-1), defined.sum(axis=-1))
