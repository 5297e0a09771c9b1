"""From the measurements of all checkpoints to the rows of the study's table."""

from collections.abc import Mapping, Sequence

from eidolon.benchmark.study.memory.comparisons import PRIMARY_CONDITION, compare
from eidolon.benchmark.study.memory.descriptions import (
    description_scores,
    effect_of_position,
    hallucination_by_position,
    judge_descriptions,
)
from eidolon.benchmark.study.memory.measurements import TEXTS, BenchSettings
from eidolon.benchmark.study.memory.pools import Analysis, Pool
from eidolon.benchmark.study.memory.records import (
    CheckpointScores,
    MemoryVariant,
    RetentionComparison,
    VariantSize,
)
from eidolon.benchmark.study.memory.retention import (
    check_reach,
    own_retention,
    plain,
    refuse,
    retention_points,
)
from eidolon.benchmark.study.memory.seeing import judge_seeing, rates_at_start, rates_of_sums, sums_at_start
from eidolon.benchmark.study.memory.texts import measure_text
from eidolon.scorers.core.metric import JudgedSample
from eidolon.scorers.forgetting.events import read_events
from eidolon.scorers.metrics.objects import Objects
from eidolon.scorers.statistics.bootstrap import BootstrapResult
from eidolon.scorers.statistics.crossed_bootstrap import pooled


def analyse(
    pools: Sequence[Pool], sizes: Mapping[str, VariantSize], settings: BenchSettings, resamples: int
) -> tuple[tuple[MemoryVariant, ...], tuple[RetentionComparison, ...]]:
    """Return the rows of the variants, and the comparisons between them.

    `sizes` are by label of the pool. Pools without one get no size.
    """
    analysis = Analysis(settings, resamples)
    attention = next(
        (pool for pool in pools if set(pool.memory.layout) == {"*"} and pool.selection is None), None
    )
    reference = None if attention is None else rates_at_start(analysis, attention)["accuracy"]
    variants = tuple(_variant(analysis, pool, sizes.get(pool.label), reference) for pool in pools)
    return variants, compare(analysis, pools, {one.variant: one.seeing for one in variants})


def _variant(
    analysis: Analysis, pool: Pool, size: VariantSize | None, reference: BootstrapResult | None
) -> MemoryVariant:
    seen = rates_at_start(analysis, pool)
    reported = pool.refused is None
    samples = [judge_descriptions(analysis, one) for one in pool.measured if one.responses and reported]
    events = [read_events(found) for found in samples]
    first = pool.measured[0]
    points = retention_points(analysis, pool, first.about.trained_tokens)
    return MemoryVariant(
        variant=pool.label,
        memory=first.trained.memory.model_dump(mode="json"),
        filled_by=pool.selection,
        intervals_over="seeds and images" if len(pool.measured) > 1 else "images",
        checkpoints=_checkpoints(analysis, pool, samples),
        trained_tokens=first.about.trained_tokens,
        size=size,
        seeing=judge_seeing(seen["accuracy"], reference),
        predictor_r_squared=pool.predictor_r_squared,
        not_reported=pool.refused,
        yes_no_accuracy=seen["accuracy"].estimate(),
        yes_rate=seen["yes_rate"].estimate(),
        scores=description_scores(analysis, pool, samples),
        position_effect=effect_of_position(pool, events) if events else None,
        hallucination=hallucination_by_position(analysis, pool, events),
        texts=tuple(measure_text(analysis, pool, place) for place in range(len(TEXTS))) if samples else (),
        retention=points if pool.refused is None else refuse(points, pool.refused),
        reach=check_reach(pool.memory, points) if reported else None,
    )


def _checkpoints(
    analysis: Analysis, pool: Pool, samples: Sequence[Sequence[JudgedSample]]
) -> tuple[CheckpointScores, ...]:
    """Return the results of each model alone, without intervals. Those that depend on a store may not be reported."""
    lengths = analysis.settings.lengths if pool.refused is None else ()
    cells = {n: pool.cell((PRIMARY_CONDITION, "unnamed", n)) for n in lengths}
    seen = sums_at_start(pool)
    return tuple(
        CheckpointScores(
            seed=one.trained.seed,
            sha256=one.trained.digest,
            yes_no_accuracy=plain(rates_of_sums(pooled(seen[[i]]))["accuracy"]),
            f05=plain(Objects().compute(Objects().statistics(samples[i]).sum(axis=0))["f05"])
            if samples
            else None,
            retention={n: own_retention(sums[i]) for n, sums in cells.items()},
        )
        for i, one in enumerate(pool.measured)
    )
