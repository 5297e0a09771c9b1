"""How well a judge finds what people marked as hallucinated, by response and by word.

Average precision is AP = Σ_t (R_t - R_{t-1}) P_t over the distinct scores t from the highest down, as in
scikit-learn: without interpolation, with ties as one step. It is a function of the numbers of flagged and unflagged
items with each score. These counts are additive over samples, so AP has a bootstrap interval like any other quantity.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from eidolon.scorers.core.metric import FloatArray, LeaderboardColumn, Quantity, Share, ratio
from eidolon.scorers.core.types import ImageId, Judgement, Mention
from eidolon.scorers.metrics.objects import f_beta
from eidolon.scorers.text.english import FUNCTION_WORDS

STEPS = 1000
"""Scores are rounded to a thousandth, so that the number of distinct scores does not grow with the data."""
WORD_THRESHOLD = 0.5
BASELINE = "word-overlap"
LEVELS = ("response", "word")
CONFUSION = tuple(f"{level}_{name}" for level in LEVELS for name in ("tp", "fp", "fn", "tn"))
"""The first columns, which are the `counts` of `scores.json`."""

_LETTERS = re.compile(r"[^\W_]+(?:['\u2019-][^\W_]+)*")


@dataclass(frozen=True, slots=True)
class WordScores:
    """The flags of people on the words of a response, and a detector's score of each word.

    Words that people call neither right nor wrong have the flag None, and count nowhere.
    """

    sample_id: str
    image_id: ImageId
    human: tuple[bool | None, ...]
    scores: tuple[float, ...]
    """From 0 (right) to 1 (hallucinated), one for each word."""

    @property
    def score(self) -> float:
        """The score of the response: the mean score of its words."""
        scores = self.decided[1]
        return sum(scores) / len(scores) if scores else 0.0

    @property
    def decided(self) -> tuple[tuple[bool, ...], tuple[float, ...]]:
        """Flags and scores of the words that people call right or wrong."""
        if None not in self.human:
            return tuple(map(bool, self.human)), self.scores
        kept = [
            (flag, score) for flag, score in zip(self.human, self.scores, strict=True) if flag is not None
        ]
        return tuple(flag for flag, _ in kept), tuple(score for _, score in kept)


class Detection:
    """Precision, recall, F1 and average precision of a detector against people.

    People flag a response if they flag one of its words. The detector flags it if its score is at least `threshold`,
    or above 0 without a threshold. The detector flags a word with a score of at least one half.
    """

    family: str = "detection"
    leaderboard_columns: tuple[LeaderboardColumn, ...] = (
        LeaderboardColumn("response_average_precision", "AP, responses ↑"),
        LeaderboardColumn("word_average_precision", "AP, words ↑"),
    )

    def __init__(self, samples: Sequence[WordScores], threshold: float | None = None) -> None:
        """Take all samples: their distinct scores make the columns."""
        self.threshold = threshold
        self.quantities = tuple(quantity for level in LEVELS for quantity in _quantities(level))
        steps = ({_step(s.score) for s in samples}, {_step(score) for s in samples for score in s.decided[1]})
        self._place = [{step: i for i, step in enumerate(sorted(found, reverse=True))} for found in steps]
        self.columns: tuple[str, ...] = CONFUSION + tuple(
            f"{level}_{name}_at_{step / STEPS:.3f}"
            for level, places in zip(LEVELS, self._place, strict=True)
            for name in ("flagged", "unflagged")
            for step in places
        )

    def flags(self, sample: WordScores) -> bool:
        """Tell whether the detector flags the response."""
        return sample.score > 0 if self.threshold is None else sample.score >= self.threshold

    def statistics(self, samples: Sequence[WordScores]) -> FloatArray:
        """Return the confusion counts, then the counts at each score, shape (samples, columns)."""
        rows = np.zeros((len(samples), len(self.columns)))
        for row, sample in zip(rows, samples, strict=True):
            flags, scores = sample.decided
            flagged = any(flags)
            row[:4] = _confusion([flagged], [self.flags(sample)])
            row[4:8] = _confusion(flags, [score >= WORD_THRESHOLD for score in scores])
            responses, words = self._histograms(row)
            responses[int(not flagged), self._place[0][_step(sample.score)]] += 1
            for human, score in zip(flags, scores, strict=True):
                words[int(not human), self._place[1][_step(score)]] += 1
        return rows

    def compute(self, totals: FloatArray) -> dict[str, FloatArray]:
        """Map totals (..., columns) to the quantities, shape (...)."""
        values: dict[str, FloatArray] = {}
        for i, (level, counts) in enumerate(zip(LEVELS, self._histograms(totals), strict=True)):
            tp, fp, fn, tn = (totals[..., 4 * i + j] for j in range(4))
            values |= {
                f"{level}_precision": ratio(tp, tp + fp),
                f"{level}_recall": ratio(tp, tp + fn),
                f"{level}_f1": f_beta(tp, fp, fn, beta=1),
                f"{level}_average_precision": average_precision(counts[..., 0, :], counts[..., 1, :]),
                f"{level}_flagged_by_people": ratio(tp + fn, tp + fp + fn + tn),
            }
        return values

    def shares(self, totals: FloatArray) -> dict[str, Share]:
        """Map totals (..., columns) to the events and trials of the shares, each (...)."""
        shares: dict[str, Share] = {}
        for i, level in enumerate(LEVELS):
            tp, fp, fn, tn = (totals[..., 4 * i + j] for j in range(4))
            shares |= {
                f"{level}_precision": Share(tp, tp + fp),
                f"{level}_recall": Share(tp, tp + fn),
                f"{level}_flagged_by_people": Share(tp + fn, tp + fp + fn + tn),
            }
        return shares

    def _histograms(self, totals: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return views (..., flagged or not, scores) of the columns for responses and for words."""
        start, views = len(CONFUSION), []
        for places in self._place:
            end = start + 2 * len(places)
            views.append(totals[..., start:end].reshape(*totals.shape[:-1], 2, len(places)))
            start = end
        return views[0], views[1]


def average_precision(flagged: FloatArray, unflagged: FloatArray) -> FloatArray:
    """Return AP from the numbers of items at each score, highest first, shape (..., scores)."""
    found = np.cumsum(flagged, axis=-1)
    precision = np.nan_to_num(ratio(found, found + np.cumsum(unflagged, axis=-1)))
    return ratio((precision * flagged).sum(axis=-1), flagged.sum(axis=-1))


def word_spans(words: Sequence[str], response: str) -> list[tuple[int, int]]:
    """Return the characters (start, end) of each word in the response, in order.

    Raises:
        ValueError: a word does not follow in the response. The message names the first one.
    """
    spans = []
    position = 0
    for index, word in enumerate(words):
        start = response.find(word, position)
        if start == -1 or response[position:start].strip():
            raise ValueError(f"word {index} {word!r} does not follow in the response")
        position = start + len(word)
        spans.append((start, position))
    return spans


def judged_words(judgement: Judgement, spans: Sequence[tuple[int, int]]) -> tuple[float, ...]:
    """Return, for each word, the largest `doubt` of the mentions that overlap it, 0 without any."""
    doubts = [(m.start, m.end, doubt(m)) for m in judgement.mentions]
    return tuple(max((d for a, b, d in doubts if start < b and a < end), default=0.0) for start, end in spans)


def doubt(mention: Mention) -> float:
    """Return how wrong a mention probably is, from 0 to 1: its weight, reduced by its support.

    If the judge gives no weight, it is 1 for a hallucinated mention, else 0.
    """
    if mention.weight is None or mention.verdict == "ignored":
        return float(mention.verdict == "hallucinated")
    return mention.weight * (1 - (mention.similarity or 0.0))


def unreferenced_words(words: Sequence[str], references: Iterable[str]) -> tuple[float, ...]:
    """Return 1 for each word that is in no reference, 0 for the others: a simple baseline.

    Words are compared in lower case and without punctuation. Function words make no claim and have 0, as has a word
    without a letter or digit.
    """
    known = {token for reference in references for token in _LETTERS.findall(reference.lower())}
    known |= FUNCTION_WORDS
    return tuple(float(any(t not in known for t in _LETTERS.findall(word.lower()))) for word in words)


def _quantities(level: str) -> tuple[Quantity, ...]:
    none = f"people flagged no {level}"
    return (
        Quantity(f"{level}_precision", True, (0, 1), "TP / (TP + FP)", f"the detector flags no {level}"),
        Quantity(f"{level}_recall", True, (0, 1), "TP / (TP + FN)", none),
        Quantity(f"{level}_f1", True, (0, 1), "2 TP / (2 TP + FN + FP)", "neither people nor the detector flag one"),
        Quantity(f"{level}_average_precision", True, (0, 1), "area under precision over recall", none),
        Quantity(
            f"{level}_flagged_by_people", None, (0, 1), f"{level}s flagged / {level}s: AP by chance",
            f"there are no {level}s",
        ),
    )  # fmt: skip


def _confusion(human: Sequence[bool], detector: Sequence[bool]) -> tuple[int, int, int, int]:
    tp = sum(h and d for h, d in zip(human, detector, strict=True))
    fp, fn = sum(detector) - tp, sum(human) - tp
    return tp, fp, fn, len(human) - tp - fp - fn


def _step(score: float) -> int:
    return round(min(max(score, 0.0), 1.0) * STEPS)
