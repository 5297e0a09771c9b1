"""Scores from batches of judged responses. No batch is kept: each metric keeps its packed statistics.

The scores are those of `scoring.score` on all responses at once, byte for byte. `can_tally` tells which metrics can be
computed like this.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eidolon.scorers.core.metric import (
    CategoryMetric,
    Computation,
    CountingMetric,
    DetailedMetric,
    FittedMetric,
    FloatArray,
    JudgedSample,
    Metric,
    RowMetric,
    VariantsMetric,
)
from eidolon.scorers.core.resampling import RESAMPLES
from eidolon.scorers.core.scores import (
    SCHEMA,
    CategoryScores,
    Family,
    Intervals,
    ResponseKinds,
    Samples,
    Scores,
)
from eidolon.scorers.core.types import ImageId, Judgement, Response
from eidolon.scorers.metrics.scoring import estimates, named_counts, shares_of
from eidolon.scorers.statistics.bootstrap import LEVEL, Compute, Shares, method
from eidolon.scorers.statistics.joint_bootstrap import (
    Block,
    IntArray,
    Table,
    joint_bootstrap,
    number_clusters,
    pack,
    unpack,
)
from eidolon.scorers.text.response_kinds import count_edits, count_kinds

_NEEDS_ALL = (CountingMetric, FittedMetric, DetailedMetric, VariantsMetric)


def can_tally(metric: Metric) -> bool:
    """Tell whether a metric's scores follow from statistics that are computed batch by batch."""
    return isinstance(metric, RowMetric) and metric.row_by_row and not isinstance(metric, _NEEDS_ALL)


@dataclass(frozen=True, slots=True, eq=False)
class BatchTally:
    """What is counted of some responses."""

    scored: NDArray[np.bool_]
    """Whether each response could be judged."""
    hallucinated: IntArray
    """Hallucinated mentions of each response."""
    statistics: Mapping[str, Block]
    """By metric family, one row for each scored response."""
    by_category: Mapping[str, Block]
    """The same for the families that are split by category."""
    kinds: Mapping[str, int]
    """See `count_kinds`."""
    edits: Mapping[str, int]
    """See `count_edits`."""


def tally_batch(
    responses: Sequence[Response],
    judgements: Sequence[Judgement],
    samples: Sequence[JudgedSample],
    metrics: Sequence[Metric],
    vocabulary: Sequence[str] | None,
) -> BatchTally:
    """Count some responses, as the judge saw them. `samples` are those that could be judged, in the same order."""
    split = {
        m.family: m.by_category(vocabulary) for m in metrics if vocabulary and isinstance(m, CategoryMetric)
    }
    return BatchTally(
        scored=np.array([judgement.unscored is None for judgement in judgements], dtype=bool),
        hallucinated=np.array(
            [sum(m.verdict == "hallucinated" for m in judgement.mentions) for judgement in judgements],
            dtype=np.int32,
        ),
        statistics={m.family: pack(m.statistics(samples)) for m in metrics},
        by_category={family: pack(metric.statistics(samples)) for family, metric in split.items()},
        kinds=count_kinds(responses),
        edits=count_edits(judgement.edits for judgement in judgements),
    )


@dataclass(frozen=True, slots=True)
class _Counted:
    """What scores tell of one metric beside its intervals."""

    family: str
    is_split: bool
    """Whether the metric is that of each category by itself."""
    metric: Computation
    sums: FloatArray


class Tally:
    """The counts of all batches so far."""

    def __init__(self, metrics: Sequence[Metric], vocabulary: Sequence[str] | None) -> None:
        """Take the metrics, and the vocabulary of the judge if it is closed."""
        self._metrics, self._vocabulary = metrics, tuple(vocabulary or ())
        self._scored: list[NDArray[np.bool_]] = []
        self._hallucinated: list[IntArray] = []
        self._blocks: dict[tuple[str, bool], list[Block]] = {}
        """By metric family, and whether it is split by category."""
        self._kinds: Counter[str] = Counter(dict.fromkeys(count_kinds(()), 0))
        self._edits: Counter[str] = Counter()

    def add(self, batch: BatchTally) -> None:
        """Count the next batch."""
        self._scored.append(batch.scored)
        self._hallucinated.append(batch.hallucinated)
        for is_split, blocks in ((False, batch.statistics), (True, batch.by_category)):
            for family, block in blocks.items():
                self._blocks.setdefault((family, is_split), []).append(block)
        self._kinds.update(batch.kinds)
        self._edits.update(batch.edits)

    def worst(self, most: int) -> list[int]:
        """Return the positions of the responses with the most hallucinated mentions, the first of equal ones first."""
        counts = np.concatenate([np.zeros(0, np.int32), *self._hallucinated])
        return [int(i) for i in np.argsort(-counts, kind="stable")[:most]]

    def scores(
        self,
        images: IntArray,
        image_ids: Sequence[ImageId],
        *,
        signature: str,
        seed: int = 0,
        resamples: int = RESAMPLES,
    ) -> Scores:
        """Return the scores. `images` holds the position in `image_ids` of the image of each response.

        The statistics are given up on the way, so the scores can be computed once.
        """
        scored = np.concatenate([np.zeros(0, dtype=bool), *self._scored])
        rows, clusters = number_clusters(images[scored], image_ids)
        total, n = len(scored), int(np.count_nonzero(scored))
        counted, tables = self._release()
        results = joint_bootstrap(tables, rows, clusters, seed=seed, resamples=resamples)
        families: dict[str, dict[str, Any]] = {}
        counts: dict[str, dict[str, int | float]] = {}
        split: dict[str, dict[str, CategoryScores]] = {}
        for one, found in zip(counted, results, strict=True):
            metric = one.metric
            if not one.is_split:
                families[one.family] = dict(estimates(metric, found, n, clusters, resamples))
                counts[one.family] = named_counts(metric.columns, one.sums)
                continue
            each = one.sums.reshape(len(self._vocabulary), len(metric.columns))
            split[one.family] = {}
            for i, category in enumerate(self._vocabulary):
                numbers: dict[str, Any] = estimates(metric, found, n, clusters, resamples, (i,))
                category_counts = named_counts(metric.columns, each[i])
                split[one.family][category] = CategoryScores(counts=category_counts, **numbers)
        return Scores(
            schema=SCHEMA,
            signature=signature,
            n=Samples(requested=total, samples=total, scored=n, unscored=total - n),
            metrics={
                family: Family(per_category=split.get(family), **values)
                for family, values in families.items()
            },
            counts=counts,
            responses=ResponseKinds(**self._kinds, edited=dict(sorted(self._edits.items()))),
            intervals=Intervals(
                method=method(seed=seed, resamples=resamples),
                level=LEVEL,
                resamples=resamples,
                seed=seed,
                clusters=clusters,
            ),
        )

    def _release(self) -> tuple[list[_Counted], list[tuple[Table, Compute, Shares | None]]]:
        """Return every metric with its sums, and the table of its statistics, which is not kept here."""
        counted: list[_Counted] = []
        tables: list[tuple[Table, Compute, Shares | None]] = []
        for metric in self._metrics:
            asked: list[tuple[bool, Computation, int]] = [(False, metric, len(metric.columns))]
            if self._vocabulary and isinstance(metric, CategoryMetric):
                split = metric.by_category(self._vocabulary)
                asked.append((True, split, len(split.columns) * len(self._vocabulary)))
            for is_split, computation, width in asked:
                table = unpack(self._blocks.pop((metric.family, is_split), []), width)
                counted.append(_Counted(metric.family, is_split, computation, table.sums()))
                tables.append((table, computation.compute, shares_of(computation)))
        return counted, tables
