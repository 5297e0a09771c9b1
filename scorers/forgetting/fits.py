"""A late-minus-early odds ratio under one specification, as a record of `forgetting.json`."""

from collections.abc import Mapping

from pydantic import ConfigDict

from eidolon.scorers.core.metric import FloatArray
from eidolon.scorers.core.types import Record
from eidolon.scorers.forgetting.events import Events, Mentions
from eidolon.scorers.forgetting.late_early import LateEarlyOddsRatio, fit_position
from eidolon.scorers.statistics.mixed_logistic import NotEstimableError


class TwoKindsRecord(Record):
    """Two kinds of responses, if one normal intercept does not describe them."""

    distance: float
    """Distance between the kinds, in log odds."""
    upper: float
    """Share of responses of the worse kind."""


class Fit(Record):
    """An odds ratio of hallucination per 100 words (or tokens) under one specification."""

    model_config = ConfigDict(allow_inf_nan=False)

    label: str
    odds_ratio: float | None = None
    ci: tuple[float, float] | None = None
    log_odds_ratio: float | None = None
    standard_error: float | None = None
    minimum_detectable: float | None = None
    intercept_sd: float | None = None
    kinds: TwoKindsRecord | None = None
    mentions: int = 0
    hallucinated: int = 0
    forced: int = 0
    responses: int = 0
    covariates: tuple[str, ...] = ()
    reason: str | None = None
    """Why there is no odds ratio."""


def fit(
    label: str, events: Events, mentions: Mentions, columns: Mapping[str, FloatArray], unit: str = "word"
) -> Fit:
    """Return the fit of position and the columns over some first mentions, or the reason why there is none."""
    try:
        found: LateEarlyOddsRatio = fit_position(events.responses, mentions, columns, unit=unit)
    except NotEstimableError as error:
        return Fit(label=label, reason=str(error))
    return Fit(
        label=label,
        odds_ratio=found.odds_ratio,
        ci=(found.low, found.high),
        log_odds_ratio=found.log_odds_ratio,
        standard_error=found.standard_error,
        minimum_detectable=found.minimum_detectable,
        intercept_sd=found.intercept_sd,
        kinds=found.kinds and TwoKindsRecord(distance=found.kinds.distance, upper=found.kinds.upper),
        mentions=found.mentions,
        hallucinated=found.hallucinated,
        forced=found.forced,
        responses=found.responses,
        covariates=found.covariates,
    )
