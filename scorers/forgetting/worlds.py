"""Simulated worlds in which the truth is known: what makes a late-minus-early odds ratio rise without forgetting.

Every image holds some of 80 categories. A response names one new object after another. The next one is drawn from all
categories that it has not named, present and absent alike, with probability proportional to exp(utility). The utility
of an absent object also gets `absent`, and `position` for each 100 words: the only term that is forgetting. It makes
the response turn from what is there to what is not, whatever is left to name.

A world adds what real responses may have instead: objects of different salience, wrong mentions that invite more of
them, responses that differ, that stop after a wrong mention, or a judge that misreads late sentences.
"""

from dataclasses import dataclass, replace
from math import log
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from eidolon.scorers.core.metric import FloatArray
from eidolon.scorers.forgetting.events import BoolArray, Events, IntArray, Mentions, Responses

Columns: TypeAlias = tuple[NDArray[Any], ...]
"""Response, word, category, whether it is wrong, objects unnamed and objects named before: (mentions,) each."""

CATEGORIES = 80
MEAN_TRUE = 6


@dataclass(frozen=True, slots=True)
class NamingWorld:
    """A law by which responses name objects."""

    absent: float = -4.6
    """Utility of each absent object, beside that of a present one. -4.6 makes about 13 % of early mentions wrong."""
    seen: float = 0.0
    """Mean utility of all objects. Only a race depends on it."""
    position: float = 0.0
    """What 100 words add to it. exp(position) is the odds ratio that is true."""
    salience: float = 0.0
    """Standard deviation of the utilities of present objects, fixed for each image."""
    imagined: float = 0.0
    """Standard deviation of the utilities of absent objects, fixed for each image."""
    snowball: float = 0.0
    """What each earlier wrong mention adds to the utility of absent objects."""
    spread: float = 0.0
    """Standard deviation between responses of the utility of absent objects."""
    slopes: float = 0.0
    """Standard deviation between responses of `position`."""
    drift: float = 0.0
    """Standard deviation of a latent course within the response: AR(1) over mentions with correlation 0.8."""
    longer: float = 0.0
    """Slope of the log length on the response's own utility of absent objects. Below 0, bad responses are shorter."""
    stops: float = 0.0
    """Probability that the response ends within a few words after a wrong mention."""
    false_alarms: tuple[float, float] = (0.0, 0.0)
    """Share of true mentions that the judge reads as something absent: at the first word, and added per 100 words."""
    words: float = 90.0
    """Mean length, without stopping."""
    between: float = 13.0
    """Mean number of words from one new object to the next."""
    race: bool = False
    """Each object has a constant chance of being named at any word: exp(utility). So the easy ones are named first,
    and what is named late was hard to see. Without it, objects are named at times of their own."""
    clustered: bool = False
    """Objects come in lists: most follow the last within three words, some only after 25 or more."""
    images: int = 300


@dataclass(frozen=True, slots=True)
class Course:
    """Simulated responses, each to an image of its own, with what only the simulation knows."""

    events: Events
    """First mentions, as a judge reads them."""
    utilities: FloatArray
    """What the model thinks of each category before it writes, shape (images, categories): what an ideal probe shows.
    It includes `absent` and the response's own term."""
    there: BoolArray
    """Which categories are in the image, shape (images, categories)."""
    named: IntArray
    """The category of each mention, shape (mentions,)."""
    wrong: BoolArray
    """Which mentions are wrong, shape (mentions,). The judge may read others as wrong."""


_EASY_FIRST = NamingWorld(seen=-2.0, absent=-7.3, salience=4.0, imagined=0.5, race=True, images=500)
WORLDS: dict[str, NamingWorld] = {
    "salience": _EASY_FIRST,
    "snowball": NamingWorld(snowball=0.7),
    "random slopes": NamingWorld(slopes=2.0),
    "stops after a wrong mention": NamingWorld(stops=0.6, words=140.0),
    "judge errs late": NamingWorld(false_alarms=(0.01, 0.08)),
    "AR(1) course": NamingWorld(drift=1.0),
    "clustered mentions": NamingWorld(clustered=True, spread=1.0),
    "bad responses shorter": NamingWorld(spread=1.0, longer=-0.3),
    "bad responses longer": NamingWorld(spread=1.0, longer=0.4),
    "2 % wrong": NamingWorld(absent=-6.6, words=40.0, images=500),
    "56 % wrong": NamingWorld(absent=-2.4),
    "50 images": NamingWorld(images=50),
    "odds ratio 3": NamingWorld(position=log(3), images=500),
    "2 logits": NamingWorld(position=2.0),
    "salience, odds ratio 3": replace(_EASY_FIRST, position=log(3)),
    "salience, 2 logits": replace(_EASY_FIRST, position=2.0),
}
"""The worlds that a measure has to pass. The true odds ratio is 1 except where `position` is set."""


def simulate_world(world: NamingWorld, *, seed: int, images: int | None = None) -> Course:
    """Return the responses to some images, by default as many as the world has."""
    rng = np.random.default_rng(seed)
    n = world.images if images is None else images
    there = _present(n, rng)
    own = world.spread * rng.standard_normal(n)
    slope = world.position + world.slopes * rng.standard_normal(n)
    utilities = np.where(there, world.salience, world.imagined) * rng.standard_normal((n, CATEGORIES))
    utilities += world.seen + np.where(there, 0.0, world.absent + own[:, None])
    length = np.maximum(8, rng.gamma(8, world.words * np.exp(world.longer * own) / 8)).astype(int)
    name = _race if world.race else _take_turns
    steps = name(world, _Run(there, utilities, slope, length), rng)
    of, words, named, wrong, unnamed, earlier = (np.concatenate(part) for part in zip(*steps, strict=True))
    order = np.lexsort((words, of))
    of, words, named, wrong, unnamed, earlier = (
        part[order] for part in (of, words, named, wrong, unnamed, earlier)
    )
    first, more = world.false_alarms
    read = wrong | (rng.random(len(of)) < first + more * words / 100)
    unknown = np.full(len(of), np.nan)
    events = Events(
        Responses(np.arange(n), length, np.full(n, np.nan), there.sum(axis=1)),
        Mentions(of, words, unknown, read, np.ones(len(of), bool), unnamed, earlier, unknown, unknown),
    )
    return Course(events, utilities, there, named, wrong)


def _present(n: int, rng: np.random.Generator) -> BoolArray:
    """Return which categories each image holds: 1 + Poisson(5) of them, all equally likely."""
    many = 1 + rng.poisson(MEAN_TRUE - 1, n)
    rank = np.argsort(np.argsort(rng.random((n, CATEGORIES)), axis=1), axis=1)
    return np.asarray(rank < many[:, None])


def _gap(world: NamingWorld, n: int, rng: np.random.Generator) -> IntArray:
    """Return the words from one new object to the next, at least one."""
    if not world.clustered:
        return rng.geometric(1 / world.between, n)
    return np.where(rng.random(n) < 0.7, rng.integers(1, 4, n), rng.integers(25, 40, n))


@dataclass(frozen=True, slots=True)
class _Run:
    """The responses while they are written."""

    there: BoolArray
    utilities: FloatArray
    slope: FloatArray
    """What 100 words add to the utility of absent objects, by response."""
    length: IntArray
    """Words, by response. Stopping shortens them."""


def _take_turns(world: NamingWorld, run: _Run, rng: np.random.Generator) -> list[Columns]:
    """Return the mentions of all responses, step by step: each names its next object, then waits."""
    n = len(run.length)
    left = np.ones_like(run.there)
    mistakes, drift = np.zeros(n, dtype=int), world.drift * rng.standard_normal(n)
    word = _gap(world, n, rng) - 1
    steps: list[Columns] = []
    while (going := word < run.length).any():
        turn = run.slope * word / 100 + world.snowball * mistakes + drift
        at = np.flatnonzero(going)
        score = np.where(left, run.utilities + np.where(run.there, 0.0, turn[:, None]), -np.inf)[at]
        pick = np.argmax(score + rng.gumbel(size=score.shape), axis=1)
        steps.append(_named(run, left, at, word[at], pick))
        wrong = ~run.there[at, pick]
        mistakes[at] += wrong
        ends = at[wrong & (rng.random(len(at)) < world.stops)]
        run.length[ends] = np.minimum(run.length[ends], word[ends] + rng.geometric(0.25, len(ends)))
        word = word + _gap(world, n, rng)
        drift = 0.8 * drift + 0.6 * world.drift * rng.standard_normal(n)
    return steps


def _race(world: NamingWorld, run: _Run, rng: np.random.Generator) -> list[Columns]:
    """Return the mentions of all responses, word by word: at most one object a word."""
    left = np.ones_like(run.there)
    steps: list[Columns] = []
    for word in range(int(run.length.max())):
        turn = np.where(run.there, 0.0, run.slope[:, None] * word / 100)
        rate = np.where(left, np.exp(run.utilities + turn), 0.0)
        happens = rng.random(len(run.length)) < 1 - np.exp(-rate.sum(axis=1))
        at = np.flatnonzero(happens & (word < run.length))
        if len(at):
            score = np.log(rate[at], out=np.full((len(at), CATEGORIES), -np.inf), where=left[at])
            pick = np.argmax(score + rng.gumbel(size=score.shape), axis=1)
            steps.append(_named(run, left, at, np.full(len(at), word), pick))
    return steps


def _named(run: _Run, left: BoolArray, at: IntArray, word: IntArray, pick: IntArray) -> Columns:
    """Return the mentions of one step as columns, and strike them from what is left."""
    unnamed = (left & run.there)[at].sum(axis=1)
    earlier = (~left[at]).sum(axis=1)
    left[at, pick] = False
    return at, word, pick, ~run.there[at, pick], unnamed, earlier
