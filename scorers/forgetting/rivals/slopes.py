"""Rival: responses that change differently. Each has its own slope of position, with a mean that is reported.

If half of the responses get better along their way and half get worse, the odds do not rise on average. But the rate
does, because it cannot fall below 0. A fit with one slope for all takes that for a rise.
"""

from eidolon.scorers.core.metric import FloatArray
from eidolon.scorers.forgetting.events import Events
from eidolon.scorers.forgetting.late_early import POSITION
from eidolon.scorers.forgetting.rivals.effect import HeldEffect, SideEffect, effect
from eidolon.scorers.forgetting.rivals.history import columns_of, first_mentions
from eidolon.scorers.statistics.mixed_logistic import NotEstimableError
from eidolon.scorers.statistics.random_effects import Loading, fit_random_effects

LINKED, OWN = "slope by intercept", "slope"


def fit_slopes(events: Events) -> HeldEffect:
    """Return the mean effect of position, and the standard deviation of the slopes between responses.

    Raises:
        NotEstimableError: the data do not determine it.
    """
    mentions, _ = first_mentions(events)
    columns = columns_of(events, mentions, length=True)
    place = columns[POSITION]
    ones: FloatArray = place * 0 + 1
    fit = fit_random_effects(
        columns,
        (Loading("intercept sd", ones, 0), Loading(LINKED, place, 0), Loading(OWN, place, 1)),
        mentions.hallucinated,
        mentions.response,
        inference_clusters=events.responses.image[mentions.response],
    )
    if POSITION not in fit.names:
        raise NotEstimableError("all mentions are at the same position")
    spread = float((fit[LINKED][0] ** 2 + fit[OWN][0] ** 2) ** 0.5)
    beside = (SideEffect(name="standard deviation of the slopes, in log odds per 100 words", value=spread),)
    return effect(*fit[POSITION], beside)
