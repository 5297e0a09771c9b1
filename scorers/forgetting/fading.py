"""How fast a model's dependency on the image fades: a rate fitted to its tokens.

With the model of fading of M3ID (Favero et al., CVPR 2024, arXiv 2403.14003), l(t) = f_t·l* + (1 - f_t)·l_u and
f_t = e^{-λt}, the centred difference of log-probabilities l - l_u is exactly f_t·(l* - l_u). So its logarithm falls
by λ with each token. The Hellinger distance does not have this property, and no rate is fitted to it.

This holds where the branch without the image gives l_u itself. Its noise adds a floor to the difference, which does not
fade and draws λ to 0, the more so with a large vocabulary. `fading_signal.py` fits λ without this floor.

Late tokens belong to fewer and longer responses, and to other kinds of words. So each fit has a level for each
response, or for each kind of token in each response. Intervals are cluster bootstraps over images.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict

from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.core.metric import FloatArray, ratio
from eidolon.scorers.core.resampling import RESAMPLES
from eidolon.scorers.core.types import ImageId, Record, Verdict
from eidolon.scorers.forgetting.token_kinds import KINDS, Kind
from eidolon.scorers.statistics.bootstrap import bootstrap

ROUNDING = 1e-4
"""Root mean square difference of log-probabilities, in nats, below which there is only rounding error in float32. In
16 bits the rounding error is larger, so that the rate of such a model is biased towards 0 where little depends on
the image."""
MOMENTS = 7
"""Number of the moments of a response that a fit needs."""

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class TokenSeries:
    """The measurements along one response. Arrays have one number for each token."""

    image_id: ImageId
    hellinger: FloatArray
    """PDM-H, 0 to 1."""
    difference: FloatArray
    """Root mean square over the vocabulary of the centred difference l_c - l_u, in nats."""
    kinds: tuple[Kind, ...]
    verdicts: tuple[Verdict | None, ...]
    """For each token that begins a mention, its verdict, if the ground truth is known; else None."""
    beside: FloatArray | None = None
    """PDM-H against the second form without the image, if there is one."""
    signal: FloatArray | None = None
    """What the image changes, in nats²: the mean over plausible tokens of the product of the centred differences to
    two forms without the image (`models.probing.dependency.plausible_product`). NaN where only one token is
    plausible."""


class Fade(Record):
    """A fitted fading rate, λ of f_t = e^{-λt}, and what shows how well it describes the tokens."""

    model_config = ConfigDict(allow_inf_nan=False)

    label: str
    rate: float | None = None
    """λ, per token. Negative where the dependency grows."""
    rate_ci: tuple[float, float] | None = None
    decay_per_100: float | None = None
    """1 - e^{-100 λ}: the share of the dependency that is lost after 100 tokens."""
    decay_per_100_ci: tuple[float, float] | None = None
    half_life: float | None = None
    """ln 2 / λ, in tokens. Null unless the whole interval of λ is above 0."""
    half_life_ci: tuple[float, float] | None = None
    finding: Literal["decay", "no decay", "growth"] | None = None
    """By the interval of λ: above 0, containing 0, or below 0. Null without an interval."""
    r2: float | None = None
    """Share of the variation around the levels that the line explains."""
    curvature: float | None = None
    """Coefficient of (t/100)² if it is added to the line. It is 0 where fading is exponential."""
    curvature_ci: tuple[float, float] | None = None
    responses: int = 0
    tokens: int = 0
    rounding: int = 0
    """Tokens left out because the image changes only the rounding."""
    certain: int = 0
    """Tokens left out because only one token is plausible without the image."""
    reason: str | None = None
    """Why there is no rate."""

    def decay_estimate(self) -> Estimate:
        """Return the share of the dependency that is lost after 100 tokens."""
        return Estimate(
            value=self.decay_per_100,
            ci=self.decay_per_100_ci,
            n=self.responses,
            higher_is_better=False,
            reason=self.reason or self._no_interval(),
        )

    def half_life_estimate(self) -> Estimate:
        """Return the half-life, in tokens."""
        reason = self.reason or self._no_interval()
        if self.finding == "no decay":
            reason = "no decay: its interval reaches 0"
        elif self.finding == "growth":
            reason = "no decay: the dependence grows"
        return Estimate(
            value=self.half_life,
            ci=self.half_life_ci,
            n=self.responses,
            higher_is_better=True,
            reason=reason,
        )

    def _no_interval(self) -> str | None:
        return None if self.rate_ci else "no interval: it takes resamples, and at least two images"


def fit_fade(
    series: Sequence[TokenSeries],
    label: str,
    *,
    only: Kind | None = None,
    by_kind: bool = False,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Fade:
    """Fit log(difference) = level of the response - λt by least squares, with the floor of the noise in it.

    `only` restricts the fit to one kind of token. With `by_kind`, each kind of token in a response has a level of its
    own. The residuals show how much the image matters for single words: they are neither independent nor normal, so
    the interval resamples images. R² is within levels.
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
    curvature = found["curvature"].estimate()
    fitted = with_rate(known, float(found["rate"].value), found["rate"].estimate().ci)
    return fitted.model_copy(
        update={
            "r2": found["r2"].estimate().value,
            "curvature": curvature.value,
            "curvature_ci": curvature.ci,
        }
    )


def with_rate(fade: Fade, rate: float, interval: tuple[float, float] | None) -> Fade:
    """Return the fade with λ, its interval, and what follows from them."""
    low, high = interval or (math.nan, math.nan)
    return fade.model_copy(
        update={
            "rate": rate,
            "rate_ci": interval,
            "decay_per_100": lost_per_100(rate),
            "decay_per_100_ci": interval and (lost_per_100(low), lost_per_100(high)),
            "half_life": math.log(2) / rate if low > 0 else None,
            "half_life_ci": (math.log(2) / high, math.log(2) / low) if low > 0 else None,
            "finding": interval and ("decay" if low > 0 else "growth" if high < 0 else "no decay"),
        }
    )


def lost_per_100(rate: float) -> float:
    """Return the share that is lost after 100 tokens. It is finite even if a few tokens grow at an extreme rate."""
    return -math.expm1(min(-100 * rate, 700.0))


def fade_moments(one: TokenSeries, rows: BoolArray) -> FloatArray:
    """Return the count and the centred second moments (uu, uv, vv, uy, vy, yy) of the tokens chosen by `rows`.

    u = t/100, v = u² and y is the logarithm of the difference; `rows` is bool (tokens,). The result has shape (7,) and
    is additive over responses.
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
    # Two positions do not determine a curvature.
    determinant = np.where(determinant > 1e-12 * uu * vv, determinant, 0.0)
    return {
        "rate": -ratio(uy, uu) / 100,
        "r2": ratio(uy * uy, uu * yy),
        "curvature": ratio(uu * vy - uv * uy, determinant),
    }
