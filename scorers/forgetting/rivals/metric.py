"""The metric `rivals`: what could explain a rise of hallucination with position, other than forgetting."""

import math
from collections.abc import Sequence

import numpy as np

from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.core.judge import Judge, locates_mentions, needs_object_verdicts
from eidolon.scorers.core.metric import FloatArray, JudgedSample, LeaderboardColumn, Quantity
from eidolon.scorers.core.verdict import counted_mentions
from eidolon.scorers.forgetting.rivals.held import HELD, JUDGE, PLAIN
from eidolon.scorers.forgetting.rivals.table import FittedRivals, Rivals, compare_rivals, fit_rivals

PER_100 = "odds_ratio_per_100_words"


class RivalExplanations:
    """The late-minus-early odds ratio with each rival explanation held fixed, side by side.

    None of the numbers measures forgetting. `docs/explanation/forgetting.md` says what each can and cannot show.
    """

    family: str = "rivals"
    quantities: tuple[Quantity, ...] = ()
    fitted_quantities: tuple[Quantity, ...] = tuple(
        Quantity(
            f"{held.name}_{PER_100}",
            None,
            (0, math.inf),
            f"late-minus-early odds ratio per 100 words: {held.label}",
        )
        for held in (PLAIN, *HELD)
        if held.name != JUDGE  # the other numbers need no judge to be computed again
    )
    columns: tuple[str, ...] = ("mentions", "hallucinated_mentions")
    leaderboard_columns: tuple[LeaderboardColumn, ...] = ()
    needs_judge = False

    def __init__(self, judge: Judge | None = None) -> None:
        """Take the judge, if there is one, to test whether it reads early and late sentences alike."""
        self._judge = judge
        self._found: tuple[Sequence[JudgedSample], FittedRivals] | None = None

    @classmethod
    def for_judge(cls, judge: Judge) -> "RivalExplanations":
        """Return the metric, which also tests the judge."""
        return cls(judge)

    def check_judge(self, judge: Judge) -> str | None:
        """Return why the judge's verdicts cannot be followed along a response, None if they can."""
        if not locates_mentions(judge):
            return f"judge {judge.name} does not say where in a response an object is named"
        return needs_object_verdicts(judge)

    def statistics(self, samples: Sequence[JudgedSample]) -> FloatArray:
        """Return the counts named by `columns`, shape (samples, 2)."""
        rows = [
            (len(mentions), sum(mention.verdict == "hallucinated" for mention in mentions))
            for mentions in (list(counted_mentions(sample)) for sample in samples)
        ]
        return np.array(rows, dtype=float).reshape(len(samples), len(self.columns))

    def compute(self, totals: FloatArray) -> dict[str, FloatArray]:
        """Return nothing: every number is fitted."""
        return {}

    def fit(self, samples: Sequence[JudgedSample]) -> dict[str, Estimate]:
        """Return the odds ratio of each fit with its interval."""
        return {
            f"{name}_{PER_100}": Estimate.undefined(one.reason)
            if one.odds_ratio is None
            else Estimate(value=one.odds_ratio, ci=one.ci)
            for name, one in self._fitted(samples).effects.items()
        }

    def detail(self, samples: Sequence[JudgedSample], *, signature: str, seed: int, resamples: int) -> Rivals:
        """Return the fits, what else they found, and what the run shows in words."""
        return compare_rivals(samples, signature=signature, judge=self._judge, fitted=self._fitted(samples))

    def _fitted(self, samples: Sequence[JudgedSample]) -> FittedRivals:
        """Return the fits of these samples, made once: scores and detail need the same."""
        if self._found is None or self._found[0] is not samples:
            self._found = samples, fit_rivals(samples)
        return self._found[1]
