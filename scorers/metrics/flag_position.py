"""Where along a response people mark text as hallucinated: rates by position, and a late-minus-early odds ratio.

What is counted are marked spans, each once: a run of words that people flag, at its first word. The model is a logistic
regression over the words at which a span begins or could,

    logit P(a marked span begins) = b_response + β·(words before it)/100 + length of the response

with a random intercept b for each response; exp(β) is reported. The truth is people's, so no judge can fool it. But
which true things are still unnamed is not known for free text, and neither is how easy they are to see. So neither
exhaustion nor salience is held, and the ratio is no measure of forgetting.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import exp
from typing import Any

import numpy as np

from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.core.metric import FloatArray, Quantity, Share, ratio
from eidolon.scorers.core.resampling import RESAMPLES
from eidolon.scorers.core.scores import Family
from eidolon.scorers.core.types import ImageId
from eidolon.scorers.metrics.scoring import values_of
from eidolon.scorers.statistics.bootstrap import LEVEL
from eidolon.scorers.statistics.mixed_logistic import NotEstimableError, fit_mixed_logistic

EARLY_WORDS, LATE_FROM = 20, 60
"""Early are the words before the first number, late those from the second on, as in the metric `forgetting`."""
PER = 100
"""Words of one unit of the odds ratio."""
LEAST_OUTCOMES = 20
"""Smallest number of words at which a span begins, and of others, for a fit."""
MAX_LOG_ODDS = 20.0
"""Largest sum of an estimate and its standard error."""

_RATIO = "late_early_odds_ratio_per_100_words"
_POSITION, _EARLIER = "position", "log earlier spans"
_LENGTH = ("log words", "words")
_END = (".", "!", "?")


@dataclass(frozen=True, slots=True)
class MarkedResponse:
    """A response's words with people's flags; None where they call the word neither right nor wrong."""

    image_id: ImageId
    words: tuple[str, ...]
    human: tuple[bool | None, ...]


@dataclass(frozen=True, slots=True)
class Start:
    """A word at which a marked span begins, or could."""

    word: int
    """Words before it."""
    begins: bool
    earlier: int
    """Marked spans before it in the response."""
    closing: bool
    """Whether it is in the last of several sentences."""


@dataclass(frozen=True, slots=True)
class Specification:
    """One fit: what it holds beside the intercepts, and over which words."""

    name: str
    holds: tuple[str, ...]
    description: str
    closing: bool = True
    """Whether the last sentences are in."""


SPECIFICATIONS = (
    Specification(_RATIO, _LENGTH, "odds ratio that a marked span begins at a word, per 100 words"),
    Specification("late_early_length_odds_ratio_per_100_words", (), "the same, the length not held"),
    Specification(
        "late_early_snowball_odds_ratio_per_100_words",
        (*_LENGTH, _EARLIER),
        "the same, the marked spans before it held",
    ),
    Specification(
        "late_early_body_odds_ratio_per_100_words", _LENGTH, "the same without last sentences", closing=False
    ),
)
"""The main fit, then those that hold or leave out a rival explanation."""


class FlagPosition:
    """The rates at which marked spans begin early and late, from sums over responses."""

    quantities: tuple[Quantity, ...] = (
        Quantity(
            "span_rate_early",
            None,
            (0, 1),
            f"marked spans that begin in words 0 to {EARLY_WORDS - 1} / words there",
            "no word is early",
        ),
        Quantity(
            "span_rate_late",
            None,
            (0, 1),
            f"marked spans that begin from word {LATE_FROM} on / words there",
            f"no response has a word from word {LATE_FROM} on",
        ),
        Quantity("span_rate_change", False, (-1, 1), "late minus early", "one of the two is undefined"),
    )
    columns: tuple[str, ...] = ("early_words", "early_spans", "late_words", "late_spans")

    def statistics(self, samples: Sequence[MarkedResponse]) -> FloatArray:
        """Return the counts named by `columns`, shape (samples, 4)."""
        rows = np.zeros((len(samples), len(self.columns)))
        for row, sample in zip(rows, samples, strict=True):
            for start in starts(sample):
                if start.word < EARLY_WORDS:
                    row[:2] += 1, start.begins
                elif start.word >= LATE_FROM:
                    row[2:] += 1, start.begins
        return rows

    def compute(self, totals: FloatArray) -> dict[str, FloatArray]:
        """Map totals (..., 4) to the quantities, shape (...)."""
        early_words, early, late_words, late = (totals[..., i] for i in range(4))
        before, after = ratio(early, early_words), ratio(late, late_words)
        return {"span_rate_early": before, "span_rate_late": after, "span_rate_change": after - before}

    def shares(self, totals: FloatArray) -> dict[str, Share]:
        """Map totals (..., 4) to the events and trials of the shares, each (...)."""
        early_words, early, late_words, late = (totals[..., i] for i in range(4))
        return {"span_rate_early": Share(early, early_words), "span_rate_late": Share(late, late_words)}


def starts(sample: MarkedResponse) -> Iterator[Start]:
    """Yield the words at which a marked span begins or could, in order.

    Words that people left open are left out. So is a word after a flagged one: no new span can begin there, and counted
    as one that could, it would make spans look rarer after a span.
    """
    closing = _last_sentence(sample.words)
    earlier, after = 0, False
    for index, (word, flag) in enumerate(zip(sample.words, sample.human, strict=True)):
        if flag is not None and not after and any(map(str.isalnum, word)):
            yield Start(index, flag, earlier, index >= closing)
            earlier += flag
        after = bool(flag)


def with_positions(
    family: Family, samples: Sequence[MarkedResponse], seed: int = 0, resamples: int = RESAMPLES
) -> Family:
    """Return the family with the rates and the odds ratios of the marks beside its own numbers."""
    metric = FlagPosition()
    images = [sample.image_id for sample in samples]
    rates = values_of(metric, metric.statistics(samples), images, seed=seed, resamples=resamples)
    values: dict[str, Any] = {**family.quantities(), **rates, **fitted(samples)}
    return Family(**values)


def fitted(samples: Sequence[MarkedResponse]) -> dict[str, Estimate]:
    """Return the odds ratio of each of the `SPECIFICATIONS` with its interval, or the reason why there is none."""
    numbers = {image: i for i, image in enumerate(dict.fromkeys(sample.image_id for sample in samples))}
    table = [
        (i, numbers[sample.image_id], len(sample.words), start)
        for i, sample in enumerate(samples)
        for start in starts(sample)
    ]
    found = {}
    for one in SPECIFICATIONS:
        rows = [row for row in table if one.closing or not row[3].closing]
        try:
            value, ci = _fit(rows, one.holds)
            estimate = Estimate(value=value, ci=ci, n=len(samples), higher_is_better=False, reason=None)
        except NotEstimableError as error:
            estimate = Estimate(
                value=None, ci=None, n=len(samples), higher_is_better=False, reason=f"undefined: {error}"
            )
        found[one.name] = estimate
    return found


def _fit(
    rows: Sequence[tuple[int, int, int, Start]], holds: Sequence[str]
) -> tuple[float, tuple[float, float]]:
    """Return the odds ratio and its interval. `rows` are (response, image, words of the response, start)."""
    begins = np.array([start.begins for *_, start in rows], dtype=bool)
    wrong = int(begins.sum())
    if min(wrong, len(rows) - wrong) < LEAST_OUTCOMES:
        raise NotEstimableError(
            f"marked spans begin at {wrong} of {len(rows)} words; it takes {LEAST_OUTCOMES} of either kind"
        )
    response, image, words = (np.array([row[i] for row in rows], dtype=np.intp) for i in range(3))
    columns: Mapping[str, FloatArray] = {
        _POSITION: np.array([start.word for *_, start in rows], dtype=float) / PER,
        "log words": np.log(words),
        "words": words.astype(float),
        _EARLIER: np.log1p([float(start.earlier) for *_, start in rows]),
    }
    fit = fit_mixed_logistic(
        {name: columns[name] for name in (_POSITION, *holds)}, begins, response, inference_clusters=image
    )
    if _POSITION not in fit.names:
        raise NotEstimableError("all words stand at the same position")
    at = fit.names.index(_POSITION)
    estimate, robust = fit[_POSITION]
    error = max(robust, float(fit.model_covariance[at, at] ** 0.5))
    if abs(estimate) + error > MAX_LOG_ODDS:
        raise NotEstimableError(f"{len(rows)} words hardly constrain it (standard error {error:.3g})")
    from scipy.special import ndtri  # scipy takes half a second to import

    reach = float(ndtri((1 + LEVEL) / 2)) * error
    return exp(estimate), (exp(estimate - reach), exp(estimate + reach))


def _last_sentence(words: Sequence[str]) -> int:
    """Return the word with which the last sentence begins; the number of words if there is only one sentence."""
    ends = [i + 1 for i, word in enumerate(words[:-1]) if word.rstrip("\"')\u201d\u2019").endswith(_END)]
    return ends[-1] if ends else len(words)


NAMES = (*(quantity.name for quantity in FlagPosition.quantities), *(one.name for one in SPECIFICATIONS))
"""The names of all numbers of this module."""
