"""Scores from batches of judged responses. No batch is kept: each metric keeps its packed statistics.

The scores are those of `scoring.score` on all responses at once, byte for byte. `can_tally` tells which metrics can be
computed like this.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eidolon.scorers.core.metric import (
    CategoryMetric,
    Computation,
    CountingMetric,
    DetailedMetric,
    FittedMetric,
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
from eidolon.scorers.statistics.bootstrap import LEVEL, method
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


@dataclass(slots=True)
class Tally:
    """The counts of all batches so far."""

    metrics: Sequence[Metric]
    vocabulary: Sequence[str] | None
    """The judge's vocabulary, if it is closed."""
    batches: list[BatchTally] = field(default_factory=list)

    def add(self, batch: BatchTally) -> None:
        """Count the next batch."""
        self.batches.append(batch)

    def scored(self) -> NDArray[np.bool_]:
        """Return whether each response could be judged, in order."""
        return np.concatenate([np.zeros(0, dtype=bool), *(batch.scored for batch in self.batches)])

    def worst(self, most: int) -> list[int]:
        """Return the positions of the responses with the most hallucinated mentions, the first of equal ones first."""
        counts = np.concatenate([np.zeros(0, np.int32), *(batch.hallucinated for batch in self.batches)])
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
        """Return the scores. `images` holds the position in `image_ids` of the image of each response."""
        scored = self.scored()
        rows, clusters = number_clusters(images[scored], image_ids)
        total, n = len(scored), int(np.count_nonzero(scored))
        asked = [*self._tables(n)]
        results = joint_bootstrap(
            [(table, metric.compute, shares_of(metric)) for _, _, metric, table in asked],
            rows,
            clusters,
            seed=seed,
            resamples=resamples,
        )
        families: dict[str, dict[str, Any]] = {}
        counts: dict[str, dict[str, int | float]] = {}
        split: dict[str, dict[str, CategoryScores]] = {}
        for (family, is_split, metric, table), found in zip(asked, results, strict=True):

            def numbers(*at: int, metric: Computation = metric, found: Any = found) -> dict[str, Any]:
                return estimates(metric, found, n, clusters, resamples, at)

            sums = table.sums()
            if not is_split:
                families[family] = numbers()
                counts[family] = named_counts(metric.columns, sums)
                continue
            each = sums.reshape(len(self.vocabulary or ()), len(metric.columns))
            split[family] = {
                category: CategoryScores(counts=named_counts(metric.columns, each[i]), **numbers(i))
                for i, category in enumerate(self.vocabulary or ())
            }
        kinds: Counter[str] = Counter(dict.fromkeys(count_kinds(()), 0))
        edits: Counter[str] = Counter()
        for batch in self.batches:
            kinds.update(batch.kinds)
            edits.update(batch.edits)
        return Scores(
            schema=SCHEMA,
            signature=signature,
            n=Samples(requested=total, samples=total, scored=n, unscored=total - n),
            metrics={
                family: Family(per_category=split.get(family), **values)
                for family, values in families.items()
            },
            counts=counts,
            responses=ResponseKinds(**kinds, edited=dict(sorted(edits.items()))),
            intervals=Intervals(
                method=method(seed=seed, resamples=resamples),
                level=LEVEL,
                resamples=resamples,
                seed=seed,
                clusters=clusters,
            ),
        )

    def _tables(self, n: int) -> "list[tuple[str, bool, Computation, Table]]":
        """Return (family, whether split by category, metric, statistics) of every table of statistics."""
        found: list[tuple[str, bool, Computation, Table]] = []
        for metric in self.metrics:
            family = metric.family
            blocks = [batch.statistics[family] for batch in self.batches]
            found.append((family, False, metric, unpack(blocks, len(metric.columns))))
            if self.vocabulary and isinstance(metric, CategoryMetric):
                split = metric.by_category(self.vocabulary)
                width = len(split.columns) * len(self.vocabulary)
                found.append(
                    (
                        family,
                        True,
                        split,
                        unpack([batch.by_category[family] for batch in self.batches], width),
                    )
                )
        return found
