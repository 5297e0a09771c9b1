"""Simulated descriptions of images with known, incompletely annotated objects, to test the bounds on annotation."""

from dataclasses import dataclass
from math import exp

import numpy as np

from eidolon.scorers.core.metric import JudgedSample, Sources
from eidolon.scorers.core.types import Judgement, Mention, Response
from eidolon.scorers.core.verdict import with_verdicts

SIZES = (0.02, 0.1, 0.4)
"""Shares of the image that small, medium and large categories cover."""
OF_EACH = 12
"""Categories of each size."""
BETWEEN = 9
"""Mean words from one new object to the next."""


@dataclass(frozen=True, slots=True)
class World:
    """How people and a model look at the images. The model names large objects first."""

    boxes: tuple[float, float, float] = (0.5, 0.85, 0.98)
    """Probability that a true object of each size has a box."""
    captions: tuple[float, float, float] = (0.25, 0.5, 0.8)
    """Probability that the captions name it."""
    dependence: float = 0.0
    """Probability that both sources share one random draw: the more thorough one then has what the other has."""
    seen: tuple[float, float, float] = (0.5, 0.8, 0.95)
    """Probability that the model sees it. The model names no other true objects, so that some stay unnamed."""
    imagined: float = -2.5
    """Log odds that the next new object is imagined, at the first word."""
    position: float = 0.0
    """Log odds ratio of imagining per 100 words."""
    true: float = 9.0
    """Mean number of true objects."""
    words: float = 100.0
    """Mean length."""


def simulate_annotated(
    world: World, responses: int, *, seed: int
) -> tuple[list[JudgedSample], list[frozenset[str]]]:
    """Return descriptions judged by boxes and captions, and the objects that are really in each image.

    The model names the true objects that it sees from large to small. In between it imagines others at its own rate.
    """
    rng = np.random.default_rng(seed)
    size_of = {f"c{size}{i:02d}": size for size in range(len(SIZES)) for i in range(OF_EACH)}
    names = list(size_of)
    samples, truths = [], []
    for image in range(responses):
        true = rng.choice(
            len(names), size=min(len(names) - 6, 2 + rng.poisson(world.true - 2)), replace=False
        )
        truth = frozenset(names[i] for i in true)
        seen = [names[i] for i in true if rng.random() < world.seen[size_of[names[i]]]]
        left = sorted(seen, key=lambda name: -size_of[name])
        absent = [names[i] for i in rng.permutation(len(names)) if names[i] not in truth]
        length = int(rng.gamma(8, world.words / 8))
        words: list[str] = []
        mentions: list[Mention] = []
        while left and absent:
            gap = int(rng.geometric(1 / BETWEEN))
            word = len(words) + gap
            if word >= length:
                break
            odds = exp(world.imagined + world.position * word / 100)
            name = absent.pop() if rng.random() < odds / (1 + odds) else left.pop(0)
            words += ["so"] * gap + [name]
            start = len(" ".join(words)) - len(name)
            mentions.append(Mention(category=name, text=name, start=start, end=start + len(name), word=word))
        text = " ".join(words + ["so"] * (length - len(words)))
        boxes, captions = _look(world, sorted(truth), size_of, rng)
        judgement = Judgement(sample_id=str(image), image_id=image, mentions=tuple(mentions))
        samples.append(
            JudgedSample(
                Response(sample_id=str(image), image_id=image, response=text),
                with_verdicts(judgement, boxes | captions),
                boxes | captions,
                {name: SIZES[size_of[name]] for name in sorted(boxes)},
                Sources(boxes, captions),
            )
        )
        truths.append(truth)
    return samples, truths


def _look(
    world: World, truth: list[str], size_of: dict[str, int], rng: np.random.Generator
) -> tuple[frozenset[str], frozenset[str]]:
    boxes, captions = set(), set()
    for name in truth:
        first = rng.random()
        second = first if rng.random() < world.dependence else rng.random()
        if first < world.boxes[size_of[name]]:
            boxes.add(name)
        if second < world.captions[size_of[name]]:
            captions.add(name)
    return frozenset(boxes), frozenset(captions)
