"""Rival: when responses end. Errors and stopping are fitted together, with one effect of the response in both.

After each new object the response ends or names another one. The hazard of ending has its own logistic regression on
position, on whether the mention just made is wrong, and on the response's own effect b, which also raises its errors:

    logit P(wrong)  = ... + β·position + sigma·b
    logit P(end)    = ... + delta·(the mention was wrong) + gamma·b

This is a joint model of a longitudinal outcome and dropout (Wulfsohn and Tsiatis 1997; for a shared effect and a
discrete hazard, Albert and Follmann 2000). The total length is not held, because it lies after the mentions. So it
serves where wrong mentions end a response (delta), and where worse responses are longer or shorter (gamma).
"""

import numpy as np

from eidolon.scorers.core.metric import FloatArray
from eidolon.scorers.forgetting.events import BoolArray, Events
from eidolon.scorers.forgetting.late_early import PER, POSITION
from eidolon.scorers.forgetting.rivals.effect import HeldEffect, SideEffect, beside_odds, effect
from eidolon.scorers.forgetting.rivals.history import columns_of, first_mentions
from eidolon.scorers.statistics.mixed_logistic import NotEstimableError
from eidolon.scorers.statistics.random_effects import Loading, fit_random_effects

WRONG = "ends: wrong mention"


def fit_stopping(events: Events) -> HeldEffect:
    """Return the effect of position in the joint model, and what a wrong mention does to the odds of ending.

    Raises:
        NotEstimableError: the data do not determine it.
    """
    free, _ = first_mentions(events)
    every = events.mentions.select(events.mentions.first)
    ends: BoolArray = np.diff(every.response, append=-1) != 0
    if ends.all():
        raise NotEstimableError("no response names more than one object")
    held = columns_of(events, free, length=False)
    place = every.word / PER
    after = every.unnamed - ~every.hallucinated  # what is left to name once this mention is made
    hazard = {
        "ends": np.ones(len(every)),
        "ends: position": place,
        "ends: position squared": place**2,
        WRONG: every.hallucinated.astype(float),
        "ends: named": np.log1p(every.earlier),
        "ends: log unnamed": np.log1p(np.maximum(after, 0)),
    }
    n, m = len(free), len(every)
    columns: dict[str, FloatArray] = {
        **{name: np.r_[column, np.zeros(m)] for name, column in held.items()},
        **{name: np.r_[np.zeros(n), column] for name, column in hazard.items()},
    }
    response = np.r_[free.response, every.response]
    errors = np.r_[np.ones(n), np.zeros(m)]
    fit = fit_random_effects(
        columns,
        (Loading("sigma", errors, 0), Loading("gamma", 1 - errors, 0)),
        np.r_[free.hallucinated, ends],
        response,
        inference_clusters=events.responses.image[response],
    )
    if POSITION not in fit.names:
        raise NotEstimableError("all mentions are at the same position")
    beside: tuple[SideEffect, ...] = ()
    if WRONG in fit.names:
        beside = (beside_odds("odds ratio of ending after a wrong mention", *fit[WRONG]),)
    return effect(*fit[POSITION], beside)
