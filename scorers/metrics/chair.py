"""CHAIR: the share of what a response names that is not in the image (Rohrbach et al., EMNLP 2018)."""

import math
from collections.abc import Sequence

import numpy as np

from eidolon.scorers.core.judge import Judge, needs_object_verdicts
from eidolon.scorers.core.metric import FloatArray, JudgedSample, LeaderboardColumn, Quantity, Share, ratio
from eidolon.scorers.core.verdict import cells, counted_mentions


class Chair:
    """CHAIR_i, CHAIR_s, recall and length, pooled over responses. Every occurrence of a mention counts.

    CHAIR_i is hallucinated mentions / mentions, and CHAIR_s is responses with a hallucinated mention / responses
    (Rohrbach et al. 2018, section 2.1). Recall is distinct true categories named / true categories, as in the forks
    of the released code. All are fractions. `words` is the number of whitespace-separated words in a response.
    """

    family: str = "chair"
    quantities: tuple[Quantity, ...] = (
        Quantity("chair_i", False, (0, 1), "hallucinated mentions / mentions", "no response names an object"),
        Quantity(
            "chair_s", False, (0, 1), "responses with a hallucinated mention / responses", "no responses"
        ),
        Quantity(
            "recall", True, (0, 1), "true categories named / true categories", "no image holds an object"
        ),
        Quantity("words", None, (0, math.inf), "whitespace-separated words a response", "no responses"),
    )
    columns: tuple[str, ...] = (
        "responses",
        "words",
        "mentions",
        "hallucinated_mentions",
        "hallucinated_responses",
        "recalled_objects",
        "true_objects",
        "responses_without_mentions",
        "responses_without_objects",
    )
    row_by_row: bool = True
    leaderboard_columns: tuple[LeaderboardColumn, ...] = (
        LeaderboardColumn("chair_i", "CHAIR_i ↓"),
        LeaderboardColumn("chair_s", "CHAIR_s ↓"),
        LeaderboardColumn("words", "words", decimals=".1f", interval=False),
    )

    def check_judge(self, judge: Judge) -> str | None:
        """Return why the judge's verdicts do not show which objects are true, None if they do."""
        return needs_object_verdicts(judge)

    def statistics(self, samples: Sequence[JudgedSample]) -> FloatArray:
        """Return the counts named by `columns`, shape (samples, 9)."""
        return np.array([_counts(s) for s in samples], dtype=float).reshape(len(samples), len(self.columns))

    def compute(self, totals: FloatArray) -> dict[str, FloatArray]:
        """Map totals (..., 9) to the quantities, shape (...)."""
        column = {name: totals[..., i] for i, name in enumerate(self.columns)}
        return {
            "chair_i": ratio(column["hallucinated_mentions"], column["mentions"]),
            "chair_s": ratio(column["hallucinated_responses"], column["responses"]),
            "recall": ratio(column["recalled_objects"], column["true_objects"]),
            "words": ratio(column["words"], column["responses"]),
        }

    def shares(self, totals: FloatArray) -> dict[str, Share]:
        """Map totals (..., 9) to the events and trials of the shares, each (...)."""
        column = {name: totals[..., i] for i, name in enumerate(self.columns)}
        return {
            "chair_i": Share(column["hallucinated_mentions"], column["mentions"]),
            "chair_s": Share(column["hallucinated_responses"], column["responses"]),
            "recall": Share(column["recalled_objects"], column["true_objects"]),
        }


def _counts(sample: JudgedSample) -> tuple[int, ...]:
    mentions = counted_mentions(sample)
    hallucinated = sum(m.verdict == "hallucinated" for m in mentions)
    cell = cells(sample)
    return (
        1,
        len((sample.response.response or "").split()),
        len(mentions),
        hallucinated,
        int(hallucinated > 0),
        len(cell.predicted & cell.truth),
        len(cell.truth),
        int(not mentions),
        int(not cell.truth),
    )
