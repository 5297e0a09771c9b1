"""The fading rate λ without the floor that noise in the branch without the image adds.

With l_c = f·l* + (1 - f)·l_u, f = e^{-λt}, and two forms without the image that give l_u + ε and l_u + ε', the product
of the centred differences has the mean f²·S² where ε and ε' are independent: the variance of either is not in it. (The
square of one difference is the same with the floor added, which is then half the squared distance of the two forms: so
the product is a fit with an offset for each token.) A product may be negative, so no logarithm is taken. λ solves

    Σ_groups Σ_t (x_t - A·e^{-2λt})·t = 0,  A = Σ x_t / Σ e^{-2λt} in each group,

the equations of a Poisson regression with a level for each group, which need only the mean to be right (Gourieroux,
Monfort & Trognon, Econometrica 1984). A group is a response, or a kind of token in it. Intervals resample images.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from eidolon.scorers.core.metric import FloatArray
from eidolon.scorers.core.resampling import RESAMPLES
from eidolon.scorers.forgetting.fading import ROUNDING, Fade, TokenSeries, with_rate
from eidolon.scorers.forgetting.token_kinds import KINDS, Kind
from eidolon.scorers.statistics.bootstrap import bootstrap

RATES: FloatArray = 0.005 * np.sinh(np.linspace(-5.3, 5.3, 161))
"""Rates λ per token, up to ±0.5, at which the equation is evaluated for the interval, which is interpolated."""
NOT_ABOVE = "no dependence on the picture above the noise is shown"
ONE_FORM = "the texts were read with one form without the picture; the fit takes two"


@dataclass(frozen=True, slots=True)
class _Group:
    """Tokens that share a level: positions t and products x."""

    t: FloatArray
    x: FloatArray

    def equation(self, rates: FloatArray) -> FloatArray:
        """Return Σ x_t·(t - mean of t with weights e^{-2λt}) for each rate."""
        exponents = -2 * np.multiply.outer(rates, self.t)
        weights = np.exp(exponents - exponents.max(axis=-1, keepdims=True))
        mean = (weights @ self.t) / weights.sum(axis=-1)
        return np.asarray((self.x @ self.t) - self.x.sum() * mean)


def fit_signal(
    series: Sequence[TokenSeries],
    label: str,
    *,
    only: Kind | None = None,
    by_kind: bool = False,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Fade:
    """Fit λ to the products of two forms without the image. There is no R² and no curvature.

    `only` restricts the fit to one kind of token. With `by_kind`, each kind of token in a response has a level of its
    own. There is a rate only where the interval of the mean product is above 0: elsewhere there is nothing to fade.
    """
    rows, clusters = [], []
    groups: list[_Group] = []
    certain = rounding = 0
    for one in series:
        if one.signal is None:
            continue
        kinds = np.array(one.kinds, dtype=object)
        chosen = np.ones(len(kinds), bool) if only is None else kinds == only
        known = np.isfinite(one.signal)
        certain += int((chosen & ~known).sum())
        rounding += int((np.abs(one.signal[chosen & known]) <= ROUNDING**2).sum())
        parts = [chosen & (kinds == kind) for kind in KINDS] if by_kind else [chosen]
        own = [
            _Group(np.flatnonzero(part & known).astype(float), one.signal[part & known])
            for part in parts
            if (part & known).sum() > 1
        ]
        groups += own
        equation = sum((group.equation(RATES) for group in own), start=np.zeros(len(RATES)))
        count, total = sum(len(group.x) for group in own), sum(float(group.x.sum()) for group in own)
        rows.append(np.concatenate([[count, total], equation]))
        clusters.append(one.image_id)
    statistics = np.array(rows).reshape(len(rows), 2 + len(RATES))
    tokens = int(statistics[:, 0].sum())
    known_fade = Fade(
        label=label,
        responses=int((statistics[:, 0] > 0).sum()),
        tokens=tokens,
        rounding=rounding,
        certain=certain,
    )
    if series and not rows:
        return known_fade.model_copy(update={"reason": ONE_FORM})
    if not tokens:
        return known_fade.model_copy(update={"reason": "no response has two such tokens"})
    if 2 * rounding > tokens:
        return known_fade.model_copy(
            update={"reason": "most tokens are the same with the picture and without"}
        )
    found = bootstrap(statistics, clusters, _solve, seed=seed, resamples=resamples)
    mean = found["mean"].estimate()
    if (mean.value or 0) <= 0 or (mean.ci is not None and mean.ci[0] <= 0):
        return known_fade.model_copy(update={"reason": NOT_ABOVE})
    bracket = _bracket(statistics[:, 2:].sum(axis=0))
    if bracket is None:
        return known_fade.model_copy(update={"reason": "the rate is beyond 0.5 per token"})

    def at_rate(rate: float) -> float:
        return float(sum(float(group.equation(np.array([rate]))[0]) for group in groups))

    low, high = float(RATES[bracket]), float(RATES[bracket + 1])
    # Each group is rounded apart from the sum, so a root on the grid may lie just outside of its bracket.
    if at_rate(low) < 0 < at_rate(high):
        # scipy.optimize takes a quarter of a second to import, and most commands fit nothing.
        from scipy.optimize import brentq

        rate = float(brentq(at_rate, low, high, xtol=1e-9))
    else:
        rate = min(low, high, key=lambda end: abs(at_rate(end)))
    return with_rate(known_fade, rate, found["rate"].estimate().ci)


def _bracket(equation: FloatArray) -> int | None:
    """Return the place in `RATES` after which the equation first reaches 0 from below, None if it does not."""
    crossed = np.flatnonzero((equation[:-1] < 0) & (equation[1:] >= 0))
    return int(crossed[0]) if len(crossed) else None


def _solve(totals: FloatArray) -> dict[str, FloatArray]:
    """Map summed statistics (..., 2 + rates) to the mean product and λ, shape (...). λ is NaN without a crossing."""
    count, total, equation = totals[..., 0], totals[..., 1], totals[..., 2:]
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = total / count
        crossed = (equation[..., :-1] < 0) & (equation[..., 1:] >= 0)
        at = crossed.argmax(axis=-1)[..., None]
        low, high = (np.take_along_axis(equation, at + step, axis=-1)[..., 0] for step in (0, 1))
        share = low / (low - high)
    place = at[..., 0]
    rate = RATES[place] + share * (RATES[place + 1] - RATES[place])
    return {"mean": mean, "rate": np.where(crossed.any(axis=-1) & (total > 0), rate, np.nan)}
