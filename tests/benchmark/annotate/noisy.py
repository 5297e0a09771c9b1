"""An artificial annotator: its scores are the truth with noise, and drawn by the hash of an image's pixels."""

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from eidolon.benchmark.annotate.annotator import Looked, rounded
from eidolon.benchmark.engine.cache_keys import picture_hash


class NoisyAnnotator:
    """Knows the truth of each image by its pixels, and errs."""

    def __init__(
        self, names: Sequence[str], truth: Mapping[str, Sequence[str]], noise: float = 1.0, shift: float = 2.0
    ) -> None:
        """`truth` maps the hash of an image's pixels to the names that are there."""
        self.names = tuple(names)
        self.identity: dict[str, Any] = {"noise": noise, "shift": shift}
        self._truth, self._noise, self._shift = truth, noise, shift
        self.looked_at: list[str] = []

    def look(self, images: Sequence[Image.Image]) -> list[Looked]:
        """Return noisy scores: ± shift and normal noise."""
        found = []
        for image in images:
            key = picture_hash(image)
            self.looked_at.append(key)
            there = self._truth[key]
            draw = random.Random(key)
            scores = {
                name: rounded(self._shift * (1 if name in there else -1) + draw.gauss(0, self._noise))
                for name in self.names
            }
            boxes = {name: [(0.1, 0.1, 0.5, 0.5, scores[name])] for name in there}
            found.append(Looked(scores, boxes))
        return found


NAMES = ("cup", "dog", "chair")


def make_images(folder: Path, count: int, seed: int = 0) -> dict[str, list[str]]:
    """Write small images and return what is in each, by the hash of its pixels; image k is `k.png`."""
    folder.mkdir(parents=True, exist_ok=True)
    draw, truth = random.Random(seed), {}
    for k in range(count):
        image = Image.new("RGB", (12, 10), (k % 256, k // 256, seed))
        image.save(folder / f"{k:03}.png")
        truth[picture_hash(image)] = [name for name in NAMES if draw.random() < 0.4]
    return truth
