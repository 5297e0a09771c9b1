"""OpenCHAIR: the share of a response's nouns that a language model denies (Ben-Kish et al., 2024)."""

from collections.abc import Sequence

import numpy as np

from eidolon.scorers.core.judge import Judge, verdicts_from
from eidolon.scorers.core.metric import FloatArray, JudgedSample, LeaderboardColumn, Quantity, Share, ratio


class OpenChair:
    """no / (yes + no) over the nouns that a language model was asked about, pooled over responses.

    A noun counts once in a response, even if it is repeated. Nouns with the answer unsure are left out, and `unsure`
    is their share.
    """

    family: str = "openchair"
    quantities: tuple[Quantity, ...] = (
        Quantity("score", False, (0, 1), "no / (yes + no)", "no noun was answered with yes or no"),
        Quantity("unsure", None, (0, 1), "unsure / all answers", "no noun was asked about"),
    )
    columns: tuple[str, ...] = ("yes", "no", "unsure")
    row_by_row: bool = True
    leaderboard_columns: tuple[LeaderboardColumn, ...] = (LeaderboardColumn("score", "OpenCHAIR ↓"),)

    def check_judge(self, judge: Judge) -> str | None:
        """Return why the judge asks no language model about the references, None if it does."""
        if verdicts_from(judge) == "language_model":
            return None
        return (
            "asks a language model about the references; give --judge nouns (or extract) with -J match=lm "
            "and -J models=…"
        )

    def statistics(self, samples: Sequence[JudgedSample]) -> FloatArray:
        """Return the answers named by `columns`, shape (samples, 3)."""
        return np.array([answers(s) for s in samples], dtype=float).reshape(len(samples), len(self.columns))

    def compute(self, totals: FloatArray) -> dict[str, FloatArray]:
        """Map totals (..., 3) to the quantities, shape (...)."""
        yes, no, unsure = (totals[..., i] for i in range(3))
        return {"score": ratio(no, yes + no), "unsure": ratio(unsure, yes + no + unsure)}

    def shares(self, totals: FloatArray) -> dict[str, Share]:
        """Map totals (..., 3) to the events and trials of the shares, each (...)."""
        yes, no, unsure = (totals[..., i] for i in range(3))
        return {"score": Share(no, yes + no), "unsure": Share(unsure, yes + no + unsure)}


def answers(sample: JudgedSample) -> tuple[int, int, int]:
    """Return how many distinct nouns were answered with yes, no and unsure.

    A mention without a place in the text was never asked about.
    """
    found = {m.category: m.verdict for m in sample.judgement.mentions if m.text}
    verdicts = list(found.values())
    return verdicts.count("grounded"), verdicts.count("hallucinated"), verdicts.count("ignored")
