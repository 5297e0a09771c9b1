"""HallusionBench: yes/no questions about a figure and about an altered one (Guan et al., CVPR 2024).

The id of a question has five parts: `category` (`VD`, the figure is needed, or `VS`, it adds to what one knows),
`subcategory`, `set_id`, `figure_id` (0 is the original; of `VS`, no figure) and `question_id`. Beside it stands
`visual_input`: 0 no figure, 1 the original, 2 altered.
"""

from collections.abc import Callable, Sequence

import numpy as np

from eidolon.scorers.core.metric import FloatArray, LeaderboardColumn, Quantity, Share, ratio
from eidolon.scorers.metrics.benchmarks.question import (
    COMPAT,
    FIXED,
    BenchmarkQuestion,
    ReadAnswer,
    check_mode,
)
from eidolon.scorers.metrics.benchmarks.yes_no import read_yes_no

CORRECT, INCORRECT, UNCLEAR = "correct", "incorrect", "unclear"
VERDICTS = {"1": CORRECT, "0": INCORRECT, "2": UNCLEAR}
"""How the released program writes the verdict of its judge, GPT-4."""
SUPPLEMENT = "VS"

_SPLITS: dict[str, Callable[[ReadAnswer], bool]] = {
    "q_acc": lambda sample: True,
    "easy_acc": lambda sample: sample.groups["visual_input"] != "2",
    "hard_acc": lambda sample: sample.groups["visual_input"] == "2",
}
"""Which questions a pair is made of. A pair is a question about all its figures."""


class HallusionBench:
    """Accuracy by question, by pair of a question and all its figures, and by figure; and the lean towards yes.

    What is read is a verdict. In mode `compat` it is that of the released program's judge where the answer file has it.
    Else the answer is read as the word yes or no, and what cannot be read is `unclear`. Without a figure (`VS`, figure
    0) `unclear` is right too. `easy_acc` and `hard_acc` are by pair, also in the released program, which calls them
    accuracy per question.

    Raises:
        UserError: no mode has this name.
    """

    family: str = "hallusionbench"
    quantities: tuple[Quantity, ...] = (
        Quantity("a_acc", True, (0, 1), "right answers / questions", "there are no questions"),
        Quantity("q_acc", True, (0, 1), "pairs with all answers right / pairs", "there are no questions"),
        Quantity(
            "f_acc", True, (0, 1), "figures with all answers right / figures", "no question has a figure"
        ),
        Quantity("easy_acc", True, (0, 1), "q_acc of unaltered figures", "no figure is unaltered"),
        Quantity("hard_acc", True, (0, 1), "q_acc of altered figures", "no figure is altered"),
        Quantity(
            "yes_difference", None, (-1, 1), "share of yes in answers - in truths", "there are no questions"
        ),
        Quantity(
            "yes_among_wrong",
            None,
            (0, 1),
            "wrong answers whose truth is no / wrong answers",
            "none is wrong",
        ),
        Quantity("unclear", False, (0, 1), "answers that are unclear / questions", "there are no questions"),
    )
    leaderboard_columns: tuple[LeaderboardColumn, ...] = (
        LeaderboardColumn("a_acc", "aAcc ↑"),
        LeaderboardColumn("q_acc", "qAcc ↑"),
        LeaderboardColumn("f_acc", "fAcc ↑"),
    )
    columns: tuple[str, ...] = (
        "questions",
        "right",
        *(f"{name}_{what}" for name in (*_SPLITS, "f_acc") for what in ("groups", "right")),
        "yes_read",
        "yes_true",
        "wrong_no",
        "unclear",
    )

    def __init__(self, mode: str = COMPAT) -> None:
        self.mode = check_mode(mode)

    def read(self, question: BenchmarkQuestion, answer: str) -> str | None:
        """Return the verdict that follows from the answer itself."""
        read = read_yes_no(answer, FIXED)
        return UNCLEAR if read is None else CORRECT if read == question.truth else INCORRECT

    def statistics(self, samples: Sequence[ReadAnswer]) -> FloatArray:
        """Return the counts named by `columns`, shape (samples, 14).

        A group of questions is counted in the row of its first one. All its questions have the same cluster.
        """
        table = np.zeros((len(samples), len(self.columns)))
        for i, sample in enumerate(samples):
            right, said_yes = is_right(sample), is_right(sample) == (sample.truth == "yes")
            table[i, :2] = 1, right
            table[i, -4:] = (
                said_yes,
                sample.truth == "yes",
                not right and sample.truth == "no",
                sample.read == UNCLEAR,
            )
        for k, belongs in enumerate((*_SPLITS.values(), _has_figure)):
            key = _figure if belongs is _has_figure else _pair
            groups: dict[tuple[str, ...], list[int]] = {}
            for i, sample in enumerate(samples):
                if belongs(sample):
                    groups.setdefault(key(sample), []).append(i)
            for rows in groups.values():
                table[rows[0], 2 + 2 * k : 4 + 2 * k] = 1, table[rows, 1].all()
        return table

    def compute(self, totals: FloatArray) -> dict[str, FloatArray]:
        """Map totals (..., 14) to the quantities, shape (...)."""
        of = {name: totals[..., i] for i, name in enumerate(self.columns)}
        values = {name: ratio(share.events, share.trials) for name, share in self.shares(totals).items()}
        values["yes_difference"] = ratio(of["yes_read"] - of["yes_true"], of["questions"])
        return {quantity.name: values[quantity.name] for quantity in self.quantities}

    def shares(self, totals: FloatArray) -> dict[str, Share]:
        """Map totals (..., 14) to the events and trials of the shares, each (...)."""
        of = {name: totals[..., i] for i, name in enumerate(self.columns)}
        return {
            "a_acc": Share(of["right"], of["questions"]),
            **{name: Share(of[f"{name}_right"], of[f"{name}_groups"]) for name in (*_SPLITS, "f_acc")},
            "yes_among_wrong": Share(of["wrong_no"], of["questions"] - of["right"]),
            "unclear": Share(of["unclear"], of["questions"]),
        }


def is_right(sample: ReadAnswer) -> bool:
    """Tell whether a verdict counts as right."""
    without_figure = sample.groups["category"] == SUPPLEMENT and sample.groups["figure_id"] == "0"
    return sample.read == CORRECT or (without_figure and sample.read == UNCLEAR)


def _pair(sample: ReadAnswer) -> tuple[str, ...]:
    return tuple(sample.groups[name] for name in ("category", "subcategory", "set_id", "question_id"))


def _figure(sample: ReadAnswer) -> tuple[str, ...]:
    return tuple(sample.groups[name] for name in ("category", "subcategory", "set_id", "figure_id"))


def _has_figure(sample: ReadAnswer) -> bool:
    return sample.groups["category"] != SUPPLEMENT or sample.groups["figure_id"] != "0"
