"""`mqar.json`: the recall of each memory, and comparisons with published claims."""

from collections.abc import Iterable, Sequence
from itertools import chain, pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field

from eidolon.benchmark.study.recall.recipe import COMPARED_STORE, RecallCell, RecallRecipe
from eidolon.benchmark.study.recall.task import Filler, RecallEstimate, Sequences, measure_recall
from eidolon.models.memory.innovation import refusal
from eidolon.models.memory.layout import Layout, Selection
from eidolon.scorers.core.distribution import package_version
from eidolon.scorers.core.resampling import RESAMPLES
from eidolon.scorers.core.types import Record
from eidolon.scorers.statistics.bootstrap import method
from eidolon.scorers.statistics.seeds import FEWEST_SEEDS, paired_difference

SCHEMA: Literal["eidolon/mqar/1"] = "eidolon/mqar/1"
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
    loss: float | None
    """Mean loss over the last 100 steps, in nats per answer. Null if the training diverged."""
    predictor_r_squared: tuple[float, ...] | None = None
    """R² of the predictor of each layer with a store, over the test sequences. Null without a store."""
    kinds: tuple[KindRecall, ...]
    """Empty if the training diverged."""
    diverged: str | None = None
    """The step whose loss was no finite number; null if all were."""

    @property
    def cell(self) -> RecallCell:
        return RecallCell(layout=self.layout, store=self.store, selection=self.selection, seed=self.seed)

    @property
    def refused(self) -> str | None:
        """The reason why its recall is not reported, None if it is."""
        if self.diverged is not None:
            return self.diverged
        return refusal(self.layout, self.selection, self.predictor_r_squared)

    def recall(self, filler: Filler, pairs: int) -> float:
        """Return the recall of one kind of sequences."""
        kind = next(one for one in self.kinds if (one.filler, one.pairs) == (filler, pairs))
        return kind.recall.value


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
    """Recall of the first memory minus that of the second, by seed. Empty if one of them is not reported."""
    difference: float | None
    ci: tuple[float, float] | None
    """95 % interval over seeds, by Student's t. Null with fewer than five."""
    said: ContrastOutcome
    """`holds` or `reversed`: the interval is on that side of zero. `undecided` with fewer than five seeds."""
    reason: str | None = None
    """Why nothing is decided, if that is not the interval."""


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


def make_detail(recipe: RecallRecipe, models: Sequence[TrainedRecallModel]) -> MqarDetail:
    """Return the content of `mqar.json`."""
    return MqarDetail(
        schema=SCHEMA,
        eidolon=package_version(),
        recipe=recipe,
        intervals=method(seed=0, resamples=RESAMPLES, over="sequences"),
        models=tuple(models),
        summary=tuple(summarise(models)),
        contrasts=tuple(contrast(recipe, models)),
    )


def summarise(models: Sequence[TrainedRecallModel]) -> Iterable[MemorySummary]:
    """Yield the recall of each memory over its seeds, by kind of sequences, except those that are not reported."""
    for label in dict.fromkeys(model.cell.label for model in models):
        own = [model for model in models if model.cell.label == label]
        if any(model.refused for model in own):
            continue
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


def contrast(recipe: RecallRecipe, models: Sequence[TrainedRecallModel]) -> Iterable[MemoryContrast]:
    """Yield the comparisons at the largest number of pairs, for each filler.

    Published claims (Zancato et al., NeurIPS 2024): B'MOJO ≥ B'MOJO-F ≥ its state alone, and larger stores recall more.
    The other comparisons are controls: the most surprising tokens against the latest and random ones.
    """
    by_label: dict[str, dict[int, TrainedRecallModel]] = {}
    for model in models:
        by_label.setdefault(model.cell.label, {})[model.seed] = model
    stores = sorted(
        {one.store for one in models if one.cell.label == f"BM {one.store}" and one.store is not None}
    )
    sized = [f"BM {store}" for store in stores]
    claimed = [("BMF", "GDN")]
    if sized:
        claimed += [(sized[-1], "BMF"), (sized[-1], "GDN"), *zip(sized[1:], sized, strict=False)]
    kept = f"BM {COMPARED_STORE}"
    claimed += [(kept, f"{kept} {selection}") for selection in ("recent", "random")]
    for better, worse in claimed:
        seeds = tuple(sorted(by_label.get(better, {}).keys() & by_label.get(worse, {}).keys()))
        for filler in recipe.fillers if seeds else ():
            couples = [(by_label[better][seed], by_label[worse][seed]) for seed in seeds]
            yield _compare(f"{better} over {worse}", filler, max(recipe.pairs), couples)


def _compare(
    claim: str,
    filler: Filler,
    pairs: int,
    couples: Sequence[tuple[TrainedRecallModel, TrainedRecallModel]],
) -> MemoryContrast:
    """Return a comparison of two memories, given their models with the same seeds."""
    reason = next((one.refused for one in chain(*couples) if one.refused is not None), None)
    reported = couples if reason is None else ()
    by_seed = [first.recall(filler, pairs) - second.recall(filler, pairs) for first, second in reported]
    found = paired_difference(by_seed)
    if reason is None and found is None:
        few = len(by_seed) < FEWEST_SEEDS
        reason = f"{len(by_seed)} seeds, and {FEWEST_SEEDS} are needed" if few else "all seeds differ alike"
    outcome: ContrastOutcome = "undecided"
    if found is not None:
        outcome = "holds" if found.low > 0 else "reversed" if found.high < 0 else "undecided"
    return MemoryContrast(
        claim=claim,
        filler=filler,
        pairs=pairs,
        seeds=tuple(first.seed for first, _ in couples),
        by_seed=tuple(round(value, 4) for value in by_seed),
        difference=round(float(np.mean(by_seed)), 4) if by_seed else None,
        ci=None if found is None else (round(found.low, 4), round(found.high, 4)),
        said=outcome,
        reason=reason,
    )
