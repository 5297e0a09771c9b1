"""Position given knowledge: does a later word raise hallucination, with what the model knew before it wrote held fixed?

Easy objects are named first. So the objects that are left become harder, and hallucination rises with position though
nothing is forgotten. Here the model is asked about every object before it writes. The log-odds of its answers are the
utilities of a choice model (`statistics.known_choice`): each mention is a choice among what is left,

    log odds(wrong) = a + β·(words before)/100 + k·(earlier wrong mentions) + log Σ_absent e^{g·u} - log Σ_true e^{g·u}

with a and β normal between responses, and the mean of a linear in the logarithm of the response's length: responses
that are worse may be longer, or shorter. exp(β) is reported. The wordings of the questions measure the noise of u,
which the fit integrates out. A judge that errs more often in late sentences would look like an effect of position.
Its false alarms by position are measured (`judge_position`), and the fit holds them, with the true objects that they
hide.
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
VERSION = 2
"""The version of the headline. Version 1 did not hold the length of the response, nor what the judge hides."""
MEASURE = f"given-knowledge:{VERSION}"
"""Its name in a signature."""

Form: TypeAlias = Literal["headline", "length not held", "noise ignored", "knowledge not held"]
"""The headline, and what it is without one of its parts. Without knowledge, the length is not held either."""
Verdict: TypeAlias = Literal[
    "rises", "falls", "no change shown", "knowledge not held", "judge not held", "not measured"
]


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
    length_not_held: Estimate
    """As above, with the length of the response not held. Where worse responses are longer it is too high, where they
    are shorter too low."""
    noise_ignored: Estimate
    """The headline with the answers taken as exact."""
    plain: Estimate
    """The fit with the number of objects left, but without what the model knew of them. The length is not held."""
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
    false_alarms_in_place: float | None = None
    """Share of them that are read in place of something named, which the fits hold too."""


def measure_knowledge(
    probes: Sequence[ProbedImage],
    first: Mapping[str, JudgedSample],
    *,
    seed: int = 0,
    alarms: FalseAlarms | None = None,
) -> KnowledgeSummary:
    """Return the results of the probes with the first judged response to each sample, by sample id.

    Intervals are normal, from errors that are robust to dependence within a response. With `alarms` the judge's false
    alarms are part of every fit, and their uncertainty is in every error. None: they were not measured.
    """
    asked = [probe for probe in probes if probe.error is None]
    samples, by_sample = list(first.values()), {probe.sample_id: probe for probe in asked}
    choices = make_choices(samples, by_sample)
    noise = noise_variance(asked)
    sides = [spread(asked, truth) for truth in (True, False)]
    mentions = int(choices.there.sum())

    def fit(form: Form) -> KnownChoiceFit | str:
        return fit_form(form, probes, first, seed=seed, alarms=alarms)

    held, not_long, plain = fit("headline"), fit("length not held"), fit("knowledge not held")
    exact = held if noise <= NO_NOISE else fit("noise ignored")
    knowledge = _coefficient(held, UTILITY, mentions, better=True)
    position = odds_ratio(held, POSITION, mentions)
    return KnowledgeSummary(
        responses=int(choices.there.any(axis=1).sum()),
        mentions=mentions,
        hallucinated=int((choices.wrong & choices.there).sum()),
        unasked=int((choices.wrong & choices.there & (choices.chosen < 0)).sum()),
        noise_sd=None if isnan(noise) else _round(noise**0.5),
        reliability_true=_reliability(noise, sides[0]),
        reliability_absent=_reliability(noise, sides[1]),
        position_given_knowledge=position,
        length_not_held=odds_ratio(not_long, POSITION, mentions),
        noise_ignored=odds_ratio(exact, POSITION, mentions),
        plain=odds_ratio(plain, POSITION, mentions),
        knowledge=knowledge,
        earlier_wrong=odds_ratio(held, EARLIER, mentions),
        intercept_sd=None if isinstance(held, str) else _round(held.spreads[ABSENT]),
        slope_sd=None if isinstance(held, str) else _round(held.spreads[POSITION]),
        verdict=_verdict(position, knowledge, alarms),
        reason=held if isinstance(held, str) else None,
        false_alarms_per_100_words=None if alarms is None else _round(alarms.per_100_words),
        false_alarms_standard_error=None if alarms is None else _round(alarms.standard_error),
        false_alarms_in_place=None if alarms is None else _round(alarms.in_place),
    )


def fit_form(
    form: Form,
    probes: Sequence[ProbedImage],
    first: Mapping[str, JudgedSample],
    *,
    seed: int = 0,
    alarms: FalseAlarms | None = None,
) -> KnownChoiceFit | str:
    """Return the fit of a form, or why there is none."""
    asked = {probe.sample_id: probe for probe in probes if probe.error is None}
    samples = list(first.values())
    choices = make_choices(samples, asked)
    if alarms is not None:
        choices = misread_by(choices, alarms)
    if form in ("headline", "noise ignored"):
        choices = hold_length(choices, samples, asked)
    noise = noise_variance([*asked.values()])
    if form == "noise ignored" and not isnan(noise):
        noise = 0.0
    if form == "knowledge not held":
        choices, noise = replace(choices, measured=np.zeros_like(choices.measured)), 0.0
    return _fit(choices, noise, seed)


def fit_held(
    probes: Sequence[ProbedImage],
    first: Mapping[str, JudgedSample],
    *,
    seed: int = 0,
    alarms: FalseAlarms | None = None,
) -> tuple[KnownChoiceFit | str, tuple[ImageId, ...]]:
    """Return the fit behind the headline, or why there is none, and the image of each row of its influence."""
    asked = {probe.sample_id for probe in probes if probe.error is None and probe.objects}
    samples = {name: sample for name, sample in first.items() if sample.response.sample_id in asked}
    fit = fit_form("headline", probes, samples, seed=seed, alarms=alarms)
    if not isinstance(fit, str) and POSITION not in fit.names:
        fit = "position does not vary"
    return fit, tuple(sample.response.image_id for sample in samples.values())


def _fit(choices: KnownChoices, noise: float, seed: int) -> KnownChoiceFit | str:
    """Return the fit, or why there is none."""
    mentions, wrong = int(choices.there.sum()), int((choices.wrong & choices.there).sum())
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


def odds_ratio(fit: KnownChoiceFit | str, name: str, n: int) -> Estimate:
    """Return the odds ratio of a column with its interval, from a fit or the reason why there is none."""
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


def _verdict(position: Estimate, knowledge: Estimate, alarms: FalseAlarms | None) -> Verdict:
    if position.ci is None:
        return "not measured"
    if knowledge.ci is None or knowledge.ci[0] <= 0:
        return "knowledge not held"
    # What the judge misses late stays in the fit as still unnamed, and looks like an effect of position.
    if alarms is None or alarms.missed_per_100_words - Z * alarms.missed_standard_error > 0:
        return "judge not held"
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
