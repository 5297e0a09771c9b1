"""How far a model's words depend on the picture, and how fast that fades: numbers only.

Of every token two numbers are known (`models.probing.dependency` measures them): the Hellinger distance between what
the model expects there with the picture and without it (PDM-H: Favero et al., CVPR 2024, arXiv 2403.14003), and the
size of the centred difference between the two log-probabilities. The first is plotted; a fading rate is fitted to
the second. With the paper's model of fading, l(t) = f_t·l* + (1 - f_t)·l_u and f_t = e^{-λt}, the centred difference
l - l_u is f_t·(l* - l_u) exactly, so that its logarithm falls by λ a token; the Hellinger distance is no such thing.

Late tokens have fewer and longer responses, and other kinds of words. So there are curves by kind of token, a fixed set
of responses, and fits with a level for each response, or for each kind of token in each response. All intervals are
cluster bootstraps over images.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field

from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.core.metric import FloatArray, ratio
from eidolon.scorers.core.resampling import RESAMPLES
from eidolon.scorers.core.types import ImageId, Record, Verdict
from eidolon.scorers.forgetting.token_kinds import KINDS, Kind
from eidolon.scorers.statistics.bootstrap import BootstrapResult, bootstrap

SCHEMA: Literal["eidolon/pdm/1"] = "eidolon/pdm/1"
WIDTH = 8
"""Tokens of a bin."""
BINS = 32
"""At most so many bins: what comes later is in the last."""
SURVIVAL = 64
"""Tokens that a response must reach to be in the fixed set, …"""
PART = 16
"""… of which the first and the last so many are compared."""
ROUNDING = 1e-4
"""Root mean square difference of log-probabilities, in nats, below which there is only rounding in float32. In 16 bits
rounding is larger, so that a rate from such a model is drawn towards 0 where little depends on the picture."""
Label: TypeAlias = Literal[Kind, "all"]
ALL: Literal["all"] = "all"

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class TokenSeries:
    """What was measured along one response; arrays have one number a token."""

    image_id: ImageId
    hellinger: FloatArray
    """PDM-H, 0 to 1."""
    difference: FloatArray
    """Root mean square over the vocabulary of l_c - l_u less its mean, in nats."""
    kinds: tuple[Kind, ...]
    verdicts: tuple[Verdict | None, ...]
    """Of tokens that begin a mention, where the truth is known."""


class Mean(Estimate):
    """Mean PDM of the tokens of one kind."""

    label: str
    tokens: int


class Point(Estimate):
    """Mean PDM of the tokens from `start` up to, not including, `end`."""

    start: int
    end: int | None
    """Null of the last bin where it is open."""
    tokens: int
    alive: int
    """Responses that have a token at `start`."""


class Curve(Record):
    """Mean PDM by position of one kind of token."""

    label: Label
    survivors: bool
    """Whether only the fixed set is in it."""
    points: tuple[Point, ...]


class Early(Record):
    """Early and late tokens of the same responses: those that reach `length` tokens."""

    label: Label
    length: int
    responses: int
    early: Estimate
    """Mean PDM of the first `PART` tokens, …"""
    late: Estimate
    """… of the last `PART` before the length, …"""
    change: Estimate
    """… and late less early."""


class Fade(Record):
    """λ of f_t = e^{-λt}, with what says whether it means anything."""

    model_config = ConfigDict(allow_inf_nan=False)

    label: str
    rate: float | None = None
    """λ, per token; negative where the dependence grows."""
    rate_ci: tuple[float, float] | None = None
    decay_per_100: float | None = None
    """1 - e^{-100 λ}: the share of the dependence that is gone after 100 tokens."""
    decay_per_100_ci: tuple[float, float] | None = None
    half_life: float | None = None
    """ln 2 / λ, in tokens; null unless the whole interval of λ is above 0."""
    half_life_ci: tuple[float, float] | None = None
    finding: Literal["decay", "no decay", "growth"] | None = None
    """By the interval of λ: above 0, with 0 in it, below 0; null without an interval."""
    r2: float | None = None
    """Share of the variation around the levels that the line explains."""
    curvature: float | None = None
    """Coefficient of (t/100)² where it is added; 0 where fading is exponential."""
    curvature_ci: tuple[float, float] | None = None
    responses: int = 0
    tokens: int = 0
    rounding: int = 0
    """Tokens left out because with and without the picture are the same up to rounding."""
    reason: str | None = None
    """Why there is no rate."""


class PdmTable(Record):
    """Everything that a measurement of visual prompt dependency says; the content of its JSON file."""

    schema_: Literal["eidolon/pdm/1"] = Field(default=SCHEMA, alias="schema")
    without: str
    """How the second branch lacked the picture (`eidolon.models.generation.image_ablation`)."""
    settings: dict[str, str | int | float | None]
    responses: int
    tokens: int
    kinds: dict[Kind, int]
    means: tuple[Mean, ...]
    curves: tuple[Curve, ...]
    fixed_sets: tuple[Early, ...]
    fade: Fade
    """The main one: all tokens, a level for each response."""
    sensitivity: tuple[Fade, ...]

    def to_json(self) -> str:
        """Return the file's text."""
        return self.model_dump_json(by_alias=True, indent=2) + "\n"


def pdm_table(
    series: Sequence[TokenSeries],
    *,
    without: str,
    settings: dict[str, str | int | float | None] | None = None,
    survival: int = SURVIVAL,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> PdmTable:
    """Compute all from what was measured. Responses without a token count for nothing."""
    series = [one for one in series if len(one.hellinger)]
    long = [one for one in series if len(one.hellinger) >= survival]
    labels: tuple[Label, ...] = (ALL, *KINDS)
    fit = partial(fit_fade, seed=seed, resamples=resamples)
    curve = partial(_curve, seed=seed, resamples=resamples)
    early = partial(_early, seed=seed, resamples=resamples)
    curves = [
        curve(chosen, label, length)
        for length, chosen in ((None, series), (survival, long))
        for label in labels
    ]
    return PdmTable(
        without=without,
        settings={"survival": survival, "resamples": resamples, "seed": seed, **(settings or {})},
        responses=len(series),
        tokens=sum(len(one.hellinger) for one in series),
        kinds={kind: sum(one.kinds.count(kind) for one in series) for kind in KINDS},
        means=_means(series, seed=seed, resamples=resamples),
        curves=tuple(found for found in curves if found is not None),
        fixed_sets=tuple(early(long, label, survival) for label in labels if long),
        fade=fit(series, "all tokens, a level for each response"),
        sensitivity=(
            fit(long, f"responses of {survival} tokens or more"),
            fit(series, "a level for each kind in each response", by_kind=True),
            *(fit(series, kind, only=kind) for kind in KINDS),
        ),
    )


def fit_fade(
    series: Sequence[TokenSeries],
    label: str,
    *,
    only: Kind | None = None,
    by_kind: bool = False,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Fade:
    """Fit log(difference) = level of the response - λt by least squares; `by_kind`, a level for each of its kinds.

    What remains around the line is how much the picture matters for one word or another; it is neither independent
    nor normal, so that the interval resamples images. R² is within levels.
    """
    rows, clusters, rounding = [], [], 0
    for one in series:
        kept = one.difference > ROUNDING
        kinds = np.array(one.kinds, dtype=object)
        of_kind = np.ones(len(kept), bool) if only is None else kinds == only
        rounding += int((of_kind & ~kept).sum())
        groups = [kinds == kind for kind in KINDS] if by_kind else [of_kind]
        rows.append(sum((fade_moments(one, group & kept) for group in groups), start=np.zeros(MOMENTS)))
        clusters.append(one.image_id)
    statistics = np.array(rows).reshape(len(rows), MOMENTS)
    tokens = int(statistics[:, 0].sum())
    known = Fade(label=label, responses=int((statistics[:, 0] > 0).sum()), tokens=tokens, rounding=rounding)
    if rounding > tokens:
        return known.model_copy(update={"reason": "most tokens are the same with the picture and without"})
    if not len(rows) or not statistics[:, 1].sum() > 0:
        return known.model_copy(update={"reason": "no response has two such tokens"})
    found = bootstrap(statistics, clusters, fade_line, seed=seed, resamples=resamples)
    rate, interval = float(found["rate"].value), found["rate"].estimate().ci
    low, high = interval or (math.nan, math.nan)
    curvature = found["curvature"].estimate()
    return known.model_copy(
        update={
            "rate": rate,
            "rate_ci": interval,
            "decay_per_100": lost_per_100(rate),
            "decay_per_100_ci": interval and (lost_per_100(low), lost_per_100(high)),
            "half_life": math.log(2) / rate if low > 0 else None,
            "half_life_ci": (math.log(2) / high, math.log(2) / low) if low > 0 else None,
            "finding": interval and ("decay" if low > 0 else "growth" if high < 0 else "no decay"),
            "r2": found["r2"].estimate().value,
            "curvature": curvature.value,
            "curvature_ci": curvature.ci,
        }
    )


def lost_per_100(rate: float) -> float:
    """Return the share that is gone after 100 tokens; hugely negative, and finite, where a few tokens grow at once."""
    return -math.expm1(min(-100 * rate, 700.0))


MOMENTS = 7


def fade_moments(one: TokenSeries, rows: BoolArray) -> FloatArray:
    """Return the count and the centred second moments (uu, uv, vv, uy, vy, yy) of u = t/100, v = u², y = log size.

    They are those of the tokens chosen by `rows`, bool (tokens,), and additive over responses.
    """
    u = np.flatnonzero(rows) / 100.0
    if not len(u):
        return np.zeros(MOMENTS)
    columns = np.stack([u, u * u, np.log(one.difference[rows])])
    columns -= columns.mean(axis=1, keepdims=True)
    products = columns @ columns.T
    return np.array([len(u), *(products[i, j] for i, j in ((0, 0), (0, 1), (1, 1), (0, 2), (1, 2), (2, 2)))])


def fade_line(totals: FloatArray) -> dict[str, FloatArray]:
    """Map summed moments (..., 7) to λ, R² and curvature, shape (...)."""
    _, uu, uv, vv, uy, vy, yy = np.moveaxis(totals, -1, 0)
    determinant = uu * vv - uv * uv
    # Two places, or one length alone, leave nothing to tell a curve by.
    determinant = np.where(determinant > 1e-12 * uu * vv, determinant, 0.0)
    return {
        "rate": -ratio(uy, uu) / 100,
        "r2": ratio(uy * uy, uu * yy),
        "curvature": ratio(uu * vy - uv * uy, determinant),
    }


def _means(series: Sequence[TokenSeries], *, seed: int, resamples: int) -> tuple[Mean, ...]:
    """Return the mean PDM of all tokens, of each kind, and of objects by what is true of them."""
    labels: list[str] = [ALL, *KINDS]
    if any(verdict for one in series for verdict in one.verdicts):
        labels += ["object, grounded", "object, hallucinated"]
    if not series:
        return ()
    sums = np.zeros((len(series), len(labels), 2))
    for row, one in enumerate(series):
        for column, label in enumerate(labels):
            kind, _, verdict = label.partition(", ")
            chosen = np.array(
                [
                    (kind in (ALL, found)) and (not verdict or verdict == judged)
                    for found, judged in zip(one.kinds, one.verdicts, strict=True)
                ],
                dtype=bool,
            )
            sums[row, column] = one.hellinger[chosen].sum(), chosen.sum()
    mean = _bootstrapped_ratio(sums, series, seed=seed, resamples=resamples)
    return tuple(
        Mean(
            label=label,
            tokens=int(sums[:, column, 1].sum()),
            value=mean.estimate(column).value,
            ci=mean.estimate(column).ci,
        )
        for column, label in enumerate(labels)
    )


def _curve(
    series: Sequence[TokenSeries], label: Label, length: int | None, *, seed: int, resamples: int
) -> Curve | None:
    """Return the curve of a kind, up to `length` tokens; None where there is nothing of it."""
    longest = min(max((len(one.hellinger) for one in series), default=0), length or WIDTH * BINS)
    bins = -(-longest // WIDTH)
    sums = np.zeros((len(series), bins, 2))
    for row, one in enumerate(series):
        at = np.arange(len(one.hellinger))
        chosen = _of(one, label) & (at < (length or len(at)))
        cells = np.minimum(at[chosen] // WIDTH, bins - 1)
        sums[row, :, 0] = np.bincount(cells, one.hellinger[chosen], minlength=bins)
        sums[row, :, 1] = np.bincount(cells, minlength=bins)
    if not sums[..., 1].any():
        return None
    mean = _bootstrapped_ratio(sums, series, seed=seed, resamples=resamples)
    lengths = np.array([len(one.hellinger) for one in series])
    beyond = length is None and bool((lengths > bins * WIDTH).any())
    return Curve(
        label=label,
        survivors=length is not None,
        points=tuple(
            Point(
                start=b * WIDTH,
                end=None if beyond and b == bins - 1 else min((b + 1) * WIDTH, length or (b + 1) * WIDTH),
                value=mean.estimate(b).value,
                ci=mean.estimate(b).ci,
                tokens=int(sums[:, b, 1].sum()),
                alive=int((lengths > b * WIDTH).sum()),
            )
            for b in range(bins)
        ),
    )


def _early(series: Sequence[TokenSeries], label: Label, length: int, *, seed: int, resamples: int) -> Early:
    sums = np.zeros((len(series), 2, 2))
    for row, one in enumerate(series):
        at = np.arange(len(one.hellinger))
        parts = at < PART, (at >= length - PART) & (at < length)
        for column, part in enumerate(parts):
            chosen = part & _of(one, label)
            sums[row, column] = one.hellinger[chosen].sum(), chosen.sum()

    def compute(totals: FloatArray) -> dict[str, FloatArray]:
        early, late = np.moveaxis(_ratios(totals, 2), -1, 0)
        return {"early": early, "late": late, "change": late - early}

    found = bootstrap(sums.reshape(len(sums), -1), _images(series), compute, seed=seed, resamples=resamples)
    early, late, change = (found[name].estimate() for name in ("early", "late", "change"))
    return Early(label=label, length=length, responses=len(series), early=early, late=late, change=change)


def _of(one: TokenSeries, label: Label) -> BoolArray:
    return np.array([label in (ALL, kind) for kind in one.kinds], dtype=bool)


def _images(series: Sequence[TokenSeries]) -> list[ImageId]:
    return [one.image_id for one in series]


def _ratios(totals: FloatArray, columns: int) -> FloatArray:
    pairs = totals.reshape(*totals.shape[:-1], columns, 2)
    return ratio(pairs[..., 0], pairs[..., 1])


def _bootstrapped_ratio(
    sums: FloatArray, series: Sequence[TokenSeries], *, seed: int, resamples: int
) -> BootstrapResult:
    """Return the ratios of sums (responses, columns, 2) over all responses."""
    columns = sums.shape[1]
    found = bootstrap(
        sums.reshape(len(sums), -1),
        _images(series),
        lambda totals: {"mean": _ratios(totals, columns)},
        seed=seed,
        resamples=resamples,
    )
    return found["mean"]
