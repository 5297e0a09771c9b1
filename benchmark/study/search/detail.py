"""`search.json`: what a search tried and found."""

import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import ConfigDict, Field, ValidationError

from eidolon.benchmark.study.search.candidates import TrainedCandidate
from eidolon.benchmark.study.search.estimator import CostEstimator
from eidolon.benchmark.study.search.methods import Trial
from eidolon.benchmark.study.search.pareto import is_dominated
from eidolon.benchmark.study.search.recipe import Method, SearchRecipe
from eidolon.benchmark.study.search.rules import Rules
from eidolon.benchmark.study.search.space import SearchedLayout
from eidolon.scorers.core.distribution import package_version
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.types import Record

SCHEMA: Literal["eidolon/search/1"] = "eidolon/search/1"
Score = Literal["trainability", "gradient", "supernet", "rules"]


class CandidateScores(Record):
    """The scores of an architecture that need no training of its own."""

    trainability: float
    gradient: float
    supernet: float
    """Recall with its slice of the supernet."""
    rules: float
    """The recall that the rules promise."""


class Candidate(Record):
    """A trained architecture."""

    architecture: SearchedLayout
    parameters: int
    recall: float | None
    """Recall of the test sequences. Null if it is not reported."""
    validation: float
    """Recall of the validation sequences, by which the methods chose."""
    predictor_r_squared: tuple[float, ...] | None = None
    """R² of the predictor of each layer with a store. Null without a store."""
    not_reported: str | None = None
    """The reason."""
    ms: float
    """Estimated latency of a decoding step, in milliseconds."""
    bytes: float
    """Estimated bytes of the memory of one sequence."""
    scores: CandidateScores
    on_front: bool
    """No other one recalls as much, is as fast and as small, and better in one of the three. False if its recall is not
    reported."""


class MethodResult(Record):
    """What a method found: its fastest architecture that recalls as much as the reference."""

    method: Method
    trials: tuple[Trial, ...]
    trainings: float
    """Training steps that the method needs alone, in trainings of a candidate. The supernet's steps count."""
    found: SearchedLayout | None
    """Null if it found none."""
    recall: float | None
    """Recall of the test sequences."""
    ms: float | None
    measured_ms: float | None
    saved: float | None
    """Estimated latency saved, as a share of that of the reference."""
    measured_saved: float | None


class RankCorrelation(Record):
    """Spearman's rank correlation of a score with the recall after training, over random architectures."""

    score: Score
    architectures: int
    value: float | None
    """Null if all scores or all recalls are equal."""
    ci: tuple[float, float] | None
    """95 % interval by Fisher's transformation, with the variance of Fieller et al. (1957)."""


class SearchDetail(Record):
    """The content of `search.json`."""

    model_config = ConfigDict(allow_inf_nan=False)

    schema_: Literal["eidolon/search/1"] = Field(alias="schema")
    eidolon: str
    recipe: SearchRecipe
    estimator: CostEstimator
    estimator_error: float | None
    """Mean relative error of the latency over layouts that the regression has not seen."""
    reference: Candidate
    reference_measured_ms: float
    candidates: tuple[Candidate, ...]
    """All architectures that any method has trained to the end, the fastest first."""
    methods: tuple[MethodResult, ...]
    rules_found: Rules
    """From the trainings of multi-shot."""
    rules_used: Rules
    """The start of *multi-shot with rules*, and the score of *rules*."""
    rules_from: str | None
    """The search that `rules_used` are from; null if they are from this one, whose rows with rules then are no test of
    the rules."""
    sampled: tuple[SearchedLayout, ...]
    """The random architectures of the correlations."""
    correlations: tuple[RankCorrelation, ...]

    def to_json(self) -> str:
        """Return the text of the file."""
        return self.model_dump_json(by_alias=True, indent=1) + "\n"

    @property
    def front(self) -> tuple[Candidate, ...]:
        """The Pareto front of latency, bytes and the recall of validation sequences, the fastest first."""
        return tuple(candidate for candidate in self.candidates if candidate.on_front)


def read_rules(path: Path) -> Rules:
    """Return the rules that another search found, from its `search.json`.

    Raises:
        UserError: the file is none.
    """
    try:
        return SearchDetail.model_validate_json(path.read_bytes()).rules_found
    except OSError as error:
        raise UserError(f"--rules {path}: {error.strerror}") from error
    except ValidationError as error:
        raise UserError(f"--rules {path}: is not the search.json of eidolon memory search") from error


def make_candidates(
    trained: Mapping[SearchedLayout, TrainedCandidate],
    scores: Mapping[SearchedLayout, CandidateScores],
    estimator: CostEstimator,
) -> tuple[Candidate, ...]:
    """Return the trained architectures, the fastest first, with the front marked. It is by the recall of validation
    sequences, as everything that is chosen."""
    points = sorted(trained, key=lambda point: estimator.estimate(point).ms)
    costs = {point: estimator.estimate(point) for point in points}
    reported = [point for point in points if trained[point].refused is None]
    dominated = is_dominated([(-(trained[point].validation or 0.0), *costs[point]) for point in reported])
    front = {point for point, beaten in zip(reported, dominated, strict=True) if not beaten}
    return tuple(
        Candidate(
            architecture=point,
            parameters=trained[point].parameters,
            recall=trained[point].recall if point in reported else None,
            validation=trained[point].validation or 0.0,
            predictor_r_squared=trained[point].predictor_r_squared,
            not_reported=trained[point].refused,
            ms=costs[point].ms,
            bytes=costs[point].bytes,
            scores=scores[point],
            on_front=point in front,
        )
        for point in points
    )


def fastest_equal(
    trials: Sequence[Trial], least: float, estimator: CostEstimator, reported: Collection[SearchedLayout]
) -> SearchedLayout | None:
    """Return the fastest of the tried and reported architectures whose recall in the search is at least `least`.

    None without any.
    """
    good = [
        trial.architecture
        for trial in trials
        if trial.architecture in reported and trial.recall is not None and trial.recall >= least
    ]
    return min(good, key=lambda one: estimator.estimate(one).ms, default=None)


def rank_correlation(score: Score, scores: Sequence[float], recalls: Sequence[float]) -> RankCorrelation:
    """Return Spearman's correlation of scores and recalls of the same architectures."""
    from scipy.stats import rankdata

    count = len(scores)
    ranks, others = rankdata(scores), rankdata(recalls)
    if np.ptp(ranks) == 0 or np.ptp(others) == 0:
        return RankCorrelation(score=score, architectures=count, value=None, ci=None)
    value = float(np.corrcoef(ranks, others)[0, 1])
    ci = None
    if count > 3 and abs(value) < 1:
        reach = 1.96 * math.sqrt(1.06 / (count - 3))
        low, high = (math.tanh(math.atanh(value) + sign * reach) for sign in (-1, 1))
        ci = (round(low, 3), round(high, 3))
    return RankCorrelation(score=score, architectures=count, value=round(value, 3), ci=ci)


def make_detail(
    recipe: SearchRecipe,
    estimator: CostEstimator,
    candidates: Sequence[Candidate],
    methods: Sequence[MethodResult],
    reference_measured_ms: float,
    rules: tuple[Rules, Rules, str | None],
    sampled: Sequence[SearchedLayout],
) -> SearchDetail:
    """Return the content of `search.json`. `rules` are those found, those used, and where the latter are from."""
    by_point = {candidate.architecture: candidate for candidate in candidates}
    random = [(one, one.recall) for one in (by_point[point] for point in sampled) if one.recall is not None]
    recalls = [recall for _, recall in random]
    names: tuple[Score, ...] = ("trainability", "gradient", "supernet", "rules")
    found, used, source = rules
    return SearchDetail(
        schema=SCHEMA,
        eidolon=package_version(),
        recipe=recipe,
        estimator=estimator,
        estimator_error=None if estimator.error is None else round(estimator.error, 4),
        reference=by_point[recipe.space.reference],
        reference_measured_ms=reference_measured_ms,
        candidates=tuple(candidates),
        methods=tuple(methods),
        rules_found=found,
        rules_used=used,
        rules_from=source,
        sampled=tuple(sampled),
        correlations=tuple(
            rank_correlation(name, [candidate.scores.model_dump()[name] for candidate, _ in random], recalls)
            for name in names
        ),
    )
