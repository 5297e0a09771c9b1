"""Simulated responses with a known law of hallucination, to test summaries and their power."""

from dataclasses import dataclass
from math import log
from typing import Literal, TypeAlias

import numpy as np

from eidolon.scorers.core.metric import FloatArray
from eidolon.scorers.forgetting.events import Events, IntArray, Mentions, Responses

Exhaustion: TypeAlias = Literal["none", "competing", "linear", "share"]

MEAN_TRUE = 5


@dataclass(frozen=True, slots=True)
class Hazard:
    """The law: the odds that the next new object is imagined.

    The log odds are base + that of the response + position·words/100 + exhaustion. If no true object is left, the
    next object is always imagined. `exhaustion` depends on the number u of true objects still unnamed, of the T in
    the image. `none` is 0. `competing` is -log u: true and imagined objects are drawn from one urn. `linear` is
    -0.35·u. `share` is -2·u/T.
    """

    base: float = -2.0
    """Log odds at the first word, with five true objects, all unnamed."""
    position: float = 0.0
    """Log odds ratio per 100 words: the value that the late-minus-early odds ratio should find."""
    exhaustion: Exhaustion = "none"
    spread: float = 0.0
    """Standard deviation of the log odds of responses."""
    bad: float | None = None
    """Share of bad responses, instead of a normal spread. The standard deviation is the same."""
    longer: float = 0.0
    """Slope of the log length on the log odds of a response. Above 0, bad responses are longer."""
    words: float = 90.0
    """Mean length of a response with log odds 0."""
    between: float = 10.0
    """Mean number of words from one first mention to the next."""
    forced: bool = True
    """Whether the response continues to name objects when no true object is left."""


SCENARIOS: dict[str, Hazard] = {
    "constant": Hazard(forced=False),
    "rising": Hazard(position=log(3), forced=False),
    "exhaustion": Hazard(exhaustion="competing"),
    "survivorship": Hazard(spread=1.0, longer=0.4, forced=False),
    "exhaustion, bad responses longer": Hazard(exhaustion="competing", spread=1.0, longer=0.4),
}
"""Known answers. Position has an effect in `rising` alone. The raw curve rises in all except `constant`."""


def simulate(hazard: Hazard, responses: int, *, seed: int) -> Events:
    """Return the first mentions of simulated responses, each to an image of its own."""
    rng = np.random.default_rng(seed)
    own = _own_log_odds(hazard, responses, rng)
    true = 1 + rng.poisson(MEAN_TRUE - 1, responses)
    length = np.maximum(8, rng.gamma(8, hazard.words * np.exp(hazard.longer * own) / 8)).astype(int)
    unnamed, named = true.copy(), np.zeros(responses, dtype=int)
    word = rng.geometric(1 / hazard.between, responses)
    steps = []
    going = word < length
    while going.any():
        log_odds = (
            hazard.base + own + hazard.position * word / 100 + _exhaustion(hazard.exhaustion, unnamed, true)
        )
        imagined = (unnamed == 0) | (rng.random(responses) < 1 / (1 + np.exp(-log_odds)))
        if not hazard.forced:
            going &= unnamed > 0
        at = np.flatnonzero(going)
        steps.append((at, word[at], imagined[at], unnamed[at], named[at]))
        unnamed = unnamed - (going & ~imagined)
        named = named + going
        word = word + rng.geometric(1 / hazard.between, responses)
        going &= word < length
    of, words, wrong, left, earlier = (np.concatenate(parts) for parts in zip(*steps, strict=True))
    order = np.lexsort((words, of))
    unknown = np.full(len(of), np.nan)
    return Events(
        Responses(np.arange(responses), length, np.full(responses, np.nan), true),
        Mentions(
            of[order],
            words[order],
            unknown,
            wrong[order],
            np.ones(len(of), dtype=bool),
            left[order],
            earlier[order],
            unknown,
            unknown,
        ),
    )


def _own_log_odds(hazard: Hazard, n: int, rng: np.random.Generator) -> FloatArray:
    if (share := hazard.bad) is not None:
        bad = (rng.random(n) < share).astype(float)
        return np.asarray(hazard.spread * (bad - share) / (share * (1 - share)) ** 0.5)
    return hazard.spread * rng.standard_normal(n)


def _exhaustion(
    kind: Exhaustion,
    unnamed: IntArray,
    true: IntArray,
) -> FloatArray:
    left = np.maximum(unnamed, 1)
    if kind == "competing":
        return log(MEAN_TRUE) - np.log(left)
    if kind == "linear":
        return 0.35 * (MEAN_TRUE - left)
    if kind == "share":
        return 2 * (1 - left / true)
    return np.zeros(len(left))
