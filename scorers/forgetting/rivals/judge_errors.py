"""Rival: the judge. False alarms that grow with position, as measured by moving sentences about.

`judge_position.py` reads the same sentence at the start and at the end of a response. What it finds only at the end is
a false alarm. Its share per 100 words, with its uncertainty, says how many of the wrong mentions at each position may
be the judge's. They are drawn and removed, several times, and the fits are combined as multiple imputations
(Rubin 1987).
"""

from dataclasses import dataclass

import numpy as np

from eidolon.scorers.core.metric import FloatArray
from eidolon.scorers.forgetting.events import Events
from eidolon.scorers.forgetting.late_early import PER, late_early_odds_ratio
from eidolon.scorers.forgetting.rivals.effect import HeldEffect, SideEffect, effect, interval

DRAWS = 5
BIN, MANY = 20, 4
"""The share of wrong mentions is measured in stretches of 20 words, by the number of objects unnamed up to 4."""


@dataclass(frozen=True, slots=True)
class FalseAlarms:
    """What the judge reads only because a sentence is late."""

    per_100_words: float
    """Categories read in error per category read, added by 100 words."""
    standard_error: float
    in_place: float = 0.0
    """Share of them that are read in place of something that the sentence names."""
    missed_per_100_words: float = 0.0
    """Categories that are not read though named, and nothing in their place, per category read, added by 100 words."""
    missed_standard_error: float = 0.0


def fit_without_false_alarms(events: Events, alarms: FalseAlarms, *, seed: int) -> HeldEffect:
    """Return the effect of position with the judge's share of the wrong mentions removed.

    Raises:
        NotEstimableError: the data without them do not determine it.
    """
    rng = np.random.default_rng(seed)
    # Where a wrong mention is rare, most of the wrong ones may be the judge's: early, and with much left to name.
    mentions = events.mentions.select(events.mentions.first & (events.mentions.unnamed > 0))
    cell = mentions.word // BIN * (MANY + 1) + np.minimum(mentions.unnamed, MANY)
    named = np.bincount(cell)
    wrong = np.bincount(cell[mentions.hallucinated], minlength=len(named))
    per_wrong = (named / np.maximum(wrong, 1))[cell]
    found: list[tuple[float, float]] = []
    for _ in range(DRAWS):
        share = max(0.0, alarms.per_100_words + alarms.standard_error * rng.standard_normal())
        spurious = np.minimum(1.0, share * mentions.word / PER * per_wrong)
        kept = ~(mentions.hallucinated & (rng.random(len(mentions)) < spurious))
        fit = late_early_odds_ratio(Events(events.responses, mentions.select(kept)))
        found.append((fit.log_odds_ratio, fit.standard_error))
    estimates, errors = np.array(found).T
    value, error = combine(estimates, errors)
    low, high = interval(alarms.per_100_words, alarms.standard_error)
    beside = SideEffect(
        name="false alarms added per 100 words, share of what is read",
        value=alarms.per_100_words,
        ci=(max(0.0, low), high),
    )
    return effect(value, error, (beside,))


def combine(estimates: FloatArray, errors: FloatArray) -> tuple[float, float]:
    """Return the mean of the imputations and its standard error by Rubin's rules."""
    between = float(np.var(estimates, ddof=1))
    return float(estimates.mean()), float(np.sqrt(np.mean(errors**2) + (1 + 1 / len(estimates)) * between))
