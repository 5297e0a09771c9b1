"""Responses whose hallucinations follow a known law, to see what a summary of them says, and with what power."""

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
    """How likely the next new object is imagined.

    Log odds of imagining = base + response's own + position·words/100 + exhaustion; an object is certainly imagined
    when no true one is left. `exhaustion` by the true objects still unnamed u, of the T in the picture: none;
    `competing`, -log u: true and imagined objects are drawn from one urn; `linear`, -0.35·u; `share`, -2·u/T.
    """

    base: float = -2.0
    """At the first word, with five true objects, all unnamed."""
    position: float = 0.0
    """Log odds ratio per 100 words: what the adjusted summary should find."""
    exhaustion: Exhaustion = "none"
    spread: float = 0.0
    """Standard deviation of the responses' own log odds."""
    bad: float | None = None
    """Share of the responses that are bad, instead of a normal spread; the standard deviation is the same."""
    longer: float = 0.0
    """How the log length goes with the response's own log odds: above 0, bad responses are longer."""
    words: float = 90.0
    """Mean length of a response whose own log odds are 0."""
    between: float = 10.0
    """Mean words from one first mention to the next."""
    forced: bool = True
    """Whether the response goes on naming when no true object is left."""


SCENARIOS: dict[str, Hazard] = {
    "constant": Hazard(forced=False),
    "rising": Hazard(position=log(3), forced=False),
    "exhaustion": Hazard(exhaustion="competing"),
    "survivorship": Hazard(spread=1.0, longer=0.4, forced=False),
    "exhaustion, bad responses longer": Hazard(exhaustion="competing", spread=1.0, longer=0.4),
}
"""The known answers: position does something in `rising` alone; the raw curve rises in all but `constant`."""


def simulate(hazard: Hazard, responses: int, *, seed: int) -> Events:
    """Draw the first mentions of so many responses, each to an image of its own."""
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
