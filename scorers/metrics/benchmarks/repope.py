"""RePOPE: POPE's questions with labels that people corrected (Neuhaus and Hein 2025)."""

from collections.abc import Sequence

import numpy as np

from eidolon.scorers.core.metric import FloatArray, LeaderboardColumn, Quantity, Share, ratio
from eidolon.scorers.metrics.benchmarks.question import COMPAT, BenchmarkQuestion, ReadAnswer, check_mode
from eidolon.scorers.metrics.benchmarks.yes_no import read_yes_no
from eidolon.scorers.metrics.objects import f_beta

NO_WORDS = ("no", "not")
"""The letters that make a no in the released program."""


class RePope:
    """Accuracy, precision, recall, F1 and the yes rate. Yes is the positive class.

    In mode `compat` an answer that cannot be read leaves all rates (the released program). In mode `fixed` it is wrong,
    and misses the object if there is one.

    Raises:
        UserError: no mode has this name.
    """

    family: str = "repope"
    quantities: tuple[Quantity, ...] = (
        Quantity("accuracy", True, (0, 1), "right answers / answers that count", "no answer counts"),
        Quantity("precision", True, (0, 1), "TP / (TP + FP)", "no answer is yes"),
        Quantity("recall", True, (0, 1), "TP / (TP + FN)", "no answer counts whose truth is yes"),
        Quantity("f1", True, (0, 1), "2PR / (P + R)", "no answer is yes and no truth is"),
        Quantity("yes_rate", None, (0, 1), "answers read as yes / answers that count", "no answer counts"),
        Quantity("unparsed", False, (0, 1), "answers not read / questions", "there are no questions"),
    )
    leaderboard_columns: tuple[LeaderboardColumn, ...] = (
        LeaderboardColumn("accuracy", "RePOPE accuracy ↑"),
        LeaderboardColumn("f1", "RePOPE F1 ↑"),
        LeaderboardColumn("yes_rate", "RePOPE yes rate"),
    )
    columns: tuple[str, ...] = ("questions", "tp", "fp", "tn", "fn", "unparsed", "unparsed_present")

    def __init__(self, mode: str = COMPAT) -> None:
        self.mode = check_mode(mode)

    def read(self, question: BenchmarkQuestion, answer: str) -> str | None:
        """Return `yes`, `no` or None."""
        return read_yes_no(answer, self.mode, NO_WORDS)

    def statistics(self, samples: Sequence[ReadAnswer]) -> FloatArray:
        """Return the counts named by `columns`, shape (samples, 7)."""
        rows = []
        for sample in samples:
            there, yes, no = sample.truth == "yes", sample.read == "yes", sample.read == "no"
            unread = sample.read is None
            rows.append(
                (
                    1,
                    yes and there,
                    yes and not there,
                    no and not there,
                    no and there,
                    unread,
                    unread and there,
                )
            )
        return np.array(rows, dtype=float).reshape(len(samples), len(self.columns))

    def compute(self, totals: FloatArray) -> dict[str, FloatArray]:
        """Map totals (..., 7) to the quantities, shape (...)."""
        questions, tp, fp, tn, fn, unparsed, missed = (totals[..., i] for i in range(7))
        counted = tp + fp + tn + fn
        if self.mode != COMPAT:
            fn, counted = fn + missed, questions
        return {
            "accuracy": ratio(tp + tn, counted),
            "precision": ratio(tp, tp + fp),
            "recall": ratio(tp, tp + fn),
            "f1": f_beta(tp, fp, fn, beta=1),
            "yes_rate": ratio(tp + fp, counted),
            "unparsed": ratio(unparsed, questions),
        }

    def shares(self, totals: FloatArray) -> dict[str, Share]:
        """Map totals (..., 7) to the events and trials of the shares, each (...)."""
        questions, tp, fp, tn, fn, unparsed, missed = (totals[..., i] for i in range(7))
        counted = tp + fp + tn + fn
        if self.mode != COMPAT:
            fn, counted = fn + missed, questions
        return {
            "accuracy": Share(tp + tn, counted),
            "precision": Share(tp, tp + fp),
            "recall": Share(tp, tp + fn),
            "yes_rate": Share(tp + fp, counted),
            "unparsed": Share(unparsed, questions),
        }
