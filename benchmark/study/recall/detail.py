"""`mqar.json`: the recall of each memory, and comparisons with published claims."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field

from eidolon.benchmark.study.recall.recipe import COMPARED_STORE, RecallCell, RecallRecipe
from eidolon.benchmark.study.recall.task import Filler, RecallEstimate, Sequences, measure_recall
from eidolon.models.memory.layout import Layout, Selection
from eidolon.scorers.core.distribution import package_version
from eidolon.scorers.core.resampling import RESAMPLES
from eidolon.scorers.core.types import Record
from eidolon.scorers.statistics.bootstrap import bootstrap, method

SCHEMA: Literal["eidolon/mqar/1"] = "eidolon/mqar/1"
Right = Mapping[tuple[Filler, int], NDArray[np.bool_]]
"""By filler and number of pairs: which queries were answered right, bool (sequences, pairs)."""
ContrastOutcome = Literal["holds", "reversed", "undecided"]


class DistanceRecall(Record):
    """Recall of queries whose value is from `first` to `last` tokens before them."""

    first: int
    last: int | None
    """Null: no upper bound."""
    recall: RecallEstimate | None
    """Null without such a query."""


class KindRecall(Record):
    """Recall in the sequences with one filler and number of pairs."""

    filler: Filler
    pairs: int
    recall: RecallEstimate
    by_distance: tuple[DistanceRecall, ...]


class TrainedRecallModel(Record):
    """One trained model and its results."""

    layout: Layout
    store: int | None
    selection: Selection | None
    seed: int
    parameters: int
    state_bytes: int
    """Bytes of its memory after the longest test sequence. Only those of attention grow with the length."""
    loss: float
    """Mean loss over the last 100 steps, in nats per answer."""
    predictor_r_squared: tuple[float, ...] | None = None
    """R² of the predictor of each layer with a store, over the test sequences. Null without a store."""
    kinds: tuple[KindRecall, ...]

    @property
    def cell(self) -> RecallCell:
        return RecallCell(layout=self.layout, store=self.store, selection=self.selection, seed=self.seed)


class MemorySummary(Record):
    """The results of a memory over its seeds."""

    label: str
    seeds: tuple[int, ...]
    filler: Filler
    pairs: int
    mean: float
    lowest: float
    highest: float


class MemoryContrast(Record):
    """A published or expected difference between two memories, and the measured one."""

    claim: str
    filler: Filler
    pairs: int
    seeds: tuple[int, ...]
    by_seed: tuple[float, ...]
    """Recall of the first memory minus that of the second, by seed."""
    difference: float
    ci: tuple[float, float] | None
    """95 % bootstrap interval over test sequences, for these trained models. `by_seed` shows the variance of
    training."""
    said: ContrastOutcome
    """`holds` or `reversed`: there are at least two seeds, and the interval and every seed are on that side of zero."""


class MqarDetail(Record):
    """The content of `mqar.json`."""

    model_config = ConfigDict(allow_inf_nan=False)

    schema_: Literal["eidolon/mqar/1"] = Field(alias="schema")
    eidolon: str
    recipe: RecallRecipe
    intervals: str
    models: tuple[TrainedRecallModel, ...]
    summary: tuple[MemorySummary, ...]
    contrasts: tuple[MemoryContrast, ...]

    def to_json(self) -> str:
        """Return the text of the file."""
        return self.model_dump_json(by_alias=True, indent=1) + "\n"


def measure_kind(
    filler: Filler, pairs: int, right: NDArray[np.bool_], test: Sequences, window: int
) -> KindRecall:
    """Return the recall of `right`, bool (sequences, pairs), in total and by distance in windows."""
    recall = measure_recall(right)
    assert recall is not None
    edges = [1, window, 2 * window, 4 * window, None]
    by_distance = []
    for first, after in pairwise(edges):
        assert first is not None
        chosen = (test.distances >= first) & (True if after is None else test.distances < after)
        last = None if after is None else after - 1
        by_distance.append(DistanceRecall(first=first, last=last, recall=measure_recall(right, chosen)))
    return KindRecall(filler=filler, pairs=pairs, recall=recall, by_distance=tuple(by_distance))


def make_detail(
    recipe: RecallRecipe, models: Sequence[TrainedRecallModel], right: Mapping[RecallCell, Right]
) -> MqarDetail:
    """Return the content of `mqar.json`."""
    return MqarDetail(
        schema=SCHEMA,
        eidolon=package_version(),
        recipe=recipe,
        intervals=method(seed=0, resamples=RESAMPLES, over="sequences"),
        models=tuple(models),
        summary=tuple(summarise(models)),
        contrasts=tuple(contrast(recipe, right)),
    )


def summarise(models: Sequence[TrainedRecallModel]) -> Iterable[MemorySummary]:
    """Yield the recall of each memory over its seeds, by kind of sequences."""
    for label in dict.fromkeys(model.cell.label for model in models):
        own = [model for model in models if model.cell.label == label]
        for kind in own[0].kinds:
            values = [
                other.recall.value
                for model in own
                for other in model.kinds
                if (other.filler, other.pairs) == (kind.filler, kind.pairs)
            ]
            yield MemorySummary(
                label=label,
                seeds=tuple(model.seed for model in own),
                filler=kind.filler,
                pairs=kind.pairs,
                mean=round(float(np.mean(values)), 4),
                lowest=min(values),
                highest=max(values),
            )


def contrast(recipe: RecallRecipe, right: Mapping[RecallCell, Right]) -> Iterable[MemoryContrast]:
    """Yield the comparisons at the largest number of pairs, for each filler.

    Published claims (Zancato et al., NeurIPS 2024): B'MOJO ≥ B'MOJO-F ≥ its state alone, and larger stores recall more.
    The other comparisons are controls: the most surprising tokens against the latest and random ones.
    """
    by_label: dict[str, dict[int, Right]] = {}
    for cell, found in right.items():
        by_label.setdefault(cell.label, {})[cell.seed] = found
    stores = sorted(
        {cell.store for cell in right if cell.label == f"BM {cell.store}" and cell.store is not None}
    )
    sized = [f"BM {store}" for store in stores]
    claimed = [("BMF", "GDN")]
    if sized:
        claimed += [(sized[-1], "BMF"), (sized[-1], "GDN"), *zip(sized[1:], sized, strict=False)]
    kept = f"BM {COMPARED_STORE}"
    claimed += [(kept, f"{kept} {selection}") for selection in ("recent", "random")]
    pairs = max(recipe.pairs)
    for better, worse in claimed:
        seeds = tuple(sorted(by_label.get(better, {}).keys() & by_label.get(worse, {}).keys()))
        for filler in recipe.fillers if seeds else ():
            differences = np.stack(
                [
                    (
                        by_label[better][seed][filler, pairs].astype(float)
                        - by_label[worse][seed][filler, pairs]
                    ).mean(1)
                    for seed in seeds
                ]
            )
            yield _compare(f"{better} over {worse}", filler, pairs, seeds, differences)


def _compare(
    claim: str, filler: Filler, pairs: int, seeds: tuple[int, ...], differences: NDArray[np.float64]
) -> MemoryContrast:
    """Return a comparison from differences of recall, (seeds, sequences)."""
    statistics = np.stack([differences.mean(0), np.ones(differences.shape[1])], axis=1)
    found = bootstrap(
        statistics, range(len(statistics)), lambda sums: {"difference": sums[..., 0] / sums[..., 1]}
    )["difference"]
    by_seed = differences.mean(1)
    ci = None if np.isnan(found.low) else (round(float(found.low), 4), round(float(found.high), 4))
    outcome: ContrastOutcome = "undecided"
    if len(seeds) < 2 or ci is None:
        outcome = "undecided"
    elif ci[0] > 0 and (by_seed > 0).all():
        outcome = "holds"
    elif ci[1] < 0 and (by_seed < 0).all():
        outcome = "reversed"
    return MemoryContrast(
        claim=claim,
        filler=filler,
        pairs=pairs,
        seeds=seeds,
        by_seed=tuple(round(float(value), 4) for value in by_seed),
        difference=round(float(found.value), 4),
        ci=ci,
        said=outcome,
    )
