"""The methods of a search, behind one interface: each returns the architectures that it tried, in order.

*Multi-shot* trains every candidate of an evolution. The others have a score that needs no training of a candidate
(*single-shot*: recall with slices of a supernet; *zero-shot*: trainability; *rules*: what the rules promise). They
score all searched points, and train a few finalists from the front of score and estimated latency.
"""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from eidolon.benchmark.study.search.estimator import CostEstimator
from eidolon.benchmark.study.search.pareto import front_ranks, is_dominated, spread
from eidolon.benchmark.study.search.recipe import SearchRecipe
from eidolon.benchmark.study.search.space import SearchedLayout
from eidolon.scorers.core.types import Record


class Trial(Record):
    """An architecture that a method tried."""

    architecture: SearchedLayout
    generation: int
    """0 for the start of an evolution, and for finalists."""
    early: float
    """Recall where the training could be stopped."""
    recall: float | None
    """Recall after the whole training; null if it was stopped."""


class Trainer(Protocol):
    """Trains candidates; see `candidates.CandidatePool`."""

    def early_recall(self, point: SearchedLayout) -> float:
        """Return the recall of a candidate where its training may be stopped."""
        ...

    def recall(self, point: SearchedLayout) -> float:
        """Return the recall of a candidate after its whole training."""
        ...


class SearchMethod(Protocol):
    """A way to search."""

    def search(self, trainer: Trainer) -> tuple[Trial, ...]:
        """Return what was tried. It depends on the method's arguments and the candidates' recalls only."""
        ...


class Evolution:
    """Multi-shot: candidates are trained, and the children of good ones are trained next.

    A parent is the better of two random candidates, by the front that it is on (`pareto.front_ranks` of recall, latency
    and bytes). A child is a random neighbour of it. `weights` has the searched points; it makes points of the start and
    children more or less likely.
    """

    def __init__(
        self,
        recipe: SearchRecipe,
        estimator: CostEstimator,
        weights: Mapping[SearchedLayout, float],
        stream: int,
    ) -> None:
        """Take the recipe, the costs, the prior of each point, and a number that makes its random choices its own."""
        self._recipe, self._estimator, self._weights = recipe, estimator, weights
        self._random = np.random.default_rng([recipe.seed, 3, stream])

    def search(self, trainer: Trainer) -> tuple[Trial, ...]:
        recipe, points = self._recipe, list(self._weights)
        trials: list[Trial] = []
        chances = np.array([self._weights[point] for point in points])
        start = self._random.choice(
            len(points), min(recipe.population, recipe.trainings, len(points)), replace=False, p=chances
        )
        for place in start:
            trials.append(self._try(points[int(place)], 0, trials, trainer))
        idle = generation = 0
        while len(trials) < recipe.trainings and idle < recipe.patience:
            generation += 1
            before = self._front(trials)
            for _ in range(min(recipe.children, recipe.trainings - len(trials))):
                child = self._child(trials)
                if child is None:
                    return tuple(trials)
                trials.append(self._try(child, generation, trials, trainer))
            idle = 0 if self._front(trials) - before else idle + 1
        return tuple(trials)

    def _try(self, point: SearchedLayout, generation: int, earlier: list[Trial], trainer: Trainer) -> Trial:
        """Train a candidate, or stop it early if one that costs no more was better by then."""
        early = trainer.early_recall(point)
        own = self._estimator.estimate(point)
        stopped = any(
            other.early >= early + self._recipe.margin
            and all(
                theirs <= mine
                for theirs, mine in zip(self._estimator.estimate(other.architecture), own, strict=True)
            )
            for other in earlier
        )
        recall = None if stopped else trainer.recall(point)
        return Trial(architecture=point, generation=generation, early=early, recall=recall)

    def _child(self, trials: list[Trial]) -> SearchedLayout | None:
        """Return a new neighbour of a good candidate; a random new point if there is none, None if all are tried."""
        tried = {trial.architecture for trial in trials}
        finished = [trial for trial in trials if trial.recall is not None]
        ranks = front_ranks(self._costs(finished))
        pair = self._random.integers(len(finished), size=2)
        parent = finished[int(min(pair, key=lambda place: ranks[place]))].architecture
        near = self._recipe.space.neighbours(parent)
        options = [point for point in near if point in self._weights and point not in tried]
        options = options or [point for point in self._weights if point not in tried]
        if not options:
            return None
        chances = np.array([self._weights[point] for point in options])
        return options[int(self._random.choice(len(options), p=chances / chances.sum()))]

    def _front(self, trials: list[Trial]) -> set[SearchedLayout]:
        finished = [trial for trial in trials if trial.recall is not None]
        dominated = is_dominated(self._costs(finished))
        return {trial.architecture for trial, beaten in zip(finished, dominated, strict=True) if not beaten}

    def _costs(self, trials: list[Trial]) -> NDArray[np.float64]:
        return np.array(
            [(-(trial.recall or 0.0), *self._estimator.estimate(trial.architecture)) for trial in trials]
        )


class ScoreSearch:
    """Takes scores that need no training, and trains finalists.

    The finalists are on the front of score and estimated latency, spread evenly from the fastest to the best score.
    """

    def __init__(
        self, recipe: SearchRecipe, estimator: CostEstimator, scores: Mapping[SearchedLayout, float]
    ) -> None:
        """Take the recipe, the costs, and the score of each searched point, larger for a better one."""
        self._recipe, self._estimator, self._scores = recipe, estimator, scores

    def search(self, trainer: Trainer) -> tuple[Trial, ...]:
        return tuple(
            Trial(
                architecture=point,
                generation=0,
                early=trainer.early_recall(point),
                recall=trainer.recall(point),
            )
            for point in finalists(self._scores, self._estimator, self._recipe.finalists)
        )


def finalists(
    scores: Mapping[SearchedLayout, float], estimator: CostEstimator, count: int
) -> tuple[SearchedLayout, ...]:
    """Return at most `count` points from the front of score and estimated latency, the fastest first."""
    points = list(scores)
    latencies = [estimator.estimate(point).ms for point in points]
    dominated = is_dominated([(-scores[point], ms) for point, ms in zip(points, latencies, strict=True)])
    front = [place for place in range(len(points)) if not dominated[place]]
    chosen = spread([latencies[place] for place in front], count)
    return tuple(points[front[place]] for place in chosen)
