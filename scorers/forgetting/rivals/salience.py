"""Rival: salience. A world in which nothing is forgotten, matched to the run: does it show the same rise?

Every object of an image, present or absent, has a fixed utility. Present ones vary with a standard deviation s. Each
mention takes one of what is left by a softmax, at the words where the run's responses name something new. How likely
absent objects are is set so that as many first mentions are wrong as in the run. What comes out is judged by the same
fit. If some s gives an odds ratio like that of the run, salience can explain it, and responses alone cannot say that
it does not: the order of one response does not show how easy each object was to see.
"""

from dataclasses import dataclass

import numpy as np
from pydantic import ConfigDict

from eidolon.scorers.core.types import Record
from eidolon.scorers.forgetting.events import BoolArray, Events, IntArray, Mentions
from eidolon.scorers.forgetting.late_early import LateEarlyOddsRatio, late_early_odds_ratio
from eidolon.scorers.statistics.mixed_logistic import NotEstimableError

SPREADS = (1.0, 2.0, 3.0, 4.0, 6.0)
"""Standard deviations of the utilities of present objects, in log odds."""
IMAGINED = 0.5
"""That of absent objects: none is far more likely than the others."""
HALVINGS = 9
BIN = 20


class MatchedSpread(Record):
    """What a world with one spread of salience shows."""

    model_config = ConfigDict(allow_inf_nan=False)

    spread: float
    odds_ratio: float
    ci: tuple[float, float]
    wrong: tuple[float | None, ...]
    """Share of first mentions that are wrong, by stretches of 20 words."""


class SalienceMatch(Record):
    """The worlds without forgetting, and the run beside them."""

    model_config = ConfigDict(allow_inf_nan=False)

    observed: tuple[float | None, ...]
    """Share of first mentions of the run that are wrong, by stretches of 20 words."""
    spreads: tuple[MatchedSpread, ...]
    closest: MatchedSpread | None
    """The world whose odds ratio is closest to that of the run. Null if none can be fitted."""


@dataclass(frozen=True, slots=True)
class _Places:
    """When the responses name something new: the response of each mention and its rank in it."""

    response: IntArray
    rank: IntArray
    there: BoolArray


def match_salience(
    events: Events, observed: LateEarlyOddsRatio, *, categories: int, seed: int
) -> SalienceMatch:
    """Return the worlds. `categories` is the size of the vocabulary that objects are named from."""
    first = events.mentions.select(events.mentions.first)
    starts = np.flatnonzero(np.diff(first.response, prepend=-1))
    rank = np.arange(len(first)) - np.repeat(starts, np.diff(np.r_[starts, len(first)]))
    true = events.responses.true_objects
    many = max(categories, int(true.max(initial=0)), int(rank.max(initial=0)) + 1)
    places = _Places(first.response, rank, np.arange(many) < true[:, None])
    wanted = float(first.hallucinated.mean())
    found = []
    for spread in SPREADS:
        absent = _calibrate(places, spread, wanted, seed)
        drawn = _name(places, spread, absent, seed)
        mentions = _judge(first, drawn, places.there)
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
    closest = min(found, key=lambda one: abs(np.log(one.odds_ratio) - observed.log_odds_ratio), default=None)
    return SalienceMatch(observed=_by_stretch(first), spreads=tuple(found), closest=closest)


def _calibrate(places: _Places, spread: float, wanted: float, seed: int) -> float:
    """Return the utility of absent objects at which the share of wrong mentions is the wanted one, by bisection."""
    low, high = -15.0 - 2 * spread, 5.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        drawn = _name(places, spread, middle, seed)
        if (~places.there[places.response, drawn]).mean() < wanted:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _name(places: _Places, spread: float, absent: float, seed: int) -> IntArray:
    """Return the category of each mention."""
    rng = np.random.default_rng(seed)
    there = places.there
    utilities = np.where(there, spread, IMAGINED) * rng.standard_normal(there.shape)
    utilities += np.where(there, 0.0, absent)
    drawn = np.zeros(len(places.response), dtype=np.intp)
    for step in range(int(places.rank.max(initial=-1)) + 1):
        rows = np.flatnonzero(places.rank == step)
        of = places.response[rows]
        drawn[rows] = np.argmax(utilities[of] + rng.gumbel(size=(len(of), there.shape[1])), axis=1)
        utilities[of, drawn[rows]] = -np.inf
    return drawn


def _judge(first: Mentions, drawn: IntArray, there: BoolArray) -> Mentions:
    """Return the mentions with what was drawn: which are wrong, and how many true objects are left before each."""
    right = there[first.response, drawn]
    starts = np.flatnonzero(np.diff(first.response, prepend=-1))
    before = np.cumsum(right) - right
    before = before - np.repeat(before[starts], np.diff(np.r_[starts, len(right)]))
    unnamed = there.sum(axis=1)[first.response] - before
    return Mentions(
        first.response,
        first.word,
        first.token,
        ~right,
        first.first,
        unnamed,
        first.earlier,
        first.prior,
        first.largest,
    )


def _by_stretch(mentions: Mentions) -> tuple[float | None, ...]:
    stretch = np.minimum(mentions.word // BIN, 6)
    named, wrong = (
        np.bincount(stretch[rows], minlength=7) for rows in (mentions.first, mentions.hallucinated)
    )
    return tuple(float(w / n) if n else None for n, w in zip(named, wrong, strict=True))
