"""The metric `forgetting`: how much more a model hallucinates late in its responses, raw and with controls.

Its numbers come from responses alone, so none of them measures forgetting: see `late_early.py`.
"""

import math
from collections.abc import Sequence

import numpy as np

from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.core.judge import Judge, locates_mentions, needs_object_verdicts
from eidolon.scorers.core.metric import FloatArray, JudgedSample, LeaderboardColumn, Quantity, Share, ratio
from eidolon.scorers.forgetting.detail import ForgettingDetail, forgetting_detail
from eidolon.scorers.forgetting.events import BoolArray, Events, read_events
from eidolon.scorers.forgetting.late_early import late_early_odds_ratio
from eidolon.scorers.forgetting.late_early_difference import compare_odds_ratios
from eidolon.scorers.forgetting.size_order import ordered_pairs
from eidolon.scorers.forgetting.subsets import (
    EARLY,
    FIRST,
    LATE,
    REPEATED,
    SURVIVAL,
    SURVIVORS_FIRST,
    UNEXHAUSTED,
    UNEXHAUSTED_FIRST,
    Subset,
)
from eidolon.scorers.statistics.comparison import Compared
from eidolon.scorers.statistics.mixed_logistic import NotEstimableError

CONTRASTED = (FIRST, UNEXHAUSTED_FIRST, SURVIVORS_FIRST, REPEATED)
_FEW = f"no such mentions among the first {EARLY[1]} words, or none from word {LATE[0]} on"


class Forgetting:
    """Hallucination early and late in the responses, and the late-minus-early odds ratio, salience not held.

    `rate_*` are shares of first mentions that are not in the image. Changes are late minus early: of all first
    mentions; of those with enough true objects still unnamed (exhaustion); within the responses that reach a fixed
    length, where the late part ends (survivorship); of repeated mentions (repetition). `prior_*` is the error rate of
    a model that names categories by their prevalence. `size_order` is Kendall's tau over all pairs of true objects
    that a response names. `docs/explanation/forgetting.md` tells what each control rules out.
    """

    family: str = "forgetting"
    default_responses: int = 500
    """These take about 15 CPU seconds; 2,000 take a minute."""
    quantities: tuple[Quantity, ...] = (
        Quantity(
            "rate_early", False, (0, 1), f"first mentions in words 0 to {EARLY[1] - 1} that are wrong", _FEW
        ),
        Quantity("rate_late", False, (0, 1), f"first mentions from word {LATE[0]} on that are wrong", _FEW),
        Quantity("rate_change", False, (-1, 1), "rate_late minus rate_early", _FEW),
        Quantity(
            "unexhausted_change",
            False,
            (-1, 1),
            f"the same of mentions with at least {UNEXHAUSTED} true objects still unnamed",
            _FEW,
        ),
        Quantity(
            "survivors_change",
            False,
            (-1, 1),
            f"the same within the responses of {SURVIVAL} words or more, words {LATE[0]} to {SURVIVAL - 1} being late",
            _FEW,
        ),
        Quantity("repeated_change", False, (-1, 1), "the same of re-mentions", _FEW),
        Quantity("prior_early", None, (0, 1), "rate_early of a model that guesses by prevalence", _FEW),
        Quantity("prior_late", None, (0, 1), "rate_late of a model that guesses by prevalence", _FEW),
        Quantity(
            "size_order",
            None,
            (-1, 1),
            "rank correlation of an object's size with the order of mention: 1 small first, -1 large first",
            "no response names two true objects of known, different sizes",
        ),
    )
    fitted_quantities: tuple[Quantity, ...] = (
        Quantity(
            "adjusted_odds_ratio_per_100_words",
            False,
            (0, math.inf),
            "late-minus-early odds ratio per 100 words, first mentions; salience is not held, so it is no measure of "
            "forgetting",
        ),
        Quantity(
            "minimum_detectable_odds_ratio",
            None,
            (1, math.inf),
            "what the late-minus-early odds ratio must be to be seen with 80 % power in data like these",
        ),
    )
    compared_fits: tuple[Quantity, ...] = fitted_quantities[:1]
    columns: tuple[str, ...] = (
        *(f"{subset.name}_{part}" for subset in CONTRASTED for part in
          ("early", "early_hallucinated", "late", "late_hallucinated")),
        "prior_early",
        "prior_late",
        "smaller_first",
        "larger_first",
    )  # fmt: skip

    leaderboard_columns: tuple[LeaderboardColumn, ...] = ()
    """None, because the task `forget` has a table of its own."""
    needs_judge = False

    def __init__(self, judge: Judge | None = None) -> None:
        """Take the judge, if there is one, to test whether it reads early and late sentences alike."""
        self._judge = judge

    @classmethod
    def for_judge(cls, judge: Judge) -> "Forgetting":
        """Return the metric, which also tests the judge."""
        return cls(judge)

    def check_judge(self, judge: Judge) -> str | None:
        """Return why the judge's verdicts cannot be followed along a response, None if they can."""
        if not locates_mentions(judge):
            return f"judge {judge.name} does not say where in a response an object is named"
        return needs_object_verdicts(judge)

    def statistics(self, samples: Sequence[JudgedSample]) -> FloatArray:
        """Return the counts named by `columns`, shape (samples, 20)."""
        events = read_events(samples)
        mentions = events.mentions
        first = FIRST.mentions(events)
        prior = np.nan_to_num(mentions.prior, nan=0.0)
        parts: list[FloatArray] = []
        for subset in CONTRASTED:
            for window in windows(subset):
                rows = (
                    subset.mentions(events)
                    & subset.responses(events)[mentions.response]
                    & _within(events, window)
                )
                parts += [_per_response(events, rows), _per_response(events, rows & mentions.hallucinated)]
        for window in windows(FIRST):
            parts.append(_per_response(events, first & _within(events, window), prior))
        parts += [*np.array([ordered_pairs(sample) for sample in samples], dtype=float).reshape(-1, 2).T]
        return np.stack(parts, axis=1) if samples else np.zeros((0, len(self.columns)))

    def compute(self, totals: FloatArray) -> dict[str, FloatArray]:
        """Map totals (..., 20) to the quantities, shape (...)."""
        column = {name: totals[..., i] for i, name in enumerate(self.columns)}

        def rate(subset: Subset, part: str) -> FloatArray:
            return ratio(column[f"{subset.name}_{part}_hallucinated"], column[f"{subset.name}_{part}"])

        def change(subset: Subset) -> FloatArray:
            return rate(subset, "late") - rate(subset, "early")

        return {
            "rate_early": rate(FIRST, "early"),
            "rate_late": rate(FIRST, "late"),
            "rate_change": change(FIRST),
            "unexhausted_change": change(UNEXHAUSTED_FIRST),
            "survivors_change": change(SURVIVORS_FIRST),
            "repeated_change": change(REPEATED),
            "prior_early": ratio(column["prior_early"], column["first_early"]),
            "prior_late": ratio(column["prior_late"], column["first_late"]),
            "size_order": ratio(
                column["smaller_first"] - column["larger_first"],
                column["smaller_first"] + column["larger_first"],
            ),
        }

    def shares(self, totals: FloatArray) -> dict[str, Share]:
        """Map totals (..., 20) to the events and trials of the rates, each (...)."""
        column = {name: totals[..., i] for i, name in enumerate(self.columns)}
        return {
            f"rate_{part}": Share(column[f"{FIRST.name}_{part}_hallucinated"], column[f"{FIRST.name}_{part}"])
            for part in ("early", "late")
        }

    def fit(self, samples: Sequence[JudgedSample]) -> dict[str, Estimate]:
        """Return the late-minus-early odds ratio with its interval, and the smallest odds ratio that is detectable."""
        ratio_name, least_name = (quantity.name for quantity in self.fitted_quantities)
        try:
            found = late_early_odds_ratio(read_events(samples))
        except NotEstimableError as error:
            return {name: Estimate.undefined(str(error)) for name in (ratio_name, least_name)}
        return {
            ratio_name: Estimate(value=found.odds_ratio, ci=(found.low, found.high)),
            least_name: Estimate(value=found.minimum_detectable, ci=None),
        }

    def compare_fit(
        self,
        quantity: Quantity,
        a: Sequence[JudgedSample],
        b: Sequence[JudgedSample],
        *,
        seed: int,
        resamples: int,
    ) -> Compared:
        """Return the comparison of the late-minus-early odds ratios of two runs."""
        return compare_odds_ratios(a, b, quantity, seed=seed, resamples=resamples)

    def detail(
        self, samples: Sequence[JudgedSample], *, signature: str, seed: int, resamples: int
    ) -> ForgettingDetail:
        """Return the curves, the controls and the other fits."""
        return forgetting_detail(
            samples, judge=self._judge, signature=signature, seed=seed, resamples=resamples
        )


def windows(subset: Subset) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the early and the late words of a subset. Those of survivors end where all of them are still alive."""
    return EARLY, (LATE[0], SURVIVAL) if subset is SURVIVORS_FIRST else LATE


def _within(events: Events, window: tuple[float, float]) -> BoolArray:
    word = events.mentions.word
    return np.asarray((word >= window[0]) & (word < window[1]))


def _per_response(events: Events, rows: BoolArray, weights: FloatArray | None = None) -> FloatArray:
    given = None if weights is None else weights[rows]
    return np.bincount(events.mentions.response[rows], weights=given, minlength=len(events.responses)).astype(
        float
    )
