"""Rival: the response's own past. Earlier wrong mentions (snowballing) and, with or without it, the total length.

A response that has named one absent object may name more of them because of that text (Zhang et al. 2023, "How
language model hallucinations can snowball"), whatever the model still knows of the picture. Earlier wrong mentions
pile up with position, so a fit without them gives their effect to position.

The total length is decided after the mentions. If wrong mentions end a response, to hold the length fixed compares
mentions that were followed by different things, and makes a ratio of its own. Without it, worse responses that are
longer do. Both fits are reported.
"""

import numpy as np

from eidolon.scorers.core.metric import FloatArray
from eidolon.scorers.forgetting.events import Events, Mentions
from eidolon.scorers.forgetting.late_early import (
    KINDS_BY,
    LEAST_OUTCOMES,
    PER,
    POSITION,
    covariates,
)
from eidolon.scorers.forgetting.rivals.effect import HeldEffect, beside_odds, effect
from eidolon.scorers.statistics.mixed_logistic import NotEstimableError, fit_mixed_logistic

LENGTH = ("log words", "words")
"""The covariates that hold the total length."""
EARLIER_WRONG = "earlier wrong mentions"


def earlier_wrong(mentions: Mentions) -> FloatArray:
    """Return how many hallucinated mentions the same response has before each, for mentions in reading order."""
    wrong = mentions.hallucinated.astype(float)
    before = np.cumsum(wrong) - wrong
    starts = np.flatnonzero(np.diff(mentions.response, prepend=-1))
    return np.asarray(before - np.repeat(before[starts], np.diff(np.r_[starts, len(wrong)])))


def first_mentions(events: Events) -> tuple[Mentions, FloatArray]:
    """Return the first mentions with a true object still unnamed, and how many wrong ones are before each.

    Raises:
        NotEstimableError: there are too few right or wrong ones to fit anything.
    """
    first = events.mentions.select(events.mentions.first)
    free = first.unnamed > 0
    wrong = int(first.hallucinated[free].sum())
    if min(wrong, int(free.sum()) - wrong) < LEAST_OUTCOMES:
        raise NotEstimableError(
            f"{wrong} of {int(free.sum())} first mentions are hallucinated; it takes {LEAST_OUTCOMES} of either kind"
        )
    return first.select(free), earlier_wrong(first)[free]


def columns_of(events: Events, mentions: Mentions, *, length: bool) -> dict[str, FloatArray]:
    """Return position, in hundreds of words, and the covariates of `late_early.py`, with or without the length."""
    held = covariates(events.responses, mentions)
    return {
        POSITION: mentions.word / PER,
        **{name: column for name, column in held.items() if length or name not in LENGTH},
    }


def fit_history(events: Events, *, snowball: bool, length: bool) -> HeldEffect:
    """Return the effect of position with earlier wrong mentions held or not, and the total length held or not.

    Raises:
        NotEstimableError: the data do not determine it.
    """
    mentions, before = first_mentions(events)
    columns = columns_of(events, mentions, length=length)
    if snowball:
        columns[EARLIER_WRONG] = before
    fit = fit_mixed_logistic(
        columns,
        mentions.hallucinated,
        mentions.response,
        inference_clusters=events.responses.image[mentions.response],
        kinds_by=KINDS_BY if length else None,
    )

    def found(name: str) -> tuple[float, float]:
        at = fit.names.index(name)
        return fit[name][0], max(fit[name][1], float(fit.model_covariance[at, at] ** 0.5))

    if POSITION not in fit.names:
        raise NotEstimableError("all mentions are at the same position")
    beside = (
        (beside_odds("odds ratio per earlier wrong mention", *found(EARLIER_WRONG)),)
        if EARLIER_WRONG in fit.names
        else ()
    )
    return effect(*found(POSITION), beside)
