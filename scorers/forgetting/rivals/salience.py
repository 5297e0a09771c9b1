"""Rival: salience. Worlds in which nothing is forgotten, matched to the run: do they show the same rise?

Every object of an image, present or absent, has a chance of being named that stays the same at every word. So each
naming is a softmax over what is left. Present objects differ in how easy they are to see: the logarithms of their
rates have a standard deviation s. The easy ones are soon named; what is left is hard, and then absent objects are
named as often. Nothing changes along the response.

For each s the mean rates are set so that as many present and absent objects are named as in the run, in responses of
the same lengths to images with the same numbers of objects. What comes out is judged by the same fit. If some s gives
an odds ratio like that of the run, salience can explain it, and responses alone cannot say that it does not: one
response does not show how easy each object was to see.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict

from eidolon.scorers.core.metric import FloatArray
from eidolon.scorers.core.types import Record
from eidolon.scorers.forgetting.events import BoolArray, Events, Mentions
from eidolon.scorers.forgetting.late_early import late_early_odds_ratio
from eidolon.scorers.statistics.mixed_logistic import NotEstimableError

SPREADS = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0)
"""Standard deviations of the log rates of present objects."""
IMAGINED = 0.5
"""That of absent objects: none is far more likely than the others."""
HALVINGS = 14
RATES = (-25.0, 10.0)
"""Log rates per word between which the mean is looked for."""
BIN, BINS = 20, 7


class MatchedSpread(Record):
    """What a world with one spread of salience shows."""

    model_config = ConfigDict(allow_inf_nan=False)

    spread: float
    """Standard deviation of the log rates at which present objects are named."""
    odds_ratio: float
    ci: tuple[float, float]
    wrong: tuple[float | None, ...]
    """Share of first mentions that are wrong, by stretches of 20 words. The last one is open."""


class SalienceMatch(Record):
    """Worlds without forgetting, and the run beside them."""

    model_config = ConfigDict(allow_inf_nan=False)

    observed: tuple[float | None, ...]
    """Share of first mentions of the run that are wrong, by stretches of 20 words."""
    spreads: tuple[MatchedSpread, ...]
    closest: MatchedSpread | None
    """The world whose odds ratio is closest to that of the run. Null if none can be fitted."""


@dataclass(frozen=True, slots=True)
class _Race:
    """Random numbers of a world, so that only its rates differ between trials."""

    there: BoolArray
    words: FloatArray
    """Length of each response, shape (responses, 1)."""
    waits: FloatArray
    """Standard exponential, shape (responses, categories)."""
    salience: FloatArray
    """Standard normal, shape (responses, categories)."""

    def times(self, spread: float, present: float, absent: float) -> FloatArray:
        """Return the word at which each object would be named, shape (responses, categories)."""
        log_rate = np.where(self.there, present + spread * self.salience, absent + IMAGINED * self.salience)
        return np.asarray(self.waits / np.exp(log_rate))

    def named(self, times: FloatArray, *, present: bool) -> int:
        """Return how many objects are named before the responses end."""
        return int(((times < self.words) & (self.there == present)).sum())


def match_salience(events: Events, log_odds_ratio: float, *, categories: int, seed: int) -> SalienceMatch:
    """Return the worlds for a run's events and late-minus-early log odds ratio.

    `categories` is the size of the vocabulary that objects are named from.
    """
    rng = np.random.default_rng(seed)
    first = events.mentions.select(events.mentions.first)
    true = events.responses.true_objects
    shape = (len(true), max(categories, int(true.max(initial=0)) + 1))
    race = _Race(
        np.arange(shape[1]) < true[:, None],
        events.responses.words[:, None].astype(float),
        rng.exponential(size=shape),
        rng.standard_normal(shape),
    )
    wrong = int(first.hallucinated.sum())
    found = []
    for spread in SPREADS:
        present = _search(
            lambda mean, s=spread: race.named(race.times(s, mean, RATES[0]), present=True),  # type: ignore[misc]
            len(first) - wrong,
        )
        absent = _search(
            lambda mean, s=spread: race.named(race.times(s, RATES[0], mean), present=False),  # type: ignore[misc]
            wrong,
        )
        mentions = _mentions(race, race.times(spread, present, absent))
        try:
            fit = late_early_odds_ratio(Events(events.responses, mentions))
        except NotEstimableError:
            continue
        found.append(
            MatchedSpread(
                spread=spread,
                odds_ratio=fit.odds_ratio,
                ci=(fit.low, fit.high),
                wrong=_by_stretch(mentions),
            )
        )
    closest = min(found, key=lambda one: abs(np.log(one.odds_ratio) - log_odds_ratio), default=None)
    return SalienceMatch(observed=_by_stretch(first), spreads=tuple(found), closest=closest)


def _search(named: Callable[[float], int], wanted: int) -> float:
    """Return the mean log rate at which as many objects are named as wanted, by bisection."""
    low, high = RATES
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if named(middle) < wanted else (low, middle)
    return (low + high) / 2


def _mentions(race: _Race, times: FloatArray) -> Mentions:
    """Return the first mentions of a world, in reading order."""
    response, category = np.nonzero(times < race.words)
    word = times[response, category]
    order = np.lexsort((word, response))
    response, category, word = response[order], category[order], word[order]
    right = race.there[response, category]
    starts = np.flatnonzero(np.diff(response, prepend=-1))
    size = np.diff(np.r_[starts, len(response)])
    before: NDArray[np.intp] = np.cumsum(right) - right
    before = before - np.repeat(before[starts], size)
    unknown = np.full(len(response), np.nan)
    return Mentions(
        response,
        word.astype(np.intp),
        unknown,
        ~right,
        np.ones(len(response), dtype=bool),
        race.there.sum(axis=1)[response] - before,
        np.arange(len(response)) - np.repeat(starts, size),
        unknown,
        unknown,
    )


def _by_stretch(mentions: Mentions) -> tuple[float | None, ...]:
    stretch = np.minimum(mentions.word // BIN, BINS - 1)
    named = np.bincount(stretch, minlength=BINS)
    wrong = np.bincount(stretch[mentions.hallucinated], minlength=BINS)
    return tuple(float(w / n) if n else None for n, w in zip(named, wrong, strict=True))
