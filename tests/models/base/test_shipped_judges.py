"""The shipped judges: their sizes, and how well they read texts about Scenes."""

import numpy as np
import pytest
from numpy.typing import NDArray

from eidolon.benchmark.study.training.judge_evaluation import (
    TRAPS,
    TextQuestion,
    ask_lexicon,
    ask_model,
    description_questions,
    measure,
    passage_questions,
)
from eidolon.models.backends.text_models import language_models
from eidolon.models.base.shipped import shipped_judges

SEED = 606060
"""Seed of scenes that were used neither in training nor for the choice of recipes."""
MOST_BYTES = 8_000_000

Votes = dict[str, NDArray[np.bool_]]


def _votes(questions: list[TextQuestion]) -> Votes:
    return {judge.name: ask_model(judge, questions) for judge in language_models(None, {})}


@pytest.fixture(scope="module")
def descriptions() -> tuple[list[TextQuestion], Votes]:
    questions = description_questions(60, SEED)
    return questions, _votes(questions)


@pytest.fixture(scope="module")
def traps() -> tuple[list[TextQuestion], Votes]:
    questions = [q for split in ("train", "test") for q in passage_questions(40, SEED, TRAPS, split)]
    return questions, _votes(questions)


def test_they_are_three_of_different_size_in_eight_megabytes() -> None:
    sizes = [(path / "model.safetensors").stat().st_size for path in shipped_judges().values()]
    assert sorted(shipped_judges()) == ["judge-base", "judge-large", "judge-small"]
    assert len(set(sizes)) == 3
    assert sum(sizes) <= MOST_BYTES


def test_each_finds_what_descriptions_claim_and_nothing_else(
    descriptions: tuple[list[TextQuestion], Votes],
) -> None:
    questions, votes = descriptions
    read = {name: measure(answers, questions, resamples=0) for name, answers in votes.items()}
    worst = {name: min(r.recall.value or 0, r.specificity.value or 0) for name, r in read.items()}
    assert min(worst.values()) >= 0.93, worst
    assert max(worst.values()) >= 0.97, worst


def test_all_votes_together_are_better_than_any_judge(traps: tuple[list[TextQuestion], Votes]) -> None:
    questions, votes = traps
    unanimous = np.concatenate(list(votes.values())).all(axis=0, keepdims=True)
    together = measure(unanimous, questions, resamples=0).precision.value or 0
    for name, answers in votes.items():
        assert together > (measure(answers, questions, resamples=0).precision.value or 0), name


@pytest.mark.parametrize("judge", ["judge-base", "judge-large"])
def test_they_read_denials_better_than_the_lexicon(
    judge: str, traps: tuple[list[TextQuestion], Votes]
) -> None:
    questions, votes = traps
    mine = measure(votes[judge], questions, resamples=0).balanced_accuracy.value or 0
    for reading in ("original", "careful"):
        lexicon = measure(ask_lexicon(reading, questions), questions, resamples=0)
        assert mine > (lexicon.balanced_accuracy.value or 0), reading
