"""Simulated descriptions by a model that names what it is sure of first, with the answers it gave before."""

from dataclasses import dataclass

import numpy as np

from eidolon.scorers.core.metric import JudgedSample
from eidolon.scorers.core.types import Judgement, Mention, Response
from eidolon.scorers.forgetting.knowledge_records import ProbedImage, ProbedObject


@dataclass(frozen=True, slots=True)
class KnowledgeWorld:
    """The law: each next object is drawn by a softmax of utility over all that is left, true and absent."""

    position: float = 0.0
    """Log odds ratio of an absent object per 100 words: the value that the fit should find."""
    snowball: float = 0.0
    """Log odds ratio of an absent object for each earlier wrong mention."""
    slope_sd: float = 0.0
    """Standard deviation between responses of the effect of position."""
    intercept_sd: float = 0.0
    """Standard deviation between responses of the log odds of an absent object."""
    stop: float = 0.0
    """Chance that a response ends with a wrong mention."""
    sureness: float = 6.0
    """Mean utility of a true object; that of an absent one is 0."""
    spread: tuple[float, float] = (2.0, 1.5)
    """Standard deviation of the utilities of true and of absent objects."""
    noise: float = 0.0
    """Standard deviation of the error of each answer."""
    wordings: int = 4
    categories: int = 60
    asked: int = 16
    """Absent objects that are asked about."""
    words: float = 90.0
    """Mean length of a response."""
    between: float = 10.0
    """Mean number of words from one mention to the next."""


def simulate_knowledge(
    world: KnowledgeWorld, images: int, *, seed: int
) -> tuple[list[ProbedImage], dict[str, JudgedSample]]:
    """Return the answers and the judged response of every image."""
    rng = np.random.default_rng(seed)
    names = [f"c{i}" for i in range(world.categories)]
    probes, samples = [], {}
    for image in range(images):
        true = 1 + int(rng.poisson(4))
        is_true = np.arange(world.categories) < true
        spread = np.where(is_true, *world.spread)
        utility = world.sureness * is_true + spread * rng.standard_normal(world.categories)
        answers = utility[:, None] + world.noise * rng.standard_normal((world.categories, world.wordings))
        asked = [*range(true), *(true + rng.permutation(world.categories - true)[: world.asked])]
        name = f"s{image}"
        probes.append(
            ProbedImage(
                sample_id=name,
                image_id=image,
                objects=tuple(
                    ProbedObject(about=names[k], truth=bool(is_true[k]), log_odds=tuple(answers[k]))
                    for k in asked
                ),
                unasked=world.categories - len(asked),
            )
        )
        samples[name] = _describe(world, name, image, names, is_true, utility, rng)
    return probes, samples


def _describe(
    world: KnowledgeWorld,
    name: str,
    image: int,
    names: list[str],
    is_true: np.ndarray,
    utility: np.ndarray,
    rng: np.random.Generator,
) -> JudgedSample:
    slope = world.position + world.slope_sd * rng.standard_normal()
    own = world.intercept_sd * rng.standard_normal()
    length = max(8, int(rng.gamma(8, world.words / 8)))
    word, wrong = int(rng.geometric(1 / world.between)), 0
    left = np.ones(len(names), dtype=bool)
    mentions = []
    while word < length and (left & is_true).any():
        absent = own + slope * word / 100 + world.snowball * wrong
        weights = np.exp(utility + np.where(is_true, 0, absent)) * left
        k = int(rng.choice(len(names), p=weights / weights.sum()))
        left[k] = False
        mentions.append(
            Mention(
                category=names[k],
                text=names[k],
                start=word,
                end=word + 1,
                word=word,
                verdict="grounded" if is_true[k] else "hallucinated",
            )
        )
        if not is_true[k]:
            wrong += 1
            if rng.random() < world.stop:
                break
        word += int(rng.geometric(1 / world.between))
    text = " ".join(["word"] * length)
    return JudgedSample(
        Response(sample_id=name, image_id=image, response=text),
        Judgement(sample_id=name, image_id=image, mentions=tuple(mentions)),
        frozenset(n for n, there in zip(names, is_true, strict=True) if there),
    )
