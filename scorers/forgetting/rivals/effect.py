"""What a rival leaves of the rise with position: an odds ratio with its interval, and what the rival itself does."""

from math import exp

from pydantic import ConfigDict

from eidolon.scorers.core.types import Record
from eidolon.scorers.forgetting.late_early import MAX_LOG_ODDS
from eidolon.scorers.statistics.bootstrap import LEVEL
from eidolon.scorers.statistics.mixed_logistic import NotEstimableError


class SideEffect(Record):
    """A number that only the rival's fit has."""

    model_config = ConfigDict(allow_inf_nan=False)

    name: str
    value: float
    ci: tuple[float, float] | None = None


class HeldEffect(Record):
    """The odds ratio of a hallucination per 100 words of position, with a rival held fixed."""

    model_config = ConfigDict(allow_inf_nan=False)

    odds_ratio: float | None = None
    ci: tuple[float, float] | None = None
    log_odds_ratio: float | None = None
    standard_error: float | None = None
    beside: tuple[SideEffect, ...] = ()
    reason: str | None = None
    """Why there is no odds ratio."""


def effect(log_odds_ratio: float, standard_error: float, beside: tuple[SideEffect, ...] = ()) -> HeldEffect:
    """Return the effect with its 95 % interval, normal in log odds.

    Raises:
        NotEstimableError: the data hardly constrain it.
    """
    if abs(log_odds_ratio) + standard_error > MAX_LOG_ODDS:
        raise NotEstimableError(f"the data hardly constrain it (standard error {standard_error:.3g})")
    low, high = interval(log_odds_ratio, standard_error)
    return HeldEffect(
        odds_ratio=exp(log_odds_ratio),
        ci=(exp(low), exp(high)),
        log_odds_ratio=log_odds_ratio,
        standard_error=standard_error,
        beside=beside,
    )


def interval(value: float, error: float) -> tuple[float, float]:
    """Return the 95 % normal interval of a coefficient."""
    from scipy.special import ndtri

    reach = float(ndtri((1 + LEVEL) / 2)) * error
    return value - reach, value + reach


def beside_odds(name: str, value: float, error: float) -> SideEffect:
    """Return a coefficient as an odds ratio with its interval; without one if the data hardly constrain it."""
    low, high = interval(value, error)
    known = abs(value) + error <= MAX_LOG_ODDS
    bounded = max(-MAX_LOG_ODDS, min(MAX_LOG_ODDS, value))
    return SideEffect(name=name, value=exp(bounded), ci=(exp(low), exp(high)) if known else None)
