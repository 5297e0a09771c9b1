"""Hallucination rate by position: the share of mentions at a position of the response that are not in the image.

Positions are words, generated tokens, or tenths of the response. Each rate has its number of mentions, and the number
of responses that are long enough. Late points come from fewer and longer responses. The curves do not correct for
that: the other subsets and `late_early.py` do. Bands are cluster bootstraps over images.
"""

from typing import Literal, TypeAlias

import numpy as np
from pydantic import ConfigDict

from eidolon.scorers.core.metric import FloatArray, Share, ratio
from eidolon.scorers.core.resampling import RESAMPLES
from eidolon.scorers.core.types import Record
from eidolon.scorers.forgetting.events import BoolArray, Events, IntArray
from eidolon.scorers.forgetting.subsets import ALL, FIRST, SUBSETS, Subset
from eidolon.scorers.statistics.bootstrap import bootstrap

Unit: TypeAlias = Literal["words", "tokens", "tenths"]

WIDTH = {"words": 10, "tokens": 16}
"""Width of a bin, in its unit."""
BINS = 25
"""Largest number of bins. The last one also holds all later positions."""
TENTHS = 10
OTHER_UNITS: tuple[Unit, ...] = ("tokens", "tenths")


class RatePoint(Record):
    """The mentions that begin at positions from `start` up to, not including, `end`."""

    model_config = ConfigDict(allow_inf_nan=False)

    start: float
    end: float | None
    """Null for the last bin, which is open."""
    alive: int
    """Responses that are longer than `start`."""
    mentions: int
    hallucinated: int
    rate: float | None
    """Hallucinated mentions / mentions. Null without mentions."""
    rate_ci: tuple[float, float] | None
    per_100: float | None
    """Hallucinated mentions per 100 words (or tokens) written in this bin."""
    per_100_ci: tuple[float, float] | None
    prior: float | None
    """Mean rate expected of a model that names categories by their prevalence (first mentions only)."""


class RateCurve(Record):
    """One line of a plot: a set of mentions by position."""

    label: str
    unit: Unit
    points: tuple[RatePoint, ...]


def curve(
    events: Events,
    rows: BoolArray,
    *,
    label: str,
    unit: Unit,
    responses: BoolArray | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> RateCurve | None:
    """Return the curve of the mentions chosen by `rows`, in the responses chosen by `responses` (default: all).

    None if positions are missing, or no mention is chosen.
    """
    of = events.mentions.response
    kept = rows if responses is None else rows & responses[of]
    alive = np.ones(len(events.responses), bool) if responses is None else responses
    mentions = events.mentions.select(kept)
    length = (events.responses.tokens if unit == "tokens" else events.responses.words).astype(float)
    place = mentions.token if unit == "tokens" else mentions.word.astype(float)
    if not len(mentions) or np.isnan(place).any() or np.isnan(length[alive]).any():
        return None
    edges = _edges(unit, length[alive])
    if unit == "tenths":
        place = TENTHS * place / np.maximum(length[mentions.response], 1)
    bins = len(edges) - 1
    at: IntArray = np.clip(np.searchsorted(edges, place, side="right") - 1, 0, bins - 1)
    # For each response and bin: mentions, hallucinated ones, length written.
    counts = np.zeros((len(events.responses), bins, 3))
    cell, cells = mentions.response * bins + at, counts.shape[0] * bins
    counts[:, :, 0] = np.bincount(cell, minlength=cells).reshape(-1, bins)
    counts[:, :, 1] = np.bincount(cell[mentions.hallucinated], minlength=cells).reshape(-1, bins)
    span = length * 0.1 if unit == "tenths" else None
    written = np.clip(length[:, None] - edges[:-1], 0, np.diff(edges)) if span is None else span[:, None]
    counts[:, :, 2] = np.where(alive[:, None], written, 0)

    def parts(totals: FloatArray) -> FloatArray:
        return np.moveaxis(totals.reshape(*totals.shape[:-1], bins, 3), -1, 0)

    def compute(totals: FloatArray) -> dict[str, FloatArray]:
        named, wrong, words = parts(totals)
        return {"rate": ratio(wrong, named), "per_100": 100 * ratio(wrong, words)}

    def shares(totals: FloatArray) -> dict[str, Share]:
        named, wrong, words = parts(totals)
        return {"rate": Share(wrong, named), "per_100": Share.per_100_words(wrong, named, words)}

    found = bootstrap(
        counts.reshape(len(counts), -1)[alive],
        events.responses.image[alive].tolist(),
        compute,
        shares=shares,
        seed=seed,
        resamples=resamples,
    )
    rates, per_100 = ([found[name].estimate(b) for b in range(bins)] for name in ("rate", "per_100"))
    sums = counts.sum(axis=0)
    prior = [_mean(mentions.prior[at == b]) for b in range(bins)]
    starts = edges[:-1] if span is None else np.zeros(bins)
    return RateCurve(
        label=label,
        unit=unit,
        points=tuple(
            RatePoint(
                start=float(edges[b]),
                end=float(edges[b + 1]) if np.isfinite(edges[b + 1]) else None,
                alive=int((alive & (length > starts[b])).sum()),
                mentions=int(sums[b, 0]),
                hallucinated=int(sums[b, 1]),
                rate=rates[b].value,
                rate_ci=rates[b].ci,
                per_100=per_100[b].value,
                per_100_ci=per_100[b].ci,
                prior=prior[b],
            )
            for b in range(bins)
        ),
    )


def _edges(unit: Unit, lengths: FloatArray) -> FloatArray:
    if unit == "tenths":
        return np.arange(TENTHS + 1, dtype=float)
    width = WIDTH[unit]
    needed = int(np.ceil(lengths.max() / width))
    edges = np.arange(min(max(needed, 1), BINS) + 1, dtype=float) * width
    if needed > BINS:
        edges[-1] = np.inf
    return edges


def _mean(values: FloatArray) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None


def curves(events: Events, *, seed: int = 0, resamples: int = RESAMPLES) -> tuple[RateCurve, ...]:
    """Return the curves of a run: by words for each subset, by tokens and by tenths for first and for all mentions."""
    wanted: list[tuple[Unit, Subset]] = [("words", subset) for subset in SUBSETS]
    for unit in OTHER_UNITS:
        wanted += [(unit, FIRST), (unit, ALL)]
    found = (
        curve(
            events,
            subset.mentions(events),
            label=subset.label,
            unit=unit,
            responses=subset.responses(events),
            seed=seed,
            resamples=resamples,
        )
        for unit, subset in wanted
    )
    return tuple(line for line in found if line is not None)
