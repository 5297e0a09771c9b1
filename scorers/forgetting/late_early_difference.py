"""The late-minus-early odds ratios of two runs on the same images, compared in pairs.

Each run has its own fit, with covariates and intercepts of its own. To first order an estimate is a sum over images of
their influence (Huber 1967). An image that is hard for both runs pulls both estimates, so its influence on the
difference is the difference of its influences. The variance of the difference is the sum of their squares. This is the
robust error, over images, of the interaction of run and position in one fit of both runs where every other parameter
also depends on the run. No model is fitted a third time.
"""

from collections.abc import Mapping, Sequence
from math import erfc, exp, sqrt
from typing import Protocol

import numpy as np

from eidolon.scorers.core.metric import FloatArray, JudgedSample, Quantity
from eidolon.scorers.core.resampling import RESAMPLES
from eidolon.scorers.forgetting.events import read_events
from eidolon.scorers.forgetting.late_early import LateEarlyOddsRatio, late_early_odds_ratio
from eidolon.scorers.statistics.bootstrap import percentiles
from eidolon.scorers.statistics.comparison import Compared
from eidolon.scorers.statistics.mixed_logistic import NotEstimableError
from eidolon.scorers.statistics.paired import minimum_detectable_effect


def compare_odds_ratios(
    a: Sequence[JudgedSample],
    b: Sequence[JudgedSample],
    quantity: Quantity,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Compared:
    """Return the comparison of two runs' odds ratios on the same images.

    A run whose odds ratio cannot be estimated has null, and `reason` says why.
    """
    fits: list[LateEarlyOddsRatio | None] = []
    reasons = []
    for name, samples in (("A", a), ("B", b)):
        try:
            fits.append(late_early_odds_ratio(read_events(samples)))
        except NotEstimableError as error:
            fits.append(None)
            reasons.append(f"undefined in {name}: {error}")
    first, second = fits
    if first is None or second is None:
        return Compared(
            a=first and first.odds_ratio,
            b=second and second.odds_ratio,
            difference=None,
            ci=None,
            p=None,
            p_holm=None,
            mde=None,
            higher_is_better=quantity.higher_is_better,
            outcome=None,
            reason="; ".join(reasons),
        )
    return compare_fits(first, second, quantity.higher_is_better, seed=seed, resamples=resamples)


class RatioByImage(Protocol):
    """An odds ratio with what each image, by number, adds to its logarithm."""

    @property
    def odds_ratio(self) -> float:
        """Return the odds ratio."""
        ...

    @property
    def log_odds_ratio(self) -> float:
        """Return its logarithm."""
        ...

    @property
    def influence(self) -> Mapping[int, float]:
        """Return what each image adds to the logarithm, to first order."""
        ...


def compare_fits(
    a: RatioByImage,
    b: RatioByImage,
    higher_is_better: bool | None = False,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Compared:
    """Return the comparison of two fits that number the same images alike.

    p is that of a ratio of 1 (Wald). The interval of B - A holds the middle 95 % of the differences of odds ratios
    whose logarithms are drawn from the joint normal distribution of the estimates. It leaves out 0 where p is below
    0.05, up to the error of the draws.
    """
    covariance = joint_covariance(a, b)
    error = sqrt(max(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1], 0.0))
    apart = b.log_odds_ratio - a.log_odds_ratio
    ci = p = mde = None
    if error > 0:
        p = erfc(abs(apart) / error / sqrt(2))
        mde = a.odds_ratio * (exp(minimum_detectable_effect(error)) - 1)
        if resamples > 0:
            generator = np.random.Generator(np.random.PCG64(seed))
            values, vectors = np.linalg.eigh(covariance)
            noise = generator.standard_normal((resamples, 2)) * np.sqrt(np.maximum(values, 0)) @ vectors.T
            drawn = np.exp(noise + np.array([a.log_odds_ratio, b.log_odds_ratio]))
            low, high = percentiles(drawn[:, 1] - drawn[:, 0])
            ci = (float(low), float(high))
    return Compared(
        a=a.odds_ratio,
        b=b.odds_ratio,
        difference=b.odds_ratio - a.odds_ratio,
        ci=ci,
        p=p,
        p_holm=None,
        mde=mde,
        higher_is_better=higher_is_better,
        outcome=None,
        reason=None if error > 0 else "no interval: the two fits do not differ in any image",
    )


def joint_covariance(a: RatioByImage, b: RatioByImage) -> FloatArray:
    """Return the robust covariance over images of the two log odds ratios, shape (2, 2)."""
    images = sorted(a.influence.keys() | b.influence.keys())
    each = np.array([[fit.influence.get(image, 0.0) for fit in (a, b)] for image in images])
    return np.asarray(each.T @ each * len(images) / max(len(images) - 1, 1))
