"""Scores of descriptions: objects, CHAIR, and hallucination by position."""

from collections.abc import Sequence

import numpy as np

from eidolon.benchmark.study.memory.measurements import CheckpointMeasurements
from eidolon.benchmark.study.memory.pools import Analysis, Pool
from eidolon.benchmark.study.memory.records import PositionBin, PositionEffect
from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.core.metric import JudgedSample, Share, ratio
from eidolon.scorers.core.verdict import with_verdicts
from eidolon.scorers.forgetting.events import Events
from eidolon.scorers.forgetting.late_early import late_early_odds_ratio
from eidolon.scorers.judges.lexicon import LexiconJudge
from eidolon.scorers.metrics.chair import Chair
from eidolon.scorers.metrics.objects import Objects
from eidolon.scorers.statistics.crossed_bootstrap import combine_fits
from eidolon.scorers.statistics.mixed_logistic import NotEstimableError

WORDS = (0, 20, 40, 60, 80, 120)
"""First words of the bins of positions in a description. The last bin has no end."""


def judge_descriptions(analysis: Analysis, one: CheckpointMeasurements) -> list[JudgedSample]:
    """Return the judged descriptions of a checkpoint, in the order of the scenes."""
    # The gibberish of an untrained model counts as a text that names no object.
    judged = [
        judgement.model_copy(update={"unscored": None})
        for judgement in LexiconJudge("careful").judge(one.responses)
    ]
    return [
        JudgedSample(response, with_verdicts(judgement, truth), truth)
        for response, judgement, truth in zip(one.responses, judged, analysis.objects, strict=True)
    ]


def description_scores(
    analysis: Analysis, pool: Pool, samples: Sequence[Sequence[JudgedSample]]
) -> dict[str, Estimate]:
    """Return the scores of descriptions, pooled over checkpoints; none without samples. One list of samples a
    checkpoint."""
    if not samples:
        return {}
    found: dict[str, Estimate] = {}
    for metric, names in (
        (Objects(), ("precision", "recall", "f05")),
        (Chair(), ("chair_i", "chair_s", "words")),
    ):
        sums = np.stack([metric.statistics(one) for one in samples])
        numbers = analysis.numbers(pool, sums, metric.compute, metric.shares)
        found |= {name: numbers[name] for name in names}
    cut = np.array([[[1.0, s.response.finish_reason == "length"] for s in one] for one in samples])
    found |= analysis.numbers(
        pool,
        cut,
        lambda t: {"truncated": ratio(t[..., 1], t[..., 0])},
        lambda t: {"truncated": Share(t[..., 1], t[..., 0])},
    )
    return found


def effect_of_position(pool: Pool, events: Sequence[Events]) -> PositionEffect:
    """Return the odds ratio of hallucination per 100 words, combined over checkpoints."""
    fits: dict[str, tuple[float, float]] = {}
    by_seed: dict[int, float | None] = {}
    reasons = []
    for one, found in zip(pool.measured, events, strict=True):
        seed = one.trained.seed
        by_seed[seed] = None
        try:
            fit = late_early_odds_ratio(found)
        except NotEstimableError as error:
            reasons.append(f"seed {seed}: {error}")
            continue
        by_seed[seed] = fit.odds_ratio
        fits[str(seed)] = fit.log_odds_ratio, fit.standard_error
    if not fits:
        return PositionEffect(odds_ratio=Estimate.undefined(), by_seed=by_seed, reason="; ".join(reasons))
    combined = combine_fits(fits)
    low, value, high = np.exp([combined.low, combined.value, combined.high])
    return PositionEffect(
        odds_ratio=Estimate(value=float(value), ci=(float(low), float(high))),
        by_seed=by_seed,
        reason="; ".join(reasons) or None,
    )


def hallucination_by_position(
    analysis: Analysis, pool: Pool, events: Sequence[Events]
) -> tuple[PositionBin, ...]:
    """Return the share of hallucinated first mentions in each bin of positions."""
    if not events:
        return ()
    sums = np.zeros((len(events), analysis.settings.descriptions, len(WORDS), 2))
    for seed, found in enumerate(events):
        mentions = found.mentions.select(found.mentions.first)
        bins = np.searchsorted(WORDS, mentions.word, side="right") - 1
        # One response for each image, in the order of the images.
        np.add.at(sums[seed, ..., 0], (mentions.response, bins), 1)
        np.add.at(sums[seed, ..., 1], (mentions.response, bins), mentions.hallucinated)
    rows = []
    for place, start in enumerate(WORDS):
        part = sums[:, :, place]
        rate = analysis.numbers(
            pool,
            part,
            lambda t: {"rate": ratio(t[..., 1], t[..., 0])},
            lambda t: {"rate": Share(t[..., 1], t[..., 0])},
        )["rate"]
        end = WORDS[place + 1] if place + 1 < len(WORDS) else None
        rows.append(PositionBin(start=start, end=end, mentions=int(part[..., 0].sum()), hallucinated=rate))
    return tuple(rows)
