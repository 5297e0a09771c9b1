"""Names by a zero-shot detector: boxes, areas and counts."""

from collections.abc import Sequence
from math import log
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from eidolon.benchmark.annotate.annotator import CANDIDATES, DIGITS, Looked, ScoredBox, rounded
from eidolon.models.encoders.detector import Detections, suppress
from eidolon.scorers.core.metric import FloatArray

if TYPE_CHECKING:
    from PIL import Image

FLOOR = 0.05
"""Smallest score of a box that is kept: boxes below are thousands."""


class BoxFinder(Protocol):
    """Finds boxes of names; `models.encoders.detector` has one."""

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the scores, JSON-ready."""
        ...

    def detect(self, images: "Sequence[Image.Image]", names: Sequence[str]) -> list[Detections]:
        """Return the boxes of each image with the score of each name."""
        ...


class DetectorAnnotator:
    """Scores a name by its best box: the log odds of the detector's score."""

    def __init__(self, detector: BoxFinder, names: Sequence[str]) -> None:
        """Take the detector and the names."""
        self.names = tuple(names)
        self.identity = detector.identity
        self._detector = detector

    def look(self, images: "Sequence[Image.Image]") -> list[Looked]:
        """Return the scores and boxes of each image."""
        return [self._looked(found) for found in self._detector.detect(images, self.names)]

    def _looked(self, found: Detections) -> Looked:
        scores, boxes = {}, {}
        for name, column in zip(self.names, found.scores.T, strict=True):
            scores[name] = _log_odds(float(column.max(initial=0.0)))
            above = np.flatnonzero(column >= FLOOR)
            if len(above):
                kept = above[suppress(found.boxes[above], column[above], most=CANDIDATES)]
                boxes[name] = [placed(found.boxes[i], _log_odds(float(column[i]))) for i in kept]
        return Looked(scores, boxes)


def placed(box: FloatArray, score: float) -> ScoredBox:
    """Return a box with its score, as the file holds it."""
    x0, y0, x1, y1 = (round(float(side), DIGITS) + 0.0 for side in box)
    return x0, y0, x1, y1, score


def _log_odds(share: float) -> float:
    share = min(1 - 1e-12, max(1e-12, share))
    return rounded(log(share / (1 - share)))
