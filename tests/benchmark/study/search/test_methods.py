"""The methods of a search, with planted recalls: they depend on seed and recalls only, and stop what is beaten."""

from pathlib import Path

import numpy as np
import pytest

from eidolon.benchmark.study.search.candidates import CandidatePool
from eidolon.benchmark.study.search.detail import (
    CandidateScores,
    fastest_equal,
    make_candidates,
    rank_correlation,
)
from eidolon.benchmark.study.search.methods import Evolution, ScoreSearch, Trial, finalists
from eidolon.benchmark.study.search.recipe import SearchRecipe
from eidolon.benchmark.study.search.rules import prior
from eidolon.benchmark.study.search.run import sample, searched_points
from eidolon.benchmark.study.search.space import SearchedLayout
from eidolon.scorers.core.errors import UserError
from tests.benchmark.study.search.tiny import ESTIMATOR, RECIPE, point


class Planted:
    """Recall is 0.4 with attention, 0.1 more for each BM, 0.2 for a single GDN, 0.05 for the larger width.

    Half of it comes early.
    """

    def __init__(self) -> None:
        self.trained: list[SearchedLayout] = []

    def early_recall(self, candidate: SearchedLayout) -> float:
        return self.of(candidate) / 2

    def recall(self, candidate: SearchedLayout) -> float:
        self.trained.append(candidate)
        return self.of(candidate)

    @staticmethod
    def of(candidate: SearchedLayout) -> float:
        layout = candidate.layout
        alone = 0.2 * (layout.count("GDN") == 1)
        return 0.4 * ("*" in layout) + 0.1 * layout.count("BM") + alone + 0.05 * (candidate.width == 32)


def evolve(recipe: SearchRecipe = RECIPE, stream: int = 0) -> tuple[Trial, ...]:
    return Evolution(recipe, ESTIMATOR, prior(None, recipe.space.points), stream).search(Planted())


def test_a_seed_gives_one_history() -> None:
    recipe = RECIPE.model_copy(update={"trainings": 9})
    first = evolve(recipe)
    assert evolve(recipe) == first
    assert len({trial.architecture for trial in first}) == len(first), "nothing is tried twice"
    assert evolve(recipe.model_copy(update={"seed": 1})) != first
    assert evolve(recipe, stream=1) != first


def test_a_larger_budget_continues_the_same_history() -> None:
    few, many = (evolve(RECIPE.model_copy(update={"trainings": count, "patience": 9})) for count in (5, 11))
    assert many[: len(few)] == few
    assert len(many) == 11


def test_a_candidate_is_stopped_if_a_cheaper_one_was_better_early() -> None:
    recipe = RECIPE.model_copy(update={"trainings": 18, "population": 18, "margin": 0.05})
    history = evolve(recipe)
    stopped = {trial.architecture for trial in history if trial.recall is None}
    for place, trial in enumerate(history):
        own = ESTIMATOR.estimate(trial.architecture)
        beaten = False
        for other in history[:place]:
            cost = ESTIMATOR.estimate(other.architecture)
            cheaper = cost.ms <= own.ms and cost.bytes <= own.bytes
            beaten |= cheaper and other.early >= trial.early + 0.05
        assert (trial.architecture in stopped) is beaten
    assert stopped


def test_an_evolution_without_news_ends() -> None:
    recipe = RECIPE.model_copy(update={"trainings": 18, "population": 12, "children": 1, "patience": 1})
    assert len(evolve(recipe)) < 18


def test_the_prior_decides_the_start() -> None:
    wanted = [candidate for candidate in RECIPE.space.points if "BM" in candidate.layout][:3]
    weights = np.array([1.0 if candidate in wanted else 1e-12 for candidate in RECIPE.space.points])
    likely = dict(zip(RECIPE.space.points, (weights / weights.sum()).tolist(), strict=True))
    history = Evolution(RECIPE, ESTIMATOR, likely, 0).search(Planted())
    assert {trial.architecture for trial in history if trial.generation == 0} == set(wanted)


def test_finalists_are_on_the_front_of_score_and_latency() -> None:
    scores = {candidate: Planted.of(candidate) for candidate in RECIPE.space.points}
    chosen = finalists(scores, ESTIMATOR, 4)
    best = max(scores.values())
    assert scores[chosen[-1]] == best
    for candidate in chosen:
        cheaper = [p for p in scores if ESTIMATOR.estimate(p).ms < ESTIMATOR.estimate(candidate).ms]
        assert all(scores[p] < scores[candidate] for p in cheaper)
    trainer = Planted()
    trials = ScoreSearch(RECIPE, ESTIMATOR, scores).search(trainer)
    assert trainer.trained == [trial.architecture for trial in trials], "only finalists are trained"
    assert len(trials) == RECIPE.finalists


def test_nothing_larger_than_the_limit_is_searched() -> None:
    recipe = RECIPE.model_copy(update={"max_bytes": 400, "trainings": 30, "patience": 30})
    small = [p for p in RECIPE.space.points if ESTIMATOR.estimate(p).bytes <= 400]
    assert searched_points(recipe, ESTIMATOR) == tuple(small)
    assert 0 < len(small) < len(RECIPE.space.points)
    history = Evolution(recipe, ESTIMATOR, prior(None, small), 0).search(Planted())
    assert {trial.architecture for trial in history} == set(small), "and all of it is reached"
    assert set(sample(recipe, small)) <= set(small)
    assert searched_points(RECIPE, ESTIMATOR) == RECIPE.space.points
    with pytest.raises(UserError, match=r"--max-bytes 99: no architecture takes so few; GDN 16 takes 100"):
        searched_points(RECIPE.model_copy(update={"max_bytes": 99}), ESTIMATOR)


def test_the_fastest_of_equal_recall() -> None:
    trials = evolve(RECIPE.model_copy(update={"trainings": 24, "population": 24, "margin": 1.0}))
    points = RECIPE.space.points
    good = sorted((p for p in points if Planted.of(p) >= 0.4), key=lambda p: ESTIMATOR.estimate(p).ms)
    assert fastest_equal(trials, 0.4, ESTIMATOR, points) == good[0]
    assert fastest_equal(trials, 0.4, ESTIMATOR, set(points) - {good[0]}) == good[1]
    assert fastest_equal(trials, 2.0, ESTIMATOR, points) is None


def test_rank_correlation() -> None:
    from scipy.stats import spearmanr

    scores, recalls = [1.0, 3.0, 2.0, 5.0, 4.0, 4.0], [0.1, 0.4, 0.1, 0.8, 0.3, 0.9]
    found = rank_correlation("trainability", scores, recalls)
    assert found.value == pytest.approx(spearmanr(scores, recalls).statistic, abs=1e-3)
    assert found.ci is not None
    assert found.ci[0] < found.value < found.ci[1]
    assert rank_correlation("trainability", [1.0] * 4, [0.1, 0.2, 0.3, 0.4]).value is None


def test_a_candidate_is_trained_once(tmp_path: Path) -> None:
    chosen = point("GDN-*")
    candidates = CandidatePool(RECIPE, tmp_path)
    early = candidates.early_recall(chosen)
    log = tmp_path / "GDN-attention-16-0" / "log.jsonl"
    assert len(log.read_text().splitlines()) == RECIPE.early == 1
    recall = candidates.recall(chosen)
    lines = log.read_text()
    assert len(lines.splitlines()) == 4
    again = CandidatePool(RECIPE, tmp_path)
    assert (again.early_recall(chosen), again.recall(chosen)) == (early, recall)
    assert log.read_text() == lines
    whole = CandidatePool(RECIPE, tmp_path / "whole")
    assert (whole.recall(chosen), whole.early_recall(chosen)) == (recall, early), "a stop changes nothing"
    assert whole.trained(chosen) == candidates.trained(chosen).model_copy(
        update={"seconds": whole.trained(chosen).seconds}
    )
    other = RECIPE.model_copy(update={"store": 4})
    with pytest.raises(UserError, match=r"result\.json: was made by another recipe"):
        CandidatePool(other, tmp_path).recall(chosen)


def test_a_store_that_nothing_fills_by_surprise_is_worth_nothing(tmp_path: Path) -> None:
    """After four steps the predictor explains nothing."""
    candidates = CandidatePool(RECIPE, tmp_path)
    store, state = point("BM-GDN"), point("GDN-*")
    found = candidates.trained(store)
    assert found.refused is not None
    assert found.predictor_r_squared is not None
    assert found.predictor_r_squared[0] < 0.2
    assert candidates.recall(store) == 0
    assert candidates.trained(state).refused is None
    trained = {one: candidates.trained(one) for one in (store, state)}
    scores = CandidateScores(trainability=0, gradient=0, supernet=0, rules=0)
    rows = {
        one.architecture: one for one in make_candidates(trained, dict.fromkeys(trained, scores), ESTIMATOR)
    }
    assert (rows[store].recall, rows[store].on_front, rows[store].not_reported) == (
        None,
        False,
        found.refused,
    )
    assert (rows[state].recall, rows[state].on_front) == (candidates.trained(state).recall, True)


def test_the_front_is_chosen_by_validation_sequences(tmp_path: Path) -> None:
    """The faster one recalls more of the test sequences, and less of those by which architectures are chosen."""
    candidates = CandidatePool(RECIPE, tmp_path)
    one, other = point("GDN-*"), point("*-*")
    fast, slow = sorted((one, other), key=lambda each: ESTIMATOR.estimate(each).ms)
    trained = {
        fast: candidates.trained(fast).model_copy(update={"recall": 0.9, "validation": 0.8}),
        slow: candidates.trained(slow).model_copy(update={"recall": 0.8, "validation": 0.9}),
    }
    scores = CandidateScores(trainability=0, gradient=0, supernet=0, rules=0)
    rows = make_candidates(trained, dict.fromkeys(trained, scores), ESTIMATOR)
    assert [(row.architecture, row.recall, row.on_front) for row in rows] == [
        (fast, 0.9, True),
        (slow, 0.8, True),
    ]


def test_a_candidate_that_diverges_is_not_reported_and_not_trained_again(tmp_path: Path) -> None:
    wild = RECIPE.model_copy(update={"recall": RECIPE.recall.model_copy(update={"learning_rate": 1e30})})
    chosen = point("GDN-*")
    candidates = CandidatePool(wild, tmp_path)
    assert candidates.recall(chosen) == 0
    refused = candidates.trained(chosen).refused
    assert refused is not None
    assert refused.endswith("is not a finite number")
    log = (tmp_path / "GDN-attention-16-0" / "log.jsonl").read_text()
    again = CandidatePool(wild, tmp_path)
    assert (again.recall(chosen), again.early_recall(chosen)) == (0, 0)
    assert (tmp_path / "GDN-attention-16-0" / "log.jsonl").read_text() == log
