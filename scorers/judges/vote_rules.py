"""How the answer of a language model to a yes/no question becomes a vote, and how well a model answers.

Three rules: `exact`, `words` and `odds` (`core.language_model.AnswerRule`). With `words` and `odds` a vote can stay
undecided. The odds are calibrated on the built-in questions of `probe_set` by logistic regression (Platt 1999), because
a model may lean towards one of the words whatever it is asked.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple, get_args

import numpy as np

from eidolon.scorers.core.errors import UserError, did_you_mean
from eidolon.scorers.core.language_model import (
    AnsweringLanguageModel,
    AnswerRule,
    LanguageModel,
    NarrowLanguageModel,
    OddsLanguageModel,
    Reply,
    StoppingLanguageModel,
    YesNoOdds,
)
from eidolon.scorers.core.metric import FloatArray
from eidolon.scorers.judges.probe_set import PROBES
from eidolon.scorers.judges.throne_questions import ANSWER_TOKENS, prompt, question
from eidolon.scorers.judges.votes import cannot_become_yes, is_yes
from eidolon.scorers.text.yes_no import first_word_of_answer

RULES = ("auto", *get_args(AnswerRule))
BAND = (0.25, 0.75)
"""Calibrated probabilities of a yes between which a vote is undecided. The value is our choice."""
UNFIT_BELOW = 0.7
"""Balanced accuracy on the built-in questions below which a model is unfit to judge. A fair coin is below 0.65 in 95 of
100 trials with 32 questions."""
_ITERATIONS = 100
_RIDGE = 1e-3


class Vote(NamedTuple):
    """What one answer says. `yes` is None if it decides nothing, `readable` whether it is an answer at all."""

    yes: bool | None
    readable: bool = True
    error: str | None = None


@dataclass(frozen=True, slots=True)
class OddsScale:
    """Maps log-odds to the probability that the text claims the category: sigmoid(slope · odds + offset)."""

    slope: float
    offset: float

    def probability(self, log_odds: FloatArray) -> FloatArray:
        """Return the probabilities, in the shape of the log-odds."""
        return np.asarray(1 / (1 + np.exp(-np.clip(self.slope * log_odds + self.offset, -500, 500))))

    def vote(self, log_odds: float) -> Vote:
        """Return the vote: undecided inside `BAND`."""
        probability = float(self.probability(np.array(log_odds)))
        return Vote(None if BAND[0] < probability < BAND[1] else probability >= BAND[1])


def fit_scale(log_odds: FloatArray, claimed: FloatArray) -> OddsScale:
    """Return the logistic regression of truth (0 or 1) on log-odds, both (n,), by Newton's method with a small ridge.

    The targets are those of Platt (1999), so that separable data have a finite slope. A slope below 0 would count a
    model's mistakes as knowledge: it becomes 0.
    """
    yes, no = float(claimed.sum()), float((1 - claimed).sum())
    targets = np.where(claimed > 0, (yes + 1) / (yes + 2), 1 / (no + 2))
    scale = float(log_odds.std()) or 1.0
    design = np.stack([(log_odds - log_odds.mean()) / scale, np.ones_like(log_odds)], axis=1)
    weights = np.zeros(2)
    for _ in range(_ITERATIONS):
        p = 1 / (1 + np.exp(-np.clip(design @ weights, -500, 500)))
        gradient = design.T @ (p - targets) + _RIDGE * weights
        hessian = (design * (p * (1 - p))[:, None]).T @ design + _RIDGE * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        weights = weights - step
        if float(np.abs(step).max()) < 1e-9:
            break
    slope = max(float(weights[0]), 0.0) / scale
    return OddsScale(slope, float(weights[1]) - slope * float(log_odds.mean()))


def balanced_accuracy(decided: Sequence[bool | None], claimed: Sequence[bool]) -> float:
    """Return the mean of the shares of true and of false claims that were answered rightly. No answer is not right."""
    found = list(zip(decided, claimed, strict=True))
    yes = [answer is True for answer, truth in found if truth]
    no = [answer is False for answer, truth in found if not truth]
    return (sum(yes) / len(yes) + sum(no) / len(no)) / 2


class Voter:
    """One language model with its rule. It is calibrated and tested at the first question of each format."""

    def __init__(self, model: LanguageModel, rule: str) -> None:
        """Take the model and the rule that the user chose.

        Raises:
            UserError: the rule is unknown, or needs odds that the model does not give.
        """
        if rule not in RULES:
            raise UserError(f"-J answers={rule}: unknown{did_you_mean(rule, RULES)}")
        declared = model.answer_rule if isinstance(model, AnsweringLanguageModel) else "exact"
        self.model, self.name = model, model.name
        self.rule: AnswerRule = next((known for known in get_args(AnswerRule) if known == rule), declared)
        if self.rule == "odds" and not isinstance(model, OddsLanguageModel):
            raise UserError(
                f"-J answers=odds: model {model.name!r} gives no probabilities; give -J answers=words"
            )
        self._tested = isinstance(model, AnsweringLanguageModel) and not _is_narrow(model)
        self.accuracy: dict[str, float] = {}
        """Balanced accuracy on the built-in questions, by format. Empty for a model of one dataset's texts."""
        self._scale = cache(self._calibrate)

    def votes(self, forms: Sequence[str], prompts: Sequence[str]) -> list[Vote]:
        """Return the vote on each prompt, given the question format of each."""
        if not prompts:
            return []
        if self.rule == "odds":
            scales = {form: self._scale(form) for form in dict.fromkeys(forms)}
            return self._by_odds([scales[form] for form in forms], prompts)
        for form in dict.fromkeys(forms):
            if self._tested and form not in self.accuracy:
                self.accuracy[form] = balanced_accuracy(
                    [vote.yes if vote.readable else None for vote in self._by_reply(_probe_prompts(form))],
                    [probe.claimed for probe in PROBES],
                )
        return self._by_reply(prompts)

    def weakness(self) -> str | None:
        """Return why the model is unfit to judge, None if it is not."""
        worst = min(self.accuracy.values(), default=1.0)
        if worst >= UNFIT_BELOW:
            return None
        return (
            f"judge {self.name} is unfit: it answers {len(PROBES)} easy questions with a balanced accuracy of "
            f"{worst:.2f}, and guessing has 0.5; its scores have no headline"
        )

    def _calibrate(self, form: str) -> OddsScale:
        answers = self._odds(_probe_prompts(form))
        failed = next((answer.error for answer in answers if answer.log_odds is None), None)
        if failed is not None:
            raise UserError(f"-J answers=odds: model {self.name!r} cannot be calibrated: {failed}")
        odds = np.array([answer.log_odds for answer in answers])
        claimed = np.array([float(probe.claimed) for probe in PROBES])
        # Each text is left out with both of its questions, so that no text tests the scale that it made.
        right = np.zeros(len(PROBES), dtype=bool)
        for first in range(0, len(PROBES), 2):
            kept = np.ones(len(PROBES), dtype=bool)
            kept[first : first + 2] = False
            p = fit_scale(odds[kept], claimed[kept]).probability(odds[~kept])
            right[first : first + 2] = p >= 0.5
        if self._tested:
            self.accuracy[form] = balanced_accuracy([*map(bool, right)], [probe.claimed for probe in PROBES])
        return fit_scale(odds, claimed)

    def _odds(self, prompts: Sequence[str]) -> list[YesNoOdds]:
        assert isinstance(self.model, OddsLanguageModel)
        return self.model.yes_no(prompts)

    def _by_odds(self, scales: Sequence[OddsScale], prompts: Sequence[str]) -> list[Vote]:
        return [
            Vote(None, error=answer.error or "no answer")
            if answer.log_odds is None
            else scale.vote(answer.log_odds)
            for scale, answer in zip(scales, self._odds(prompts), strict=True)
        ]

    def _by_reply(self, prompts: Sequence[str]) -> list[Vote]:
        replies = self._replies(prompts)
        if len(replies) != len(prompts):
            raise ValueError(f"model {self.name!r} gave {len(replies)} replies to {len(prompts)} prompts")
        return [
            Vote(None, error=reply.error or "no answer")
            if reply.text is None
            else (_exact(reply.text) if self.rule == "exact" else _first_word(reply.text))
            for reply in replies
        ]

    def _replies(self, prompts: Sequence[str]) -> list[Reply]:
        """Return the replies. With `exact` they may end where they can no longer become a yes vote."""
        if self.rule == "exact" and isinstance(self.model, StoppingLanguageModel):
            return self.model.reply_until(prompts, cannot_become_yes, max_new_tokens=ANSWER_TOKENS)
        return self.model.reply(prompts, max_new_tokens=ANSWER_TOKENS)


def _exact(answer: str) -> Vote:
    """Read an answer as the released program of THRONE does: anything but `yes` is no vote.

    An answer may have ended where it could no longer become `yes`, so the beginning of `no` is read as one.
    """
    yes = is_yes(answer)
    start = answer.lower().strip()
    begins_no = bool(start) and "no".startswith(start)
    return Vote(yes, readable=yes or begins_no or first_word_of_answer(answer) == "no")


def _first_word(answer: str) -> Vote:
    word = first_word_of_answer(answer)
    return Vote(None, readable=False) if word is None else Vote(word == "yes")


def _is_narrow(model: LanguageModel) -> bool:
    return isinstance(model, NarrowLanguageModel) and model.trained_on is not None


def _probe_prompts(form: str) -> list[str]:
    return [prompt(probe.text, question(form, probe.category)) for probe in PROBES]
