"""DASH-B: images that make models see an object that is not there (Augustin, Neuhaus and Hein 2025)."""

from collections.abc import Sequence

import numpy as np

from eidolon.scorers.core.metric import FloatArray, LeaderboardColumn, Quantity, Share, ratio
from eidolon.scorers.metrics.benchmarks.question import COMPAT, BenchmarkQuestion, ReadAnswer, check_mode
from eidolon.scorers.metrics.benchmarks.yes_no import read_yes_no

PROMPT = "Can you see a {} in this image? Please answer only with yes or no."
"""The question of the published numbers, about the object in the braces."""


class DashB:
    """Accuracy, true positive and true negative rate, and their harmonic mean, which the leaderboard orders by.

    An answer that cannot be read is wrong.

    Raises:
        UserError: no mode has this name.
    """

    family: str = "dash_b"
    quantities: tuple[Quantity, ...] = (
        Quantity("harmonic_mean", True, (0, 1), "2 TPR TNR / (TPR + TNR)", "one of the two classes is empty"),
        Quantity("accuracy", True, (0, 1), "right answers / questions", "there are no questions"),
        Quantity("tnr", True, (0, 1), "no to absent objects / absent objects", "no object is absent"),
        Quantity("tpr", True, (0, 1), "yes to present objects / present objects", "no object is present"),
        Quantity("unparsed", False, (0, 1), "answers not read / questions", "there are no questions"),
    )
    leaderboard_columns: tuple[LeaderboardColumn, ...] = (
        LeaderboardColumn("harmonic_mean", "DASH-B mean ↑"),
        LeaderboardColumn("tnr", "DASH-B TNR ↑"),
        LeaderboardColumn("tpr", "DASH-B TPR ↑"),
    )
    columns: tuple[str, ...] = ("present", "absent", "said_present", "said_absent", "unparsed")

    def __init__(self, mode: str = COMPAT) -> None:
        self.mode = check_mode(mode)

    def read(self, question: BenchmarkQuestion, answer: str) -> str | None:
        """Return `yes`, `no` or None."""
        return read_yes_no(answer, self.mode)

    def statistics(self, samples: Sequence[ReadAnswer]) -> FloatArray:
        """Return the counts named by `columns`, shape (samples, 5); the third and fourth are right answers."""
        rows = []
        for sample in samples:
            there, right = sample.truth == "yes", sample.read == sample.truth
            rows.append((there, not there, there and right, right and not there, sample.read is None))
        return np.array(rows, dtype=float).reshape(len(samples), len(self.columns))

    def compute(self, totals: FloatArray) -> dict[str, FloatArray]:
        """Map totals (..., 5) to the quantities, shape (...)."""
        present, absent, tp, tn, unparsed = (totals[..., i] for i in range(5))
        tpr, tnr = ratio(tp, present), ratio(tn, absent)
        # Where both rates are 0 the released program divides by zero; the mean of two zeros is zero.
        mean = np.where(tpr + tnr == 0, 0.0, ratio(2 * tpr * tnr, tpr + tnr))
        return {
            "harmonic_mean": np.where(np.isnan(tpr + tnr), np.nan, mean),
            "accuracy": ratio(tp + tn, present + absent),
            "tnr": tnr,
            "tpr": tpr,
            "unparsed": ratio(unparsed, present + absent),
        }

    def shares(self, totals: FloatArray) -> dict[str, Share]:
        """Map totals (..., 5) to the events and trials of the shares, each (...)."""
        present, absent, tp, tn, unparsed = (totals[..., i] for i in range(5))
        questions = present + absent
        return {
            "accuracy": Share(tp + tn, questions),
            "tnr": Share(tn, absent),
            "tpr": Share(tp, present),
            "unparsed": Share(unparsed, questions),
        }
