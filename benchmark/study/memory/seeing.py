"""Whether a variant learned to see: its answers to questions right after the image."""

import numpy as np

from eidolon.benchmark.study.memory.pools import Analysis, Pool
from eidolon.benchmark.study.memory.records import Seeing
from eidolon.scorers.core.metric import FloatArray, Share, ratio
from eidolon.scorers.statistics.bootstrap import BootstrapResult

SEEN_WITHIN = 0.02
"""The largest difference of accuracy at n = 0 from full attention for a variant that learned to see. The same bound
holds between two variants with compared retention."""


def judge_seeing(accuracy: BootstrapResult, reference: BootstrapResult | None) -> Seeing:
    """Return whether a variant learned to see.

    Its accuracy must be at most 2 points below that of full attention, whose interval must be above chance.
    """
    if reference is None:
        return "not compared"
    chance = float(reference.low if not np.isnan(reference.low) else reference.value) <= 0.5
    low = float(accuracy.value) < float(reference.value) - SEEN_WITHIN
    return "did not learn to see" if chance or low else "trained"


def rates_at_start(analysis: Analysis, pool: Pool) -> dict[str, BootstrapResult]:
    """Return the accuracy and the share of yes directly after the image."""
    return analysis.estimate(pool, sums_at_start(pool), rates_of_sums, shares_of_sums)


def sums_at_start(pool: Pool) -> FloatArray:
    """Return the numbers of questions, right answers and yes answers, (seeds, images, 3)."""
    sums = np.zeros((len(pool.measured), pool.images, 3))
    for seed, one in enumerate(pool.measured):
        for held in one.questions:
            for answer in held.answers:
                sums[seed, int(held.image_id)] += 1, answer.correct, answer.log_yes > answer.log_no
    return sums


def rates_of_sums(totals: FloatArray) -> dict[str, FloatArray]:
    """Return accuracy and share of yes from sums (..., 3)."""
    asked, right, yes = (totals[..., i] for i in range(3))
    return {"accuracy": ratio(right, asked), "yes_rate": ratio(yes, asked)}


def shares_of_sums(totals: FloatArray) -> dict[str, Share]:
    """Return the events and trials of accuracy and share of yes from sums (..., 3)."""
    asked, right, yes = (totals[..., i] for i in range(3))
    return {"accuracy": Share(right, asked), "yes_rate": Share(yes, asked)}
