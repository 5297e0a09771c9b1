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
    drift: float = 0.0
    """Standard deviation of a latent course within the response: AR(1) over mentions with correlation 0.8."""
    longer: float = 0.0
    """Slope of the log length on the response's own log odds of an absent object. Below 0, bad ones are shorter."""
    false_alarms: tuple[float, float] = (0.0, 0.0)
    """How often the judge reads something absent at a true mention: at the first word, and added per 100 words."""
    instead: bool = True
    """The false alarm takes the place of the true mention. Without it, the judge reads both."""
    misses: tuple[float, float] = (0.0, 0.0)
    """How often the judge does not read a mention: at the first word, and added per 100 words."""
    clustered: bool = False
    """Objects come in lists: most follow the last within three words, some only after 25 or more."""
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
    length = max(8, int(rng.gamma(8, world.words * np.exp(world.longer * own) / 8)))
    word, wrong = _gap(world, rng), 0
    course = world.drift * rng.standard_normal()
    left = np.ones(len(names), dtype=bool)
    mentions = []
    while word < length and (left & is_true).any():
        absent = own + slope * word / 100 + world.snowball * wrong + course
        weights = np.exp(utility + np.where(is_true, 0, absent)) * left
        k = int(rng.choice(len(names), p=weights / weights.sum()))
        left[k] = False
        unread = any(world.misses) and rng.random() < world.misses[0] + world.misses[1] * word / 100
        first, more = world.false_alarms
        misread = bool(is_true[k]) and rng.random() < first + more * word / 100
        read = int(rng.choice(np.flatnonzero(left & ~is_true))) if misread else k
        mentions += [
            Mention(
                category=names[one],
                text=names[one],
                start=word,
                end=word + 1,
                word=word,
                verdict="grounded" if is_true[one] else "hallucinated",
            )
            for one in ([] if unread else [k, read] if misread and not world.instead else [read])
        ]
        if not is_true[k]:
            wrong += 1
            if rng.random() < world.stop:
                break
        word += _gap(world, rng)
        course = 0.8 * course + 0.6 * world.drift * rng.standard_normal()
    text = " ".join(["word"] * length)
    return JudgedSample(
        Response(sample_id=name, image_id=image, response=text),
        Judgement(sample_id=name, image_id=image, mentions=tuple(mentions)),
        frozenset(n for n, there in zip(names, is_true, strict=True) if there),
    )


def _gap(world: KnowledgeWorld, rng: np.random.Generator) -> int:
    """Return the words from one mention to the next, at least one."""
    if not world.clustered:
        return int(rng.geometric(1 / world.between))
    return int(rng.integers(1, 4) if rng.random() < 0.7 else rng.integers(25, 40))
