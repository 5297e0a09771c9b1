"""The late-minus-early odds ratio, salience not held: the odds that a newly named object is not in the image, 100 words
later.

A raw rate can rise with position although position has no effect. Late words come from long responses, which may be
the worse ones (survivorship). The true objects have been named by then (exhaustion). And responses differ. The model
is a logistic regression over the first mentions of every response,

    logit P(hallucinated) = b_response + β·(words before it)/100
                            + true objects still unnamed + true objects in the image + length of the response

with a random intercept b for each response. Its distribution is normal or, if the responses are of two kinds, a
mixture of two normals whose shares depend on the length of the response. exp(β) is reported. First mentions after
every true object has been named are left out: they cannot be right.

Each covariate enters as it is and as its logarithm. The odds of a model that picks the next object among those it
sees and those it imagines are proportional to 1/(objects still unnamed). The log odds of a model that only becomes
less sure are linear in their number. If worse responses are longer, the length must predict the intercept (Mundlak
1978).

How easy an object is to see (its salience) is not in the data and not held. A response that names the easy objects
first, true and absent alike, gives a ratio far above 1 although nothing changes along it. The ratio is therefore no
measure of forgetting. `eidolon.scorers.forgetting.rivals` fits other explanations.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import exp, log

import numpy as np

from eidolon.scorers.core.metric import FloatArray
from eidolon.scorers.forgetting.events import Events, Mentions, Responses
from eidolon.scorers.statistics.bootstrap import LEVEL
from eidolon.scorers.statistics.mixed_likelihood import TwoKinds
from eidolon.scorers.statistics.mixed_logistic import (
    MixedLogisticFit,
    NotEstimableError,
    fit_mixed_logistic,
)

POSITION = "position"
LABEL = "late minus early, salience not held"
"""The label of the fit over all first mentions."""
KINDS_BY = ("log words",)
"""The column that predicts the kind of a response: worse ones may be longer."""
PER = 100
"""Words (or tokens) of one unit of the odds ratio."""
LEAST_OUTCOMES = 20
"""Smallest number of hallucinated first mentions, and of true ones, for a fit with these covariates."""
MAX_LOG_ODDS = 20.0
"""Largest sum of an estimate and its standard error: odds of half a billion tell nothing."""
POWER = 0.8
"""Power of the minimum detectable effect, at the level of the intervals."""


@dataclass(frozen=True, slots=True)
class LateEarlyOddsRatio:
    """The odds ratio of a hallucination per `PER` words of position, for first mentions."""

    odds_ratio: float
    low: float
    high: float
    log_odds_ratio: float
    standard_error: float
    """Standard error of the log odds ratio: the larger of the likelihood's and the robust one over images."""
    minimum_detectable: float
    """Smallest odds ratio above 1 that is found with 80 % power with this standard error."""
    intercept_sd: float
    """Standard deviation between responses (of one kind), in log odds."""
    kinds: TwoKinds | None
    """The two kinds of responses, None if there is one."""
    mentions: int
    hallucinated: int
    forced: int
    """First mentions left out because no true object was unnamed."""
    responses: int
    covariates: tuple[str, ...]
    """The covariates in the fit."""
    influence: Mapping[int, float]
    """What each image, by number, adds to the log odds ratio to first order: see `MixedLogisticFit.influence`."""


def late_early_odds_ratio(events: Events, *, two_kinds: bool = True) -> LateEarlyOddsRatio:
    """Return the fit with position in words. With `two_kinds`, the responses may be of two kinds.

    Raises:
        NotEstimableError: the data do not determine it.
    """
    first = events.mentions.select(events.mentions.first)
    return fit_position(events.responses, first, covariates(events.responses, first), two_kinds=two_kinds)


def covariates(responses: Responses, mentions: Mentions) -> dict[str, FloatArray]:
    """Return the covariates other than position, each of shape (mentions,)."""
    of = mentions.response
    unnamed, true = mentions.unnamed.astype(float), responses.true_objects[of].astype(float)
    length = responses.words[of].astype(float)
    return {
        "log unnamed": np.log(np.maximum(unnamed, 1)),
        "unnamed": unnamed,
        "unnamed share": unnamed / np.maximum(true, 1),
        "log true objects": np.log(np.maximum(true, 1)),
        "true objects": true,
        "log words": np.log(np.maximum(length, 1)),
        "words": length,
    }


def fit_position(
    responses: Responses,
    mentions: Mentions,
    columns: Mapping[str, FloatArray],
    *,
    unit: str = "word",
    two_kinds: bool = True,
) -> LateEarlyOddsRatio:
    """Return the fit of position and the columns, over the mentions with a true object still unnamed.

    `unit` is that of the position: `word` or `token`. With `two_kinds`, the responses may be of two kinds.

    Raises:
        NotEstimableError: the data do not determine it. The message says why.
    """
    free = mentions.unnamed > 0
    kept = mentions.select(free)
    position = np.asarray(getattr(kept, unit), dtype=float) / PER
    if not len(kept):
        raise NotEstimableError("there are no first mentions with a true object still unnamed")
    if np.isnan(position).any():
        raise NotEstimableError(f"not every mention has a position in {unit}s")
    wrong = int(kept.hallucinated.sum())
    if min(wrong, len(kept) - wrong) < LEAST_OUTCOMES:
        raise NotEstimableError(
            f"{wrong} of {len(kept)} first mentions are hallucinated; it takes {LEAST_OUTCOMES} of either kind"
        )
    fit = fit_mixed_logistic(
        {POSITION: position, **{name: column[free] for name, column in columns.items()}},
        kept.hallucinated,
        kept.response,
        inference_clusters=responses.image[kept.response],
        kinds_by=KINDS_BY if two_kinds else None,
    )
    return _summary(fit, mentions, int((~free).sum()))


def _summary(fit: MixedLogisticFit, mentions: Mentions, forced: int) -> LateEarlyOddsRatio:
    if POSITION not in fit.names:
        raise NotEstimableError("all mentions stand at the same position")
    estimate, robust = fit[POSITION]
    at = fit.names.index(POSITION)
    error = max(robust, float(fit.model_covariance[at, at] ** 0.5))
    if abs(estimate) + error > MAX_LOG_ODDS:
        raise NotEstimableError(
            f"{fit.observations} mentions hardly constrain it (standard error {error:.3g})"
        )
    # scipy takes half a second to import, and most runs fit nothing.
    from scipy.special import ndtri

    reach = float(ndtri((1 + LEVEL) / 2))
    return LateEarlyOddsRatio(
        odds_ratio=exp(estimate),
        low=exp(estimate - reach * error),
        high=exp(estimate + reach * error),
        log_odds_ratio=estimate,
        standard_error=error,
        minimum_detectable=exp((reach + float(ndtri(POWER))) * error),
        intercept_sd=fit.intercept_sd,
        kinds=fit.kinds,
        mentions=fit.observations,
        hallucinated=int(mentions.hallucinated[mentions.unnamed > 0].sum()),
        forced=forced,
        responses=fit.clusters,
        covariates=tuple(name for name in fit.names if name not in ("intercept", POSITION)),
        influence=dict(zip(fit.inference_clusters.tolist(), fit.influence[:, at].tolist(), strict=True)),
    )


def minimum_responses(found: LateEarlyOddsRatio, odds_ratio: float) -> float:
    """Return how many responses like these show an odds ratio with 80 % power. Errors scale with 1/√n."""
    return found.responses * (log(found.minimum_detectable) / log(odds_ratio)) ** 2
