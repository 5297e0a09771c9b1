"""`eidolon memory search`: measures operators, runs the methods, and writes what they found.

The folder has `search.json` and `search.png`. `candidates/` has every trained candidate, `supernet/` the supernet,
`costs.json`, `scores.json` and `found.json` what was measured. The same command again continues; no candidate is
trained twice, also with other budgets.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from pydantic import JsonValue, TypeAdapter, ValidationError
from rich.console import Console

from eidolon.benchmark.engine.launch import refuse_launcher
from eidolon.benchmark.store.atomic import write_atomically
from eidolon.benchmark.study.folders import make_folders
from eidolon.benchmark.study.machine import describe_cpu
from eidolon.benchmark.study.search.candidates import CandidatePool, TrainedCandidate, measure_model
from eidolon.benchmark.study.search.detail import (
    CandidateScores,
    MethodResult,
    SearchDetail,
    fastest_equal,
    make_candidates,
    make_detail,
    read_rules,
)
from eidolon.benchmark.study.search.estimator import CostEstimator, check, fit, measure, points_to_measure
from eidolon.benchmark.study.search.methods import Evolution, ScoreSearch, SearchMethod, Trial
from eidolon.benchmark.study.search.plot import draw_search
from eidolon.benchmark.study.search.recipe import METHODS, Method, SearchRecipe
from eidolon.benchmark.study.search.rules import Rules, find_rules, prior
from eidolon.benchmark.study.search.space import SearchedLayout, SearchSpace, vector_width
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.types import Record

T = TypeVar("T")


class Untrained(Record):
    """The scores of an architecture by supernet and zero-shot."""

    supernet: float
    trainability: float
    gradient: float


def run_search(
    out: Path, recipe: SearchRecipe, rules: Path | None = None, console: Console | None = None
) -> SearchDetail:
    """Run all methods, and write the results in the folder.

    Args:
        out: Folder of the search.
        recipe: Space, task and budgets.
        rules: The `search.json` of a search whose rules this one uses; None for the rules of its own multi-shot.
        console: For progress; None for the standard error.

    Raises:
        UserError: a folder that cannot be written or has candidates of another recipe, a file without rules, or a
            launcher of several processes.
    """
    refuse_launcher("memory search")
    console = console or Console(stderr=True)
    used = None if rules is None else read_rules(rules)
    make_folders(out)
    console.print("costs: operators and unseen layouts", highlight=False)
    estimator = measured_estimator(out, recipe)
    candidates = CandidatePool(recipe, out / "candidates")
    searched = searched_points(recipe, estimator)
    trainer = _Reporting(candidates, console)
    reference = recipe.space.reference
    least = trainer.recall(reference) - recipe.tolerance
    sampled = sample(recipe, searched)
    for point in sampled:
        trainer.recall(point)
    tried: dict[Method, tuple[Trial, ...]] = {}
    tried["multi-shot"] = Evolution(recipe, estimator, prior(None, searched), 0).search(trainer)
    found_rules = find_rules(
        {trial.architecture: trial.recall for trial in tried["multi-shot"] if trial.recall is not None}
    )
    used = used or found_rules
    console.print("scores: supernet and zero-shot", highlight=False)
    untrained = score_space(out, recipe)
    for method, search in later_methods(recipe, estimator, used, untrained, searched).items():
        tried[method] = search.search(trainer)
    trained = {
        point: candidates.trained(point) for point in trained_points(tried.values(), [reference, *sampled])
    }
    everything = make_candidates(
        trained,
        {
            point: CandidateScores(**untrained[point].model_dump(), rules=used.promise(point))
            for point in trained
        },
        estimator,
    )
    reported = {point for point, found in trained.items() if found.refused is None}
    fastest = {method: fastest_equal(trials, least, estimator, reported) for method, trials in tried.items()}
    measured = measure_found(out, recipe, [one for one in fastest.values() if one is not None])
    results = [
        summarise(
            recipe,
            method,
            tried[method],
            None if (found := fastest[method]) is None else trained[found],
            estimator,
            measured,
        )
        for method in METHODS
    ]
    detail = make_detail(
        recipe,
        estimator,
        everything,
        results,
        measured[reference],
        (found_rules, used, None if rules is None else rules.name if rules.parent == out else str(rules)),
        sampled,
    )
    write_atomically(out / "search.json", detail.to_json())
    write_atomically(out / "search.png", draw_search(detail))
    return detail


def make_recipe(widths: Sequence[int] | None, changed: Mapping[str, int | None]) -> SearchRecipe:
    """Return the recipe of the command line's choices: the widths, and fields of the recipe, its space and its task.

    Raises:
        UserError: a width that is not a multiple of the machine's vector width.
    """
    given = {name: value for name, value in changed.items() if value is not None}
    lanes = vector_width()
    for width in widths or ():
        if width % lanes:
            raise UserError(
                f"--width {width}: must be a multiple of {lanes}, the vector width of this machine"
            )
    space = SearchSpace(lanes=lanes)
    sizes: dict[str, object] = {"lanes": lanes, "widths": tuple(dict.fromkeys(widths or space.widths))}
    if "depth" in given:
        sizes["depth"] = given.pop("depth")
    recipe = SearchRecipe(space=SearchSpace.model_validate(sizes))
    if "steps" in given:
        steps = given.pop("steps")
        recipe = recipe.model_copy(update={"recall": recipe.recall.model_copy(update={"steps": steps})})
    return SearchRecipe.model_validate(recipe.model_copy(update=given).model_dump())


def export_found(out: Path, detail: SearchDetail, file: Path) -> str:
    """Export the fastest architecture that any method found. Returns a line about it.

    Raises:
        UserError: no method found one, or the file cannot be written.
    """
    from eidolon.benchmark.study.search.exporting import export_model

    found = [(row.ms, row.found) for row in detail.methods if row.found is not None and row.ms is not None]
    if not found:
        raise UserError(
            f"--export {file}: no method found an architecture that recalls as much as the reference"
        )
    _, point = min(found, key=lambda one: one[0])
    exported = export_model(
        CandidatePool(detail.recipe, out / "candidates").trained_model(point), detail.recipe, file
    )
    return (
        f"{file}: {point.label}, {exported.operations} operations; its answers differ from the model's by at most "
        f"{exported.difference:.1e} of the largest logit"
    )


class _Reporting:
    """A trainer that prints each candidate once."""

    def __init__(self, candidates: CandidatePool, console: Console) -> None:
        self._candidates, self._console = candidates, console
        self._shown: set[SearchedLayout] = set()

    def early_recall(self, point: SearchedLayout) -> float:
        return self._candidates.early_recall(point)

    def recall(self, point: SearchedLayout) -> float:
        recall = self._candidates.recall(point)
        if point not in self._shown:
            self._shown.add(point)
            self._console.print(
                f"{len(self._shown)}: {point.label} recalls {recall:.3f}", markup=False, highlight=False
            )
        return recall


def later_methods(
    recipe: SearchRecipe,
    estimator: CostEstimator,
    rules: Rules,
    untrained: Mapping[SearchedLayout, Untrained],
    searched: Sequence[SearchedLayout],
) -> dict[Method, SearchMethod]:
    """Return the methods that need rules or scores."""
    scores: dict[Method, dict[SearchedLayout, float]] = {
        "single-shot": {point: untrained[point].supernet for point in searched},
        "zero-shot": {point: untrained[point].trainability for point in searched},
        "rules": {point: rules.promise(point) for point in searched},
    }
    return {
        "multi-shot with rules": Evolution(recipe, estimator, prior(rules, searched), 1),
        **{method: ScoreSearch(recipe, estimator, own) for method, own in scores.items()},
    }


def searched_points(recipe: SearchRecipe, estimator: CostEstimator) -> tuple[SearchedLayout, ...]:
    """Return the points of the space whose memory takes at most `max_bytes`.

    Raises:
        UserError: there is none.
    """
    most = recipe.max_bytes
    sizes = {point: estimator.estimate(point).bytes for point in recipe.space.points}
    found = tuple(point for point, size in sizes.items() if most is None or size <= most)
    if not found:
        smallest = min(sizes, key=sizes.__getitem__)
        raise UserError(
            f"--max-bytes {most}: no architecture takes so few; {smallest.label} takes {sizes[smallest]:,.0f}"
        )
    return found


def sample(recipe: SearchRecipe, points: Sequence[SearchedLayout]) -> tuple[SearchedLayout, ...]:
    """Return the random architectures that scores are correlated over."""
    order = np.random.default_rng([recipe.seed, 4]).permutation(len(points))
    return tuple(points[place] for place in order[: recipe.sampled])


def trained_points(
    trials: Iterable[Sequence[Trial]], others: Sequence[SearchedLayout]
) -> tuple[SearchedLayout, ...]:
    """Return all architectures that were trained to the end, each once."""
    found = dict.fromkeys(others)
    for own in trials:
        found |= dict.fromkeys(trial.architecture for trial in own if trial.recall is not None)
    return tuple(found)


def summarise(
    recipe: SearchRecipe,
    method: Method,
    trials: Sequence[Trial],
    fastest: TrainedCandidate | None,
    estimator: CostEstimator,
    measured: Mapping[SearchedLayout, float],
) -> MethodResult:
    """Return a method's row of the table."""
    steps = sum(recipe.recall.steps if trial.recall is not None else recipe.early for trial in trials)
    if method == "single-shot":
        steps += recipe.supernet_steps
    point = None if fastest is None else fastest.training.architecture
    reference = recipe.space.reference
    ms = None if point is None else estimator.estimate(point).ms
    own = None if point is None else measured[point]
    return MethodResult(
        method=method,
        trials=tuple(trials),
        trainings=round(steps / recipe.recall.steps, 2),
        found=point,
        recall=None if fastest is None else fastest.recall,
        ms=None if ms is None else round(ms, 4),
        measured_ms=own,
        saved=None if ms is None else round(1 - ms / estimator.estimate(reference).ms, 4),
        measured_saved=None if own is None else round(1 - own / measured[reference], 4),
    )


class _Kept(Generic[T]):
    """A result in a file, computed again if it was made by something else."""

    def __init__(self, path: Path, kind: TypeAdapter[T], made_by: JsonValue) -> None:
        self._path, self._kind, self._made_by = path, kind, made_by

    def get(self, compute: Callable[[], T]) -> T:
        stored: TypeAdapter[dict[str, JsonValue]] = TypeAdapter(dict[str, JsonValue])
        if self._path.exists():
            try:
                found = stored.validate_json(self._path.read_bytes())
                if found.get("made_by") == self._made_by:
                    return self._kind.validate_python(found.get("value"))
            except ValidationError as error:
                raise UserError(f"{self._path}: cannot be read; remove it") from error
        value = compute()
        both = {"made_by": self._made_by, "value": self._kind.dump_python(value, mode="json")}
        write_atomically(self._path, stored.dump_json(both, indent=1) + b"\n")
        return value


def measured_estimator(out: Path, recipe: SearchRecipe) -> CostEstimator:
    """Return the regression with its check. It is measured once for a folder."""
    machine = describe_cpu()
    kept = _Kept(
        out / "costs.json",
        TypeAdapter(CostEstimator),
        recipe.model_dump(
            mode="json", include={"space", "recall", "store", "context", "mixed", "unseen", "seed"}
        )
        | {"machine": machine},
    )
    return kept.get(partial(_fit_and_check, recipe, machine))


def _fit_and_check(recipe: SearchRecipe, machine: str) -> CostEstimator:
    fitted, unseen = points_to_measure(recipe.space, recipe.mixed, recipe.unseen, recipe.seed)
    costs = measure(
        (*fitted, *unseen),
        recipe.memory(recipe.space.reference),
        recipe.recall.task.vocabulary,
        recipe.context,
    )
    estimator = fit({point: costs[point] for point in fitted}, recipe.space.symbols, recipe.context, machine)
    return check(estimator, {point: costs[point] for point in unseen})


def score_space(out: Path, recipe: SearchRecipe) -> dict[SearchedLayout, Untrained]:
    """Return supernet and zero-shot scores of every point. They are computed once for a folder."""
    kept = _Kept(
        out / "scores.json",
        TypeAdapter(list[Untrained]),
        recipe.model_dump(mode="json", include={"space", "recall", "store", "seed", "supernet_steps"}),
    )
    return dict(zip(recipe.space.points, kept.get(partial(_score_all, out, recipe)), strict=True))


def _score_all(out: Path, recipe: SearchRecipe) -> list[Untrained]:
    from eidolon.benchmark.study.recall.model import VALIDATION
    from eidolon.benchmark.study.search.candidates import make_candidate
    from eidolon.benchmark.study.search.supernet import train_supernet
    from eidolon.benchmark.study.search.trainability import zero_shot_scores

    supernet = train_supernet(recipe, out / "supernet")
    scores = []
    for point in recipe.space.points:
        zero_shot = zero_shot_scores(make_candidate(recipe, point), recipe)
        scores.append(
            Untrained(
                supernet=measure_model(supernet.extract(point), recipe, VALIDATION),
                trainability=round(zero_shot.trainability, 4),
                gradient=round(zero_shot.gradient, 4),
            )
        )
    return scores


def measure_found(
    out: Path, recipe: SearchRecipe, points: Sequence[SearchedLayout]
) -> dict[SearchedLayout, float]:
    """Return the measured milliseconds of the reference and the found architectures, timed in turn."""
    chosen = tuple(dict.fromkeys([recipe.space.reference, *points]))
    kept = _Kept(
        out / "found.json",
        TypeAdapter(list[float]),
        {
            "points": [point.label for point in chosen],
            "context": recipe.context,
            "recall": recipe.recall.model_dump(mode="json"),
            "store": recipe.store,
            "machine": describe_cpu(),
        },
    )

    def compute() -> list[float]:
        memory, vocabulary = recipe.memory(recipe.space.reference), recipe.recall.task.vocabulary
        costs = measure(chosen, memory, vocabulary, recipe.context)
        return [round(costs[point].ms, 4) for point in chosen]

    return dict(zip(chosen, kept.get(compute), strict=True))
