"""Position given knowledge: does a later word raise hallucination, with what the model knew before it wrote held fixed?

Easy objects are named first. So the objects that are left become harder, and hallucination rises with position though
nothing is forgotten. Here the model is asked about every object before it writes. The log-odds of its answers are the
utilities of a choice model (`statistics.known_choice`): each mention is a choice among what is left,

    log odds(wrong) = a + β·(words before)/100 + k·(earlier wrong mentions) + log Σ_absent e^{g·u} - log Σ_true e^{g·u}

with a and β normal between responses. exp(β) is reported. The wordings of the questions measure the noise of u, which
the fit integrates out. A judge that errs more often in late sentences would look like an effect of position. Its false
alarms by position are measured (`judge_position`), and the fit holds them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import exp, isnan
from typing import Literal, TypeAlias

import numpy as np
from pydantic import ConfigDict

from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.core.metric import JudgedSample
from eidolon.scorers.core.types import ImageId, Record
from eidolon.scorers.forgetting.knowledge_choices import (
    EARLIER,
    POSITION,
    hold_length,
    make_choices,
    misread_by,
    noise_variance,
    spread,
)
from eidolon.scorers.forgetting.knowledge_records import ProbedImage
from eidolon.scorers.forgetting.late_early import LEAST_OUTCOMES, MAX_LOG_ODDS
from eidolon.scorers.forgetting.rivals.judge_errors import FalseAlarms
from eidolon.scorers.statistics.known_choice import (
    ABSENT,
    NO_NOISE,
    UTILITY,
    KnownChoiceFit,
    KnownChoices,
    fit_choices,
)
from eidolon.scorers.statistics.mixed_logistic import NotEstimableError

Z = 1.959964
"""Standard errors of half a 95 % interval."""
DIGITS = 6

Verdict: TypeAlias = Literal["rises", "falls", "no change shown", "knowledge not held", "not measured"]


class KnowledgeSummary(Record):
    """All results of the probe of knowledge. Odds ratios are of a wrong first mention, per 100 words."""

    model_config = ConfigDict(allow_inf_nan=False)

    responses: int
    """Responses with a probe and at least one mention that counts."""
    mentions: int
    hallucinated: int
    unasked: int
    """Wrong mentions of objects that were not asked about."""
    noise_sd: float | None
    """Standard deviation of the error of an object's mean log-odds, in nats."""
    reliability_true: float | None
    """Share of the variance of the true objects' log-odds that is not noise."""
    reliability_absent: float | None
    position_given_knowledge: Estimate
    noise_ignored: Estimate
    """As above, with the answers taken as exact."""
    plain: Estimate
    """The same fit with the number of objects left, but without what the model knew of them."""
    knowledge: Estimate
    """By how much a nat of log-odds raises the log-odds of being named."""
    earlier_wrong: Estimate
    """Odds ratio of each earlier wrong mention."""
    intercept_sd: float | None
    """Between responses, in log odds."""
    slope_sd: float | None
    """Between responses, in log odds per 100 words."""
    verdict: Verdict
    reason: str | None = None
    """Why there are no results."""
    false_alarms_per_100_words: float | None = None
    """Share of what is read that the judge adds per 100 words, which the fits hold. Null: not measured."""
    false_alarms_standard_error: float | None = None
    length_held: Estimate | None = None
    """The headline with the length of the response held too. Where worse responses are longer the headline is too
    high, where they are shorter too low, and this is not. Absent from files of earlier versions."""


def measure_knowledge(
    probes: Sequence[ProbedImage],
    first: Mapping[str, JudgedSample],
    *,
    seed: int = 0,
    alarms: FalseAlarms | None = None,
) -> KnowledgeSummary:
    """Return the results of the probes with the first judged response to each sample, by sample id.

    Intervals are normal, from errors that are robust to dependence within a response. With `alarms` the judge's false
    alarms are part of every fit, and their uncertainty is in every error.
    """
    asked = [probe for probe in probes if probe.error is None]
    samples, by_sample = list(first.values()), {probe.sample_id: probe for probe in asked}
    choices = make_choices(samples, by_sample)
    if alarms is not None:
        choices = misread_by(choices, alarms)
    noise = noise_variance(asked)
    sides = [spread(asked, truth) for truth in (True, False)]
    mentions = int(choices.there.sum())
    wrong = int((choices.wrong & choices.there).sum())
    held = _fit(choices, noise, mentions, wrong, seed)
    exact = held if noise <= NO_NOISE else _fit(choices, 0.0, mentions, wrong, seed)
    blind = replace(choices, measured=np.zeros_like(choices.measured))
    plain = _fit(blind, 0.0, mentions, wrong, seed)
    long = _fit(hold_length(choices, samples, by_sample), noise, mentions, wrong, seed)
    knowledge = _coefficient(held, UTILITY, mentions, better=True)
    position = _odds_ratio(held, POSITION, mentions)
    return KnowledgeSummary(
        responses=int(choices.there.any(axis=1).sum()),
        mentions=mentions,
        hallucinated=wrong,
        unasked=int((choices.wrong & choices.there & (choices.chosen < 0)).sum()),
        noise_sd=None if isnan(noise) else _round(noise**0.5),
        reliability_true=_reliability(noise, sides[0]),
        reliability_absent=_reliability(noise, sides[1]),
        position_given_knowledge=position,
        noise_ignored=_odds_ratio(exact, POSITION, mentions),
        plain=_odds_ratio(plain, POSITION, mentions),
        knowledge=knowledge,
        earlier_wrong=_odds_ratio(held, EARLIER, mentions),
        intercept_sd=None if isinstance(held, str) else _round(held.spreads[ABSENT]),
        slope_sd=None if isinstance(held, str) else _round(held.spreads[POSITION]),
        verdict=_verdict(position, knowledge),
        reason=held if isinstance(held, str) else None,
        false_alarms_per_100_words=None if alarms is None else _round(alarms.per_100_words),
        false_alarms_standard_error=None if alarms is None else _round(alarms.standard_error),
        length_held=_odds_ratio(long, POSITION, mentions),
    )


def fit_held(
    probes: Sequence[ProbedImage],
    first: Mapping[str, JudgedSample],
    *,
    seed: int = 0,
    alarms: FalseAlarms | None = None,
) -> tuple[KnownChoiceFit | str, tuple[ImageId, ...]]:
    """Return the fit behind the headline, or why there is none, and the image of each row of its influence."""
    asked = {probe.sample_id: probe for probe in probes if probe.error is None and probe.objects}
    samples = [sample for sample in first.values() if sample.response.sample_id in asked]
    choices = make_choices(samples, asked)
    if alarms is not None:
        choices = misread_by(choices, alarms)
    counts = int(choices.there.sum()), int((choices.wrong & choices.there).sum())
    fit = _fit(choices, noise_variance([*asked.values()]), *counts, seed)
    if not isinstance(fit, str) and POSITION not in fit.names:
        fit = "position does not vary"
    return fit, tuple(sample.response.image_id for sample in samples)


def _fit(choices: KnownChoices, noise: float, mentions: int, wrong: int, seed: int) -> KnownChoiceFit | str:
    """Return the fit, or why there is none."""
    if min(wrong, mentions - wrong) < LEAST_OUTCOMES:
        return (
            f"{wrong} of {mentions} first mentions are hallucinated; it takes {LEAST_OUTCOMES} of either kind"
        )
    if isnan(noise):
        return "one wording alone does not show how noisy the answers are"
    try:
        fit = fit_choices(choices, noise, random=(ABSENT, POSITION), seed=seed)
    except NotEstimableError as error:
        return str(error)
    estimate, deviation = fit[POSITION]
    if abs(estimate) + deviation > MAX_LOG_ODDS:
        return f"{mentions} mentions hardly constrain it (standard error {deviation:.3g})"
    return fit


def _odds_ratio(fit: KnownChoiceFit | str, name: str, n: int) -> Estimate:
    if isinstance(fit, str):
        return Estimate(value=None, ci=None, n=n, higher_is_better=False, reason=fit)
    if name not in fit.names:
        return Estimate(value=None, ci=None, n=n, higher_is_better=False, reason="it does not vary")
    value, error = fit[name]
    bounds = _round(exp(value - Z * error)), _round(exp(value + Z * error))
    return Estimate(value=_round(exp(value)), ci=bounds, n=n, higher_is_better=False)


def _coefficient(fit: KnownChoiceFit | str, name: str, n: int, *, better: bool) -> Estimate:
    if isinstance(fit, str):
        return Estimate(value=None, ci=None, n=n, higher_is_better=better, reason=fit)
    if name not in fit.names:
        return Estimate(value=None, ci=None, n=n, higher_is_better=better, reason="it does not vary")
    value, error = fit[name]
    bounds = _round(value - Z * error), _round(value + Z * error)
    return Estimate(value=_round(value), ci=bounds, n=n, higher_is_better=better)


def _verdict(position: Estimate, knowledge: Estimate) -> Verdict:
    if position.ci is None:
        return "not measured"
    if knowledge.ci is None or knowledge.ci[0] <= 0:
        return "knowledge not held"
    if position.ci[0] > 1:
        return "rises"
    return "falls" if position.ci[1] < 1 else "no change shown"


def _reliability(noise: float, variance: float) -> float | None:
    if isnan(noise) or isnan(variance) or variance <= 0:
        return None
    return _round(max(1 - noise / variance, 0.0))


def _round(value: float) -> float:
    """Return the value with six significant digits: the last ones depend on the machine."""
    return float(f"{value:.{DIGITS}g}")
