"""The generative cloze: how much likelier true names are than absent ones where the model must name one more object.

After n tokens of its own text the model's turn is continued by "There is also", and each name that the text has not
used is scored by its log-probability. No question makes the model read the picture again. With the same names at n = 0,

    D(n) = mean over true names - mean over absent names, in nats      kept = sum of D(n) / sum of D(0)

so that the difficulty of what is left does not matter: the same objects are compared with themselves.
"""

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from pydantic import ConfigDict, Field

from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.core.metric import FloatArray, ratio
from eidolon.scorers.core.resampling import RESAMPLES
from eidolon.scorers.core.types import ImageId, Record
from eidolon.scorers.statistics.bootstrap import bootstrap

LEAST_IMAGES = 8
"""Smallest number of images with a result. With fewer, the intervals would be too narrow."""
PER = 100
"""Tokens of one unit of the change."""
COLUMNS = ("images", "first", "late", "auc_first", "auc_late", "product", "square")

ClozeVerdict: TypeAlias = Literal["falls", "rises", "no change shown", "not measured"]


class ScoredName(Record):
    """A name, and how likely it is to come next."""

    model_config = ConfigDict(allow_inf_nan=False)

    about: str
    """The category."""
    truth: bool
    log_probability: float
    """That the name with its article follows, in nats."""


class ClozeContext(Record):
    """A line of `cloze.jsonl`: the names after one beginning of a description. At n = 0 there is no text."""

    sample_id: str
    generation: int
    """Number of the context of the sample, from 0."""
    image_id: ImageId
    n: int
    """Least tokens of the beginning."""
    tokens: int
    """Its tokens: it ends with a sentence."""
    names: tuple[ScoredName, ...]
    error: str | None = Field(None, exclude_if=operator.not_)
    """Why there are no scores. Absent from the file if there are."""
    transient: bool = Field(False, exclude_if=operator.not_)
    """The error is temporary, so that a later session tries again. Absent from the file if false."""


class ClozeAtLength(Record):
    """The results after n tokens."""

    model_config = ConfigDict(allow_inf_nan=False)

    n: int
    images: int
    tokens: float
    """Mean number of tokens before the cloze."""
    difference: Estimate
    """D(n): nats by which true names are likelier than absent ones."""
    difference_at_0: Estimate
    """The same for the same names without any text."""
    auc: Estimate
    """Share of the pairs of a true and an absent name in which the true one is likelier."""
    auc_at_0: Estimate
    kept: Estimate
    """D(n) / D(0). Above 1 if the difference became larger."""
    reason: str | None = None
    """Why there are no results."""


class ClozeSummary(Record):
    """All results of the cloze."""

    images: int
    points: tuple[ClozeAtLength, ...]
    change: Estimate
    """Change of D per 100 tokens, in nats, over all lengths."""
    verdict: ClozeVerdict
    reason: str | None = None
    """Why there are no results."""


@dataclass(frozen=True, slots=True)
class _Pair:
    image_id: ImageId
    n: int
    tokens: int
    first: float
    late: float
    auc_first: float
    auc_late: float


def measure_cloze(
    contexts: Sequence[ClozeContext], *, seed: int = 0, resamples: int = RESAMPLES
) -> ClozeSummary:
    """Return the differences by length. Intervals are percentile bootstraps over images.

    Raises:
        ValueError: a name was not scored at n = 0 of its sample.
    """
    pairs = _pairs(contexts)
    lengths = sorted({pair.n for pair in pairs})
    points = tuple(
        _point(n, [pair for pair in pairs if pair.n == n], seed=seed, resamples=resamples) for n in lengths
    )
    images = [pair.image_id for pair in pairs]
    reason = None
    if len(set(images)) < LEAST_IMAGES:
        reason = f"{len(set(images))} images with names to score, fewer than {LEAST_IMAGES}"
    found = bootstrap(_statistics(pairs), images, _compute, seed=seed, resamples=resamples)
    change = Estimate.undefined(reason) if reason else found["change"].estimate()
    change = change.model_copy(update={"n": len(set(images)), "higher_is_better": True})
    return ClozeSummary(
        images=len(set(images)), points=points, change=change, verdict=_verdict(change), reason=reason
    )


def no_cloze(reason: str) -> ClozeSummary:
    """Return the results without any context."""
    change = Estimate(value=None, ci=None, n=0, higher_is_better=True, reason=reason)
    return ClozeSummary(images=0, points=(), change=change, verdict="not measured", reason=reason)


def _pairs(contexts: Sequence[ClozeContext]) -> list[_Pair]:
    first = {context.sample_id: context for context in contexts if context.n == 0}
    found = []
    for context in contexts:
        start = first.get(context.sample_id)
        if context.n == 0 or context.error is not None or start is None or start.error is not None:
            continue
        before = {name.about: name.log_probability for name in start.names}
        try:
            scored = [(name.truth, before[name.about], name.log_probability) for name in context.names]
        except KeyError as error:
            raise ValueError(f"sample {context.sample_id!r}: {error} is not scored at n = 0") from error
        true = np.array([row[1:] for row in scored if row[0]])
        absent = np.array([row[1:] for row in scored if not row[0]])
        if len(true) and len(absent):
            difference = true.mean(axis=0) - absent.mean(axis=0)
            apart = true[:, None] - absent[None]
            auc = ((apart > 0) + 0.5 * (apart == 0)).mean(axis=(0, 1))
            found.append(_Pair(context.image_id, context.n, context.tokens, *difference, *auc))
    return found


def _statistics(pairs: Sequence[_Pair]) -> FloatArray:
    rows = [
        (
            1.0,
            p.first,
            p.late,
            p.auc_first,
            p.auc_late,
            (p.late - p.first) * p.tokens / PER,
            (p.tokens / PER) ** 2,
        )
        for p in pairs
    ]
    return np.array(rows, dtype=float).reshape(-1, len(COLUMNS))


def _compute(totals: FloatArray) -> dict[str, FloatArray]:
    """Map totals (..., 7) to the quantities of a length, and the slope through the origin, shape (...)."""
    images, first, late, auc_first, auc_late, product, square = (totals[..., i] for i in range(len(COLUMNS)))
    return {
        "difference": ratio(late, images),
        "difference_at_0": ratio(first, images),
        "auc": ratio(auc_late, images),
        "auc_at_0": ratio(auc_first, images),
        # Where true names are no likelier at the start there is nothing to keep.
        "kept": ratio(late, np.where(first > 0, first, 0)),
        "change": ratio(product, square),
    }


def _point(n: int, pairs: Sequence[_Pair], *, seed: int, resamples: int) -> ClozeAtLength:
    images = [pair.image_id for pair in pairs]
    found = bootstrap(_statistics(pairs), images, _compute, seed=seed, resamples=resamples)
    count = len(set(images))
    reason = None if count >= LEAST_IMAGES else f"{count} images, fewer than {LEAST_IMAGES}"
    low = float(found["difference_at_0"].low)
    if reason is None and not low > 0:
        reason = "true names are not surely likelier than absent ones at n = 0: there is nothing to keep"
    names = ("difference", "difference_at_0", "auc", "auc_at_0")
    return ClozeAtLength(
        n=n,
        images=count,
        tokens=float(np.mean([pair.tokens for pair in pairs])),
        **{name: found[name].estimate() for name in names},
        kept=Estimate.undefined() if reason else found["kept"].estimate(),
        reason=reason,
    )


def _verdict(change: Estimate) -> ClozeVerdict:
    if change.ci is None:
        return "not measured"
    if change.ci[1] < 0:
        return "falls"
    return "rises" if change.ci[0] > 0 else "no change shown"
