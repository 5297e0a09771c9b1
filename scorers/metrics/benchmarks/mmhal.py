"""MMHal-Bench: answers about images, rated from 0 to 6 by a language model (Sun et al. 2023, arXiv 2309.14525)."""

from collections.abc import Sequence

import numpy as np

from eidolon.scorers.core.metric import FloatArray, LeaderboardColumn, Quantity, Share, ratio
from eidolon.scorers.judges.rating import HALLUCINATES_BELOW
from eidolon.scorers.metrics.benchmarks.question import COMPAT, BenchmarkQuestion, ReadAnswer, check_mode
from eidolon.scorers.text.rating import RATINGS, rating_by_letters, rating_by_words

TYPES = (
    "attribute",
    "adversarial",
    "comparison",
    "counting",
    "relation",
    "environment",
    "holistic",
    "other",
)
"""The types of the questions, in the order in which they follow each other in the published file."""
QUESTIONS = 96
"""How many the benchmark has. The released program takes no other number."""

_BEST = RATINGS[-1]


class MmHal:
    """The mean rating, over all answers and by type of question, and the share of answers that hallucinate.

    In mode `compat` a reply without exactly one rating counts as the rating 0, so as a hallucination (the released
    program). In mode `fixed` such a reply leaves all numbers but `unparsed`, and a rating is a whole number after the
    word rating.

    Raises:
        UserError: no mode has this name.
    """

    family: str = "mmhal"
    quantities: tuple[Quantity, ...] = (
        Quantity("score", True, (0, _BEST), "sum of the ratings / answers that count", "no answer counts"),
        Quantity(
            "hallucination_rate",
            False,
            (0, 1),
            f"ratings below {HALLUCINATES_BELOW} / answers that count",
            "no answer counts",
        ),
        *(
            Quantity(
                f"{name}_score",
                True,
                (0, _BEST),
                f"the mean rating of questions of type {name}",
                f"no answer to a question of type {name} counts",
            )
            for name in TYPES
        ),
        Quantity("unparsed", False, (0, 1), "replies without one rating / answers", "there are no answers"),
    )
    leaderboard_columns: tuple[LeaderboardColumn, ...] = (
        LeaderboardColumn("score", "MMHal score ↑"),
        LeaderboardColumn("hallucination_rate", "MMHal hallucination ↓"),
        LeaderboardColumn("unparsed", "no rating ↓"),
    )
    columns: tuple[str, ...] = (
        "answers",
        "counted",
        "rating_sum",
        "hallucinated",
        "unparsed",
        *(f"{name}_{what}" for name in TYPES for what in ("counted", "rating_sum")),
    )

    def __init__(self, mode: str = COMPAT) -> None:
        self.mode = check_mode(mode)

    def read(self, question: BenchmarkQuestion, answer: str) -> str | None:
        """Return the rating in the judge's reply, which is `answer`; None where there is not one."""
        read = rating_by_letters(answer) if self.mode == COMPAT else rating_by_words(answer)
        return None if read is None else str(read)

    def statistics(self, samples: Sequence[ReadAnswer]) -> FloatArray:
        """Return the counts and sums named by `columns`, shape (samples, 21)."""
        return np.array([self._row(sample) for sample in samples], dtype=float).reshape(
            len(samples), len(self.columns)
        )

    def compute(self, totals: FloatArray) -> dict[str, FloatArray]:
        """Map totals (..., 21) to the quantities, shape (...)."""
        of = {name: totals[..., i] for i, name in enumerate(self.columns)}
        return {
            "score": ratio(of["rating_sum"], of["counted"]),
            **{f"{name}_score": ratio(of[f"{name}_rating_sum"], of[f"{name}_counted"]) for name in TYPES},
            **{name: ratio(share.events, share.trials) for name, share in self.shares(totals).items()},
        }

    def shares(self, totals: FloatArray) -> dict[str, Share]:
        """Map totals (..., 21) to the events and trials of the shares, each (...)."""
        of = {name: totals[..., i] for i, name in enumerate(self.columns)}
        return {
            "hallucination_rate": Share(of["hallucinated"], of["counted"]),
            "unparsed": Share(of["unparsed"], of["answers"]),
        }

    def _row(self, sample: ReadAnswer) -> tuple[float, ...]:
        counts = sample.read is not None or self.mode == COMPAT
        rating = int(sample.read or 0)
        of_type = [counts and sample.groups.get("type") == name for name in TYPES]
        return (
            1,
            counts,
            rating,
            counts and rating < HALLUCINATES_BELOW,
            sample.read is None,
            *(value for mine in of_type for value in (mine, rating if mine else 0)),
        )
