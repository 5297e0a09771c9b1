"""How good probabilities are: rank, Brier score, log loss, reliability; and Platt's calibration."""

from typing import Final

import numpy as np
from scipy.special import expit
from scipy.stats import binomtest, rankdata

from eidolon.scorers.core.metric import FloatArray
from eidolon.scorers.core.types import Record

FLOOR: Final = 1e-6
"""Probabilities are kept this far from 0 and 1, so that the log loss is finite."""
STEPS: Final = 50


class PlattScaling(Record):
    """A calibration of log-odds (Platt 1999): slope · logit + intercept."""

    slope: float = 1.0
    intercept: float = 0.0

    def probabilities(self, logits: FloatArray) -> FloatArray:
        """Return the calibrated probabilities of uncalibrated log-odds."""
        found: FloatArray = expit(self.slope * logits + self.intercept)
        return found


class ReliabilityBin(Record):
    """Mentions of similar risk, and the share of them that is wrong."""

    mentions: int
    risk: float
    """Mean risk."""
    wrong: float
    """Share that is not in the picture."""

    @property
    def interval(self) -> tuple[float, float]:
        """The exact 95 % interval of the share (Clopper and Pearson 1934). It takes the mentions as independent."""
        found = binomtest(round(self.wrong * self.mentions), self.mentions).proportion_ci(0.95, "exact")
        return float(found.low), float(found.high)


def fit_platt(logits: FloatArray, wrong: FloatArray) -> PlattScaling:
    """Return the slope and intercept of largest likelihood, by Newton's method with Platt's smoothed targets.

    With outcomes of one kind only, the calibration changes nothing.
    """
    positive = wrong.sum()
    negative = len(wrong) - positive
    if not positive or not negative:
        return PlattScaling()
    target = np.where(wrong > 0, (positive + 1) / (positive + 2), 1 / (negative + 2))
    design = np.stack([logits, np.ones_like(logits)], axis=1)
    coefficients = np.array([1.0, 0.0])
    for _ in range(STEPS):
        p = expit(design @ coefficients)
        gradient = design.T @ (target - p)
        curvature = (design * (p * (1 - p))[:, None]).T @ design + 1e-9 * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        coefficients = coefficients + step
        if np.abs(step).max() < 1e-9:
            break
    return PlattScaling(slope=float(coefficients[0]), intercept=float(coefficients[1]))


def auroc(risk: FloatArray, wrong: FloatArray) -> float:
    """Return the probability that a wrong mention has a higher risk than a right one; ties count one half.

    NaN if all outcomes are of one kind.
    """
    positive = int(wrong.sum())
    negative = len(wrong) - positive
    if not positive or not negative:
        return float("nan")
    ranks = rankdata(risk)[wrong > 0].sum()
    return float((ranks - positive * (positive + 1) / 2) / (positive * negative))


def brier(risk: FloatArray, wrong: FloatArray) -> FloatArray:
    """Return the squared error of each probability."""
    return (risk - wrong) ** 2


def log_loss(risk: FloatArray, wrong: FloatArray) -> FloatArray:
    """Return the log loss of each probability, in nats."""
    kept = np.clip(risk, FLOOR, 1 - FLOOR)
    found: FloatArray = -np.where(wrong > 0, np.log(kept), np.log1p(-kept))
    return found


def reliability(risk: FloatArray, wrong: FloatArray, bins: int = 10) -> tuple[ReliabilityBin, ...]:
    """Return bins of equally many mentions, in the order of their risk."""
    order = np.argsort(risk, kind="stable")
    return tuple(
        ReliabilityBin(mentions=len(part), risk=float(risk[part].mean()), wrong=float(wrong[part].mean()))
        for part in np.array_split(order, bins)
        if len(part)
    )
