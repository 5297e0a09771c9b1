"""The measurements of all checkpoints, grouped by variant, with the resamples that all variants share."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from eidolon.benchmark.study.memory.checkpoints import MAIN
from eidolon.benchmark.study.memory.measurements import (
    BenchSettings,
    CheckpointMeasurements,
    rows_of,
    scenes_of,
)
from eidolon.models.memory.innovation import refusal, selects_by_surprise
from eidolon.models.memory.layout import Memory, Selection
from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.core.metric import FloatArray
from eidolon.scorers.retention.measure import COLUMNS, AnswerPair, Cell, pair, statistics
from eidolon.scorers.statistics.bootstrap import BootstrapResult, Compute, Shares
from eidolon.scorers.statistics.crossed_bootstrap import Crossed


@dataclass
class Pool:
    """The measurements of the checkpoints of one variant, in the order of their seeds."""

    variant: str
    measured: list[CheckpointMeasurements]
    images: int
    selection: Selection | None = None

    @property
    def label(self) -> str:
        """The variant, with the rule that fills its stores if it is not that of the training."""
        return f"{self.variant}[{self.selection}]" if self.selection else self.variant

    @property
    def memory(self) -> Memory:
        """Layout and sizes of the memories."""
        return self.measured[0].trained.memory

    @property
    def seeds(self) -> frozenset[int]:
        """The seeds of the models."""
        return frozenset(one.trained.seed for one in self.measured)

    def with_seeds(self, seeds: Collection[int]) -> "Pool | None":
        """Return the pool of the models with these seeds, None if there are none."""
        chosen = [one for one in self.measured if one.trained.seed in seeds]
        return replace(self, measured=chosen) if chosen else None

    @property
    def predictor_r_squared(self) -> tuple[tuple[float, ...] | None, ...]:
        """R² of the predictors by model, then by layer with a store. Empty without a store that surprise fills."""
        if not selects_by_surprise(self.memory.layout, self._rule):
            return ()
        return tuple(one.about.predictor_r_squared for one in self.measured)

    @property
    def refused(self) -> str | None:
        """The reason why results that depend on the store are not reported, None if they are."""
        reasons = (
            refusal(self.memory.layout, self._rule, one.about.predictor_r_squared) for one in self.measured
        )
        return next((reason for reason in reasons if reason is not None), None)

    @property
    def _rule(self) -> Selection:
        return self.selection or self.memory.selection

    @cached_property
    def pairs(self) -> list[dict[Cell, list[AnswerPair]]]:
        """For each checkpoint, the questions of each cell of the retention probe with their answers at n = 0."""
        return [pair([held for held in one.held if held.answers]) for one in self.measured]

    def cell(self, cell: Cell, keep: Callable[[AnswerPair], bool] = lambda pair: True) -> FloatArray:
        """Return the sums of a cell over the kept questions, (seeds, images, 6)."""
        sums = np.zeros((len(self.measured), self.images, len(COLUMNS)))
        for seed, pairs in enumerate(self.pairs):
            kept = [one for one in pairs.get(cell, []) if keep(one)]
            if kept:
                np.add.at(sums[seed], [int(one.image_id) for one in kept], statistics(kept))
        return sums


@dataclass
class Analysis:
    """The scenes and resamples that all variants share."""

    settings: BenchSettings
    resamples: int
    draws: Crossed = field(init=False)
    """Resamples of the scenes with questions."""
    described: Crossed = field(init=False)
    """Resamples of the described scenes."""
    objects: list[frozenset[str]] = field(init=False)
    """The objects of each described scene."""

    def __post_init__(self) -> None:
        asked, described = self.settings.limit, self.settings.descriptions
        self.draws, self.described = (
            Crossed(images, seed=self.settings.seed, resamples=self.resamples)
            for images in (asked, described)
        )
        self.objects = [frozenset(row.objects) for row in rows_of(scenes_of(self.settings, described))]

    def estimate(
        self, pool: Pool, sums: FloatArray, function: Compute, shares: Shares | None = None
    ) -> dict[str, BootstrapResult]:
        """Return the results of `function` on sums (seeds, images, k), with their resamples.

        `shares` declares which results are shares. One with few events has a cluster-adjusted Clopper-Pearson interval
        with the degrees of freedom of the seeds (`statistics.crossed_bootstrap`).
        """
        draws = self.described if sums.shape[1] == self.settings.descriptions else self.draws
        return draws.estimate(sums, pool.variant, function, shares=shares)

    def numbers(
        self, pool: Pool, sums: FloatArray, function: Compute, shares: Shares | None = None
    ) -> dict[str, Estimate]:
        """Return the results of `function` on sums (seeds, images, k), as numbers with intervals."""
        return {name: found.estimate() for name, found in self.estimate(pool, sums, function, shares).items()}


def make_pools(
    measured: Sequence[tuple[CheckpointMeasurements, Selection | None]], images: int
) -> list[Pool]:
    """Return the measurements grouped by variant and rule, in the order of the study. Within a pool they are sorted by
    seed.

    If other rules were measured on some seeds of a variant only, those seeds with its own rule are a pool too, so that
    the rules can be compared on the same models.
    """
    found: dict[tuple[str, Selection | None], Pool] = {}
    for one, selection in measured:
        key = (one.trained.variant, selection)
        found.setdefault(key, Pool(one.trained.variant, [], images, selection)).measured.append(one)
    for pool in found.values():
        pool.measured.sort(key=lambda one: one.trained.seed)
    for variant in dict.fromkeys(pool.variant for pool in found.values()):
        seeds = {
            seed for (name, rule), pool in found.items() if name == variant and rule for seed in pool.seeds
        }
        trained = found.get((variant, None))
        same = None if trained is None or seeds >= trained.seeds else trained.with_seeds(seeds)
        if same is not None:
            rule = same.memory.selection
            found[variant, rule] = replace(same, selection=rule)
    order = [*MAIN, "m2", "gka", "bmf", "hybrid"]
    return sorted(
        found.values(),
        key=lambda pool: (
            order.index(pool.variant) if pool.variant in order else len(order),
            pool.variant,
            pool.selection or "",
        ),
    )
