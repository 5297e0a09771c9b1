"""THRONE on responses that a judge with several votes has read. The scores equal those from files of answers."""

from collections.abc import Sequence

import numpy as np

from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.judge import Judge, VotingJudge, asks_all_votes
from eidolon.scorers.core.metric import FloatArray, JudgedSample, LeaderboardColumn, MetricVariant, Quantity
from eidolon.scorers.judges.votes import undecided_of, votes_of
from eidolon.scorers.metrics.throne import MODES, Throne, VotedImage, cell_counts


class JudgedThrone:
    """The family `throne` from `Judgement.votes`, in the mode `compat` at the judge's threshold.

    Its variants are the other mode, and `compat` at the thresholds that the paper reports for nine votes: a majority
    (5), one fewer (8), and all (9). Each response counts as an image of its own. The bootstrap draws the responses
    to one image together.
    """

    family: str = "throne"
    needs_judge = True
    leaderboard_columns: tuple[LeaderboardColumn, ...] = (
        LeaderboardColumn("classwise_f05", "THRONE F0.5 ↑"),
        LeaderboardColumn("classwise_precision", "THRONE P ↑"),
        LeaderboardColumn("classwise_recall", "THRONE R ↑"),
    )

    @classmethod
    def for_judge(cls, judge: Judge) -> "JudgedThrone":
        """Return the metric of a judge's votes.

        Raises:
            UserError: the judge has a single vote.
        """
        if not isinstance(judge, VotingJudge):
            raise UserError(
                f"--metric throne: judge {judge.name!r} has one vote, and throne counts several; give --judge qa, "
                "or score files of answers with eidolon score --metric throne --answers"
            )
        return cls(judge)

    def __init__(self, judge: VotingJudge, mode: str = MODES[0], threshold: int | None = None) -> None:
        """Take the judge that voted, and the mode and threshold of the main scores (default: the judge's)."""
        self._judge = judge
        voters = len(judge.judges) * len(judge.formats)
        self.throne = Throne(
            mode, judge.threshold if threshold is None else threshold, voters, len(judge.vocabulary)
        )
        self.quantities: tuple[Quantity, ...] = self.throne.quantities
        self.columns: tuple[str, ...] = self.throne.columns

    def statistics(self, samples: Sequence[JudgedSample]) -> FloatArray:
        """Return the statistics of `Throne`, shape (samples, 3C + 7)."""
        return self.throne.statistics(self.voted(samples))

    def compute(self, totals: FloatArray) -> dict[str, FloatArray]:
        """Map totals (..., 3C + 7) to the quantities, shape (...)."""
        return self.throne.compute(totals)

    def counts(self, samples: Sequence[JudgedSample]) -> dict[str, int | float]:
        """Return how many cells are predicted, correct, true and ignored."""
        return cell_counts(self.throne.cells(self.voted(samples)))

    def by_category(self, vocabulary: Sequence[str]) -> "JudgedThronePerCategory":
        """Return the measures of each category of the judge's vocabulary. There are votes on no other."""
        if tuple(vocabulary) != self._judge.vocabulary:
            raise ValueError("the votes are on the judge's own vocabulary")
        return JudgedThronePerCategory(self)

    def variants(self) -> tuple[MetricVariant, ...]:
        """Return the metric in the other mode, and, if all votes are asked, at the other thresholds."""
        mode, threshold, voters = self.throne.mode, self.throne.threshold, self.throne.voters
        (other_mode,) = (name for name in MODES if name != mode)
        thresholds = dict.fromkeys((voters // 2 + 1, voters - 1, voters))
        settings = [(f"throne {other_mode}", other_mode, threshold)]
        if asks_all_votes(self._judge):
            settings += [
                (f"throne threshold={k}", mode, k) for k in thresholds if voters // 2 < k != threshold
            ]
        return tuple(
            MetricVariant(label, {"mode": m, "threshold": k}, JudgedThrone(self._judge, m, k))
            for label, m, k in settings
        )

    def voted(self, samples: Sequence[JudgedSample]) -> list[VotedImage]:
        """Return the yes votes and the true categories of each sample, in the order of the judge's vocabulary."""
        votes = votes_of(self._judge, samples).sum(axis=(0, 1))
        undecided = undecided_of(self._judge, samples)
        vocabulary = self._judge.vocabulary
        return [
            VotedImage(
                sample.response.image_id,
                votes[i],
                np.array([c in sample.objects for c in vocabulary]),
                undecided[i],
            )
            for i, sample in enumerate(samples)
        ]


class JudgedThronePerCategory:
    """Precision, recall, F1 and F0.5 of each category by itself."""

    family: str = "throne"

    def __init__(self, whole: JudgedThrone) -> None:
        self._whole = whole
        self._categories = whole.throne.by_category()
        self.quantities: tuple[Quantity, ...] = self._categories.quantities
        self.columns: tuple[str, ...] = self._categories.columns

    def statistics(self, samples: Sequence[JudgedSample]) -> FloatArray:
        """Return predicted, correct and true of each category, shape (samples, categories · 3)."""
        return self._whole.throne.category_statistics(self._whole.voted(samples))

    def compute(self, totals: FloatArray) -> dict[str, FloatArray]:
        """Map totals (..., categories · 3) to the measures, shape (..., categories)."""
        return self._categories.compute(totals)
