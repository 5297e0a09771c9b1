"""First mentions as choices among the objects that are left, and the noise of what the model answered about them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from eidolon.scorers.core.metric import FloatArray, JudgedSample
from eidolon.scorers.core.verdict import cells
from eidolon.scorers.forgetting.events import in_order
from eidolon.scorers.forgetting.knowledge_records import ProbedImage, ProbedObject
from eidolon.scorers.forgetting.rivals.judge_errors import FalseAlarms
from eidolon.scorers.statistics.known_choice import KnownChoices

PER = 100
"""Words of one unit of position."""
POSITION, EARLIER, LENGTH = "position", "earlier wrong", "log words of the response"


def make_choices(samples: Sequence[JudgedSample], probes: Mapping[str, ProbedImage]) -> KnownChoices:
    """Return the first mentions of the samples that have a probe, one response each.

    A mention with no true object left cannot be right. It is left out, and so is one of an object that is no candidate,
    but both count among the earlier ones.
    """
    pairs = _probed(samples, probes)
    items = max((len(probe.objects) for _, probe in pairs), default=1)
    steps = max((len({m.category for m in sample.judgement.mentions}) for sample, _ in pairs), default=1) or 1
    shape = len(pairs), steps
    measured = np.zeros((len(pairs), items))
    is_true, is_absent = (np.zeros(measured.shape, dtype=bool) for _ in range(2))
    left = np.zeros((*shape, items), dtype=bool)
    chosen, wrong, there = np.full(shape, -1), np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
    unmeasured, position, earlier = (np.zeros(shape) for _ in range(3))
    for i, (sample, probe) in enumerate(pairs):
        truth = cells(sample).truth
        at = {one.about: k for k, one in enumerate(probe.objects)}
        measured[i, : len(at)] = [np.mean(one.log_odds) for one in probe.objects]
        is_true[i, : len(at)] = [one.about in truth for one in probe.objects]
        is_absent[i, : len(at)] = [not one.truth for one in probe.objects]
        open_, unasked, mistakes, named = is_true[i] | is_absent[i], probe.unasked, 0, set[str]()
        for mention in in_order(sample):
            if mention.category in named:
                continue
            m = len(named)
            named.add(mention.category)
            k = at.get(mention.category, -1)
            false = mention.verdict == "hallucinated"
            asked = int((open_ & is_absent[i]).sum())
            left[i, m], chosen[i, m], wrong[i, m] = open_, k, false
            possible = unasked > 0 if k < 0 and false else k >= 0
            there[i, m] = possible and bool((open_ & is_true[i]).any()) and asked + unasked > 0
            unmeasured[i, m] = unasked
            position[i, m], earlier[i, m] = mention.word / PER, mistakes
            mistakes += false
            unasked = max(unasked - (k < 0), 0)
            if k >= 0:
                open_ = open_.copy()
                open_[k] = False
    columns = {POSITION: position, EARLIER: earlier}
    return KnownChoices(measured, is_true, is_absent, left, chosen, wrong, unmeasured, columns, there)


def hold_length(
    choices: KnownChoices, samples: Sequence[JudgedSample], probes: Mapping[str, ProbedImage]
) -> KnownChoices:
    """Return the choices of `make_choices` with the length of each response as a column.

    It is the logarithm of the words, less its mean. So the mean of the random intercept may depend on the length
    (Mundlak 1978): late words belong to long responses, which may be worse or better ones.
    """
    words = [len((sample.response.response or "").split()) for sample, _ in _probed(samples, probes)]
    length = np.log(np.maximum(np.array(words, dtype=float), 1))
    length -= length.mean() if len(length) else 0.0
    column = np.broadcast_to(length[:, None], choices.there.shape).copy()
    return replace(choices, columns={**choices.columns, LENGTH: column})


def _probed(
    samples: Sequence[JudgedSample], probes: Mapping[str, ProbedImage]
) -> list[tuple[JudgedSample, ProbedImage]]:
    """Return the samples that have a probe, with it."""
    return [
        (sample, probe)
        for sample in samples
        if (probe := probes.get(sample.response.sample_id)) is not None and probe.objects
    ]


def misread_by(choices: KnownChoices, alarms: FalseAlarms) -> KnownChoices:
    """Return the choices as read by a judge whose false alarms grow with position."""
    words = choices.columns[POSITION]
    return replace(
        choices,
        misread=max(alarms.per_100_words, 0.0) * words,
        misread_error=alarms.standard_error * words,
        in_place=alarms.in_place,
    )


def noise_variance(probes: Sequence[ProbedImage]) -> float:
    """Return the variance of the error of an object's mean log-odds, in nats².

    The wordings of a question are repeated measurements. What is left of them after the mean of the object and that of
    the wording, separately for true and absent objects, is taken as noise. One wording says nothing of it: NaN.
    """
    residual, freedom, wordings = 0.0, 0, 1
    for truth in (True, False):
        table = _table([one for probe in probes for one in probe.objects if one.truth == truth])
        objects, wordings_here = table.shape
        if objects < 2 or wordings_here < 2:
            continue
        wordings = wordings_here
        centred = table - table.mean(axis=1, keepdims=True) - table.mean(axis=0) + table.mean()
        residual += float((centred**2).sum())
        freedom += (objects - 1) * (wordings - 1)
    return residual / freedom / wordings if freedom else float("nan")


def spread(probes: Sequence[ProbedImage], truth: bool) -> float:
    """Return the variance of the mean log-odds of the true or the absent objects, with its noise."""
    table = _table([one for probe in probes for one in probe.objects if one.truth == truth])
    return float(table.mean(axis=1).var()) if table.size else float("nan")


def _table(objects: Sequence[ProbedObject]) -> FloatArray:
    rows = [one.log_odds for one in objects]
    return np.array(rows, dtype=float).reshape(len(rows), len(rows[0]) if rows else 0)
