"""HumbleBench: multiple choice with "none of the above" as the fifth answer (Tong et al. 2025)."""

import re
from collections.abc import Sequence

import numpy as np

from eidolon.scorers.core.metric import FloatArray, LeaderboardColumn, Quantity, Share, ratio
from eidolon.scorers.metrics.benchmarks.question import COMPAT, BenchmarkQuestion, ReadAnswer, check_mode

LETTERS = ("A", "B", "C", "D", "E")
NONE_OF_THEM = "E"
"""The letter of "none of the above"."""
TYPES = ("object", "attribute", "relation")

_WORD = re.compile(r"\b\w+\b")
_CHOICE = re.compile(r"(?<![^\W_])([A-E])(?![^\W_])")
_STATED = re.compile(r"\b(?:answer|option|choice)\b(?:\s+is)?\W{0,4}([A-E])(?![^\W_])", re.IGNORECASE)
_LEADING = re.compile(r"\W*([A-Ea-e])\s*(?:[.):,]|$)")


class HumbleBench:
    """Accuracy, over all questions and by type; and what a model does with "none of the above".

    In mode `compat` the letters of the answer are its words of one letter, in any case: "A cat, so B" names two and is
    not read. `none_recall` takes an answer that is exactly `E` (the released program). In mode `fixed` a letter that is
    stated ("Answer: B", "B. a dog") is read first, else the only capital letter A to E that stands alone.

    Raises:
        UserError: no mode has this name.
    """

    family: str = "humblebench"
    quantities: tuple[Quantity, ...] = (
        Quantity("accuracy", True, (0, 1), "right answers / questions", "there are no questions"),
        *(
            Quantity(
                f"{name}_accuracy", True, (0, 1), f"the same about {name}s", f"no question is about {name}s"
            )
            for name in TYPES
        ),
        Quantity(
            "none_recall", True, (0, 1), "E where E is right / questions where E is right", "E is never right"
        ),
        Quantity("none_rate", None, (0, 1), "answers read as E / questions", "there are no questions"),
        Quantity(
            "false_none",
            False,
            (0, 1),
            "E where another answer is right / such questions",
            "E is always right",
        ),
        Quantity("unparsed", False, (0, 1), "answers not read / questions", "there are no questions"),
    )
    leaderboard_columns: tuple[LeaderboardColumn, ...] = (
        LeaderboardColumn("accuracy", "HumbleBench accuracy ↑"),
        LeaderboardColumn("none_recall", "none of the above ↑"),
        LeaderboardColumn("false_none", "false none ↓"),
    )
    columns: tuple[str, ...] = (
        "questions",
        "right",
        *(f"{name}_{what}" for name in TYPES for what in ("questions", "right")),
        "none_true",
        "none_found",
        "none_said",
        "none_false",
        "unparsed",
    )

    def __init__(self, mode: str = COMPAT) -> None:
        self.mode = check_mode(mode)

    def read(self, question: BenchmarkQuestion, answer: str) -> str | None:
        """Return a letter A to E, or None."""
        if self.mode == COMPAT:
            letters = set(_WORD.findall(answer.lower())) & {letter.lower() for letter in LETTERS}
        else:
            leading = _LEADING.match(answer)
            stated = _STATED.findall(answer)[-1:] or ([leading[1]] if leading else [])
            letters = set(stated or _CHOICE.findall(answer))
        return letters.pop().upper() if len(letters) == 1 else None

    def statistics(self, samples: Sequence[ReadAnswer]) -> FloatArray:
        """Return the counts named by `columns`, shape (samples, 13)."""
        return np.array([self._row(sample) for sample in samples], dtype=float).reshape(
            len(samples), len(self.columns)
        )

    def compute(self, totals: FloatArray) -> dict[str, FloatArray]:
        """Map totals (..., 13) to the quantities, shape (...)."""
        return {name: ratio(share.events, share.trials) for name, share in self.shares(totals).items()}

    def shares(self, totals: FloatArray) -> dict[str, Share]:
        """Map totals (..., 13) to the events and trials of the shares, each (...)."""
        of = {name: totals[..., i] for i, name in enumerate(self.columns)}
        return {
            "accuracy": Share(of["right"], of["questions"]),
            **{f"{name}_accuracy": Share(of[f"{name}_right"], of[f"{name}_questions"]) for name in TYPES},
            "none_recall": Share(of["none_found"], of["none_true"]),
            "none_rate": Share(of["none_said"], of["questions"]),
            "false_none": Share(of["none_false"], of["questions"] - of["none_true"]),
            "unparsed": Share(of["unparsed"], of["questions"]),
        }

    def _row(self, sample: ReadAnswer) -> tuple[float, ...]:
        right, none_true, none_said = (
            sample.read == sample.truth,
            sample.truth == NONE_OF_THEM,
            sample.read == NONE_OF_THEM,
        )
        found = sample.exact if self.mode == COMPAT else none_said
        of_type = [sample.groups.get("type") == name for name in TYPES]
        return (
            1,
            right,
            *(value for mine in of_type for value in (mine, mine and right)),
            none_true,
            none_true and found,
            none_said,
            none_said and not none_true,
            sample.read is None,
        )
