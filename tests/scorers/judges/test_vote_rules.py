"""From answers to votes: rules, calibration, and the test of a model."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.judge import SelfTestedJudge
from eidolon.scorers.core.language_model import AnswerRule, Reply, YesNoOdds
from eidolon.scorers.core.metric import JudgedSample
from eidolon.scorers.core.types import Response
from eidolon.scorers.judges.agreement import calibrate_judge
from eidolon.scorers.judges.probe_set import PROBES
from eidolon.scorers.judges.qa import QuestionJudge
from eidolon.scorers.judges.vote_rules import BAND, UNFIT_BELOW, OddsScale, balanced_accuracy, fit_scale
from eidolon.scorers.metrics.throne_judged import JudgedThrone


class Chat:
    """A chat model that says what a function of the prompt returns."""

    def __init__(self, says: Callable[[str], str], rule: AnswerRule = "words") -> None:
        self.name, self.answer_rule, self._says = "chat", rule, says

    def signature(self) -> str:
        return "chat#0"

    def reply(
        self, prompts: Sequence[str], *, max_new_tokens: int, schema: Mapping[str, Any] | None = None
    ) -> list[Reply]:
        return [Reply(self._says(prompt)) for prompt in prompts]


class Leaning(Chat):
    """A causal model with odds: knowledge of the text, plus a lean towards no that its words alone would follow."""

    def __init__(self, knows: float, lean: float) -> None:
        super().__init__(lambda _: "No, there is none.", "odds")
        self.knows, self.lean = knows, lean

    def yes_no(self, prompts: Sequence[str]) -> list[YesNoOdds]:
        return [YesNoOdds((self.knows if claims(prompt) else -self.knows) + self.lean) for prompt in prompts]


def claims(prompt: str) -> bool:
    """Tell what is true of the built-in texts, and of others by the word."""
    text, _, asked = prompt.removeprefix("Text: ").partition("\n\nRead the text and answer the question.\n\n")
    for probe in PROBES:
        if probe.text == text and f" {probe.category} " in asked:
            return probe.claimed
    return any(f" {word} " in asked for word in text.lower().strip(".").split() if len(word) > 1)


def right(prompt: str) -> str:
    return "Yes, it says so." if claims(prompt) else "No, there is no such thing."


def judged(model: Chat, text: str = "A dog sleeps.", **options: Any) -> tuple[QuestionJudge, Any]:
    judge = QuestionJudge([model], **{"formats": "1b", "categories": "dog,cat", **options})
    (found,) = judge.judge([Response(sample_id="0", image_id=0, response=text)])
    return judge, found


def test_a_sentence_is_an_answer() -> None:
    judge, found = judged(Chat(right))
    assert found.votes == {"dog": {"chat/1b": 1}}
    assert (found.unreadable, judge.weaknesses()) == (0, ())
    assert "answers=words/1" in judge.signature()
    assert isinstance(judge, SelfTestedJudge)


def test_what_is_no_answer_decides_nothing_and_is_counted() -> None:
    judge, found = judged(Chat(lambda _: "The picture is lovely."))
    assert found.votes == {"dog": {"chat/1b": None}, "cat": {"chat/1b": None}}
    assert [(m.category, m.verdict) for m in found.mentions] == [("cat", "ignored"), ("dog", "ignored")]
    assert found.unreadable == 2
    sample = JudgedSample(Response(sample_id="0", image_id=0, response="x"), found, frozenset({"dog"}))
    calibration = calibrate_judge(judge, [sample])
    assert (calibration.unreadable, calibration.ignored) == (1.0, 1.0)
    assert JudgedThrone(judge).counts([sample])["ignored"] == 2


def test_the_published_rule_keeps_its_verdicts_and_counts_what_it_misreads() -> None:
    _, found = judged(Chat(right), answers="exact")
    assert (found.votes, found.unreadable) == ({}, 1)
    _, found = judged(Chat(lambda p: "yes" if claims(p) else "no"), answers="exact")
    assert (found.votes, found.unreadable) == ({"dog": {"chat/1b": 1}}, 0)


def test_a_no_that_ended_early_is_an_answer() -> None:
    _, found = judged(Chat(lambda p: "yes" if claims(p) else "n"), answers="exact")
    assert (found.votes, found.unreadable) == ({"dog": {"chat/1b": 1}}, 0)


@pytest.mark.parametrize("lean", [0.0, -6.0, 5.0])
def test_odds_are_calibrated_whatever_the_model_leans_to(lean: float) -> None:
    judge, found = judged(Leaning(2.0, lean))
    assert found.votes == {"dog": {"chat/1b": 1}}
    assert judge.weaknesses() == ()


def test_a_model_that_knows_nothing_is_unfit_and_decides_nothing() -> None:
    judge, found = judged(Leaning(0.0, -6.0))
    assert found.votes == {"dog": {"chat/1b": None}, "cat": {"chat/1b": None}}
    (text,) = judge.weaknesses()
    assert text.startswith("judge chat is unfit: it answers 32 easy questions with a balanced accuracy of 0.")
    judge, _ = judged(Chat(lambda _: "No."))
    assert "balanced accuracy of 0.50" in judge.weaknesses()[0]


def test_scale_of_a_hand_worked_case() -> None:
    """Four answers, one on the wrong side: Newton's solution satisfies the equations of the logistic regression."""
    odds, claimed = np.array([-1.0, 0.0, 0.5, 2.0]), np.array([0.0, 1.0, 0.0, 1.0])
    scale = fit_scale(odds, claimed)
    residual = scale.probability(odds) - np.where(claimed > 0, 3 / 4, 1 / 4)
    assert abs(residual.sum()) < 0.01
    assert abs((residual * odds).sum()) < 0.01
    assert fit_scale(odds, 1 - claimed).slope == 0.0


def test_votes_inside_the_band_are_undecided() -> None:
    scale = OddsScale(1.0, 0.0)
    assert [scale.vote(x).yes for x in (-2.0, -1.0, 0.0, 1.0, 2.0)] == [False, None, None, None, True]
    assert float(scale.probability(np.array(1.0))) < BAND[1]


def test_balanced_accuracy_counts_no_answer_as_wrong() -> None:
    assert balanced_accuracy([True, None, False, False], [True, True, False, False]) == 0.75
    assert balanced_accuracy([False] * 4, [True, True, False, False]) == 0.5 < UNFIT_BELOW


def test_built_in_questions_are_balanced() -> None:
    assert sum(probe.claimed for probe in PROBES) * 2 == len(PROBES)
    assert all(a.text == b.text for a, b in zip(PROBES[::2], PROBES[1::2], strict=True))


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (Chat(right), {"answers": "odd"}, "-J answers=odd: unknown; did you mean 'odds'"),
        (Chat(right), {"answers": "odds"}, "-J answers=odds: model 'chat' gives no probabilities"),
        (
            Chat(right),
            {"votes": "needed", "reading": "windows"},
            "-J votes=needed: model 'chat' may leave a vote undecided",
        ),
    ],
)
def test_options_that_do_not_fit(model: Chat, options: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        judged(model, **options)
