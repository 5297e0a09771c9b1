"""POPE: yes/no questions on whether an object is in the image (Li et al., EMNLP 2023)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from eidolon.scorers.core.metric import FloatArray, LeaderboardColumn, Quantity, Share, ratio
from eidolon.scorers.core.types import ImageId
from eidolon.scorers.metrics.objects import f_beta
from eidolon.scorers.text.yes_no import TOKEN_SETS, check_policy, read_answer

MISSES_UNPARSED = ("strict", "evalscope", *TOKEN_SETS)
"""Policies under which an answer that is not read misses the object, if there is one."""


@dataclass(frozen=True, slots=True)
class AnsweredQuestion:
    """A yes/no question with its true answer, and the answer given."""

    question_id: str
    image_id: ImageId
    truth: bool
    answer: str
    logprobs: Mapping[str, float] | None = None
    """Log-probabilities of the first token, in nats, for policies that read them."""


class Pope:
    """Accuracy, precision, recall, F1 and the yes rate under one parsing policy. Yes is the positive class.

    An answer that the policy cannot read is never right. Under `lenient` it counts as a no, under `exact` it is left
    out of precision and recall, and under the others it misses the object if there is one. `original` reads every
    answer.

    Raises:
        UserError: no policy has this name.
    """

    family: str = "pope"
    quantities: tuple[Quantity, ...] = (
        Quantity("accuracy", True, (0, 1), "right answers / questions", "there are no questions"),
        Quantity("precision", True, (0, 1), "TP / (TP + FP)", "no answer is yes"),
        Quantity("recall", True, (0, 1), "TP / (TP + FN)", "no question has the truth yes"),
        Quantity("f1", True, (0, 1), "2PR / (P + R)", "no answer is yes and no question has the truth yes"),
        Quantity("yes_rate", None, (0, 1), "answers read as yes / questions", "there are no questions"),
        Quantity("unparsed", False, (0, 1), "answers not read / questions", "there are no questions"),
    )
    leaderboard_columns: tuple[LeaderboardColumn, ...] = (
        LeaderboardColumn("accuracy", "accuracy ↑"),
        LeaderboardColumn("precision", "precision ↑"),
        LeaderboardColumn("recall", "recall ↑"),
        LeaderboardColumn("f1", "F1 ↑"),
        LeaderboardColumn("yes_rate", "yes rate"),
        LeaderboardColumn("unparsed", "unparsed ↓"),
    )
    columns: tuple[str, ...] = ("questions", "tp", "fp", "tn", "fn", "unparsed", "unparsed_present")

    def __init__(self, policy: str = "original") -> None:
        check_policy(policy)
        self.policy = policy

    def statistics(self, samples: Sequence[AnsweredQuestion]) -> FloatArray:
        """Return the counts named by `columns`, shape (samples, 7). TP to FN hold the answers that are read or
        counted as a no."""
        return np.array([self._counts(s) for s in samples], dtype=float).reshape(len(samples), 7)

    def compute(self, totals: FloatArray) -> dict[str, FloatArray]:
        """Map totals (..., 7) to the quantities, shape (...)."""
        questions, tp, fp, tn, fn, unparsed, missed = (totals[..., i] for i in range(7))
        if self.policy in MISSES_UNPARSED:
            fn = fn + missed
        precision, recall = ratio(tp, tp + fp), ratio(tp, tp + fn)
        # From P and R, as in the original program; from counts where that is 0/0.
        f1 = np.where(tp > 0, ratio(2 * precision * recall, precision + recall), f_beta(tp, fp, fn, beta=1))
        return {
            "accuracy": ratio(tp + tn, questions),
            "precision": precision,
            "recall": recall,
            "f1": f1,
            "yes_rate": ratio(tp + fp, questions),
            "unparsed": ratio(unparsed, questions),
        }

    def shares(self, totals: FloatArray) -> dict[str, Share]:
        """Map totals (..., 7) to the events and trials of the shares, each (...)."""
        questions, tp, fp, tn, fn, unparsed, missed = (totals[..., i] for i in range(7))
        if self.policy in MISSES_UNPARSED:
            fn = fn + missed
        return {
            "accuracy": Share(tp + tn, questions),
            "precision": Share(tp, tp + fp),
            "recall": Share(tp, tp + fn),
            "yes_rate": Share(tp + fp, questions),
            "unparsed": Share(unparsed, questions),
        }

    def _counts(self, sample: AnsweredQuestion) -> tuple[int, ...]:
        read = read_answer(self.policy, sample.answer, sample.logprobs)
        counted = False if read is None and self.policy == "lenient" else read
        tp = counted is True and sample.truth
        fp = counted is True and not sample.truth
        tn = counted is False and not sample.truth
        fn = counted is False and sample.truth
        return (1, int(tp), int(fp), int(tn), int(fn), int(read is None), int(read is None and sample.truth))
