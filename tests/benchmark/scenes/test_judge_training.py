"""Training samples of judges: the passages decide the answers to the questions."""

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from eidolon.benchmark.scenes.judge_training import JUDGE_RECIPES, ask, batch_samples, draw_passage
from eidolon.benchmark.scenes.passages import Passage
from eidolon.scorers.judges.throne_questions import RESPONSE_CHARACTERS

RECIPE = JUDGE_RECIPES["judge-small"]


def test_a_step_has_the_same_samples_every_time_and_no_two_steps_do() -> None:
    samples, again = batch_samples(RECIPE), batch_samples(RECIPE)
    assert samples(7) == again(7)
    assert samples(7) != samples(8)


def test_half_of_the_answers_are_yes() -> None:
    samples = batch_samples(RECIPE)
    answers = [s.answer for step in range(2995, 3005) for s in samples(step)]
    assert set(answers) == {"yes", "no"}
    assert answers.count("yes") == pytest.approx(len(answers) / 2, rel=0.02)


def test_batches_hold_about_as_many_tokens_at_any_length() -> None:
    samples = batch_samples(RECIPE)
    for step in range(4000, 4020):
        words = sum(len(s.prompt.split()) for s in samples(step))
        assert 0.4 < 1.4 * words / RECIPE.training.tokens_per_batch < 2


def test_evidence_is_in_the_text_and_only_for_a_yes() -> None:
    samples = batch_samples(RECIPE)
    for sample in (s for step in (10, 4000) for s in samples(step)):
        start, end = sample.text
        assert sample.prompt[:start] == "Text: "
        assert sample.prompt[end:].startswith("\n\nRead the text")
        assert bool(sample.evidence) == (sample.answer == "yes")
        assert all(start <= a < b <= end for a, b in sample.evidence)


def test_a_claim_after_the_limit_does_not_count() -> None:
    filler = "x" * (RESPONSE_CHARACTERS - 2)
    passage = Passage(
        f"{filler} a cat and a dog", {"cat": ((RESPONSE_CHARACTERS + 1, RESPONSE_CHARACTERS + 4),)}, {}
    )
    asked = ask(passage, 4, np.random.default_rng(0))
    assert {s.answer for s in asked} == {"no"}
    torn = replace(passage, claims={"cat": ((RESPONSE_CHARACTERS - 2, RESPONSE_CHARACTERS + 1),)})
    for seed in range(20):
        assert not any(" cat " in s.prompt[s.text[1] :] for s in ask(torn, 8, np.random.default_rng(seed)))


def test_unclaimed_names_are_asked_about_often() -> None:
    rng = np.random.default_rng(0)
    denied = asked = 0
    for index in range(200):
        passage = draw_passage(5, index, 40)
        for sample in ask(passage, 4, rng):
            if passage.unclaimed and sample.answer == "no":
                asked += 1
                question = sample.prompt[sample.text[1] :]
                denied += any(f" {category} " in question for category in passage.unclaimed)
    assert 0.5 < denied / asked < 0.75


def test_samples_do_not_depend_on_the_hash_seed() -> None:
    """The order of a set does, and it changes all later draws. A training resumed in another process would differ."""
    code = (
        "from eidolon.benchmark.scenes.judge_training import JUDGE_RECIPES, batch_samples, tokenizer_texts\n"
        "print(batch_samples(JUDGE_RECIPES['judge-base'])(2000), tokenizer_texts(n=50))"
    )
    written = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(written) == 1
