"""What an annotator is: it looks at images and gives each name a score, and boxes where it has them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from PIL import Image

ScoredBox: TypeAlias = tuple[float, float, float, float, float]
"""x0, y0, x1, y1 as shares of the image's sides, and the score."""
DIGITS = 6
"""Decimals of scores, probabilities and boxes in the file."""
LARGEST = 30.0
"""Largest size of a score: a probability of 1 - 1e-13."""
USUAL_CUTS: dict[str, tuple[float, float]] = {
    "clip": (0.3, 0.7),
    "detector": (0.1, 0.3),
    "gallery": (0.3, 0.7),
    "aligner": (0.3, 0.7),
}
"""By kind, the probabilities of absent and of present names where there is no labelled part. Published thresholds of
OWLv2 and Grounding DINO are between those of detectors."""
CANDIDATES = 20
"""Most boxes of one name in one image."""


@dataclass(frozen=True, slots=True)
class Looked:
    """What an annotator says of one image."""

    scores: Mapping[str, float]
    """By name, the log odds that it is there, or what the annotator uses as such; for all names."""
    boxes: Mapping[str, Sequence[ScoredBox]] = field(default_factory=dict)
    """By name, where it may be, the best first, with scores of the same kind."""


class Annotator(Protocol):
    """Looks for names in images."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names that it looks for."""
        ...

    @property
    def identity(self) -> Mapping[str, Any]:
        """What decides the scores beside the names, JSON-ready."""
        ...

    def look(self, images: "Sequence[Image.Image]") -> list[Looked]:
        """Return what is in each image."""
        ...


def rounded(score: float) -> float:
    """Return a score as the file holds it."""
    return round(min(LARGEST, max(-LARGEST, float(score))), DIGITS) + 0.0
