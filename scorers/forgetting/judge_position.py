"""Whether the judge reads early and late sentences alike: the same sentence alone, first and last.

Model judges are known to trust early sentences more (arXiv 2511.20515, 2603.15253). Such a judge could cause a rise
of the rate with position, or hide one.
"""

import re
from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

import numpy as np
from pydantic import ConfigDict

from eidolon.scorers.core.judge import Judge
from eidolon.scorers.core.metric import JudgedSample
from eidolon.scorers.core.types import Judgement, Record, Response

SENTENCES = 60
"""Largest number of sentences, one from each response. Each is judged three times, which is slow for a model judge."""
_END = re.compile(r"(?<=[.!?])\s+")

Place: TypeAlias = Literal["alone", "first", "last"]


class JudgePosition(Record):
    """What the judge reads in a sentence, by the place of the sentence. Null without sentences."""

    model_config = ConfigDict(allow_inf_nan=False)

    sentences: int
    """Sentences, each from another response with at least three. Unscored texts are left out."""
    categories: dict[str, float | None]
    """Mean number of categories read in a sentence that stands `alone`, `first` and `last`."""
    same: dict[str, float | None]
    """Share of sentences with the same categories `first` as `alone`, and `last` as `first`."""
    added_per_100_words: float | None = None
    """False alarms by position: categories read `last` that are not read `first`, per category read and 100 words in
    between. Absent from files of earlier versions."""
    added_standard_error: float | None = None
    """Its standard error over sentences. If nothing was added, that of one category."""
    added_in_place: float | None = None
    """Share of the added categories that are read in place of others: as many that are read `first` are not read `last`
    in their sentence. Null if nothing was added. Absent from files of earlier versions."""
    missed_per_100_words: float | None = None
    """Misses by position: categories read `first` that are not read `last`, with nothing added in their place, per
    category read and 100 words in between. Absent from files of earlier versions."""
    missed_standard_error: float | None = None


def judge_position(
    judge: Judge, samples: Sequence[JudgedSample], *, seed: int = 0, sentences: int = SENTENCES
) -> JudgePosition:
    """Return the judge's reading of one sentence from each of some responses, moved to each place."""
    order = np.random.default_rng(seed).permutation(len(samples))
    found: list[tuple[frozenset[str], ...]] = []
    moved: list[int] = []
    for index in order.tolist():
        if len(found) == sentences:
            break
        parts = _END.split((samples[index].response.response or "").strip())
        if len(parts) < 3:
            continue
        middle = len(parts) // 2
        sentence, others = parts[middle], [*parts[:middle], *parts[middle + 1 :]]
        texts = (sentence, " ".join([sentence, *others]), " ".join([*others, sentence]))
        starts = (0, 0, len(texts[2]) - len(sentence))
        responses = [Response(sample_id=str(i), image_id=i, response=text) for i, text in enumerate(texts)]
        judgements = list(judge.judge(responses))
        if all(judgement.unscored is None for judgement in judgements):
            read = (_read(j, at, at + len(sentence)) for j, at in zip(judgements, starts, strict=True))
            found.append(tuple(read))
            moved.append(len(" ".join(others).split()))
    added, error = _per_100_words(found, moved, lambda first, last: len(last - first))
    missed, missed_error = _per_100_words(found, moved, lambda first, last: max(len(first) - len(last), 0))
    places = ("alone", "first", "last")
    return JudgePosition(
        sentences=len(found),
        categories={place: _mean([len(read[i]) for read in found]) for i, place in enumerate(places)},
        same={
            "first as alone": _mean([read[1] == read[0] for read in found]),
            "last as first": _mean([read[2] == read[1] for read in found]),
        },
        added_per_100_words=added,
        added_standard_error=error,
        added_in_place=_in_place(found),
        missed_per_100_words=missed,
        missed_standard_error=missed_error,
    )


def _per_100_words(
    found: Sequence[tuple[frozenset[str], ...]],
    moved: Sequence[int],
    count: Callable[[frozenset[str], frozenset[str]], int],
) -> tuple[float | None, float | None]:
    """Return what is counted in a sentence read first and last, per category read and 100 words, with its error."""
    exposed = np.array([len(first) * words / 100 for (_, first, _), words in zip(found, moved, strict=True)])
    if not exposed.sum():
        return None, None
    counted = np.array([count(first, last) for _, first, last in found], dtype=float)
    rate = counted.sum() / exposed.sum()
    error = np.sqrt(((counted - rate * exposed) ** 2).sum()) / exposed.sum()
    return float(rate), float(max(error, 1 / exposed.sum()))


def _in_place(found: Sequence[tuple[frozenset[str], ...]]) -> float | None:
    added = sum(len(last - first) for _, first, last in found)
    replaced = sum(min(len(last - first), len(first - last)) for _, first, last in found)
    return replaced / added if added else None


def _read(judgement: Judgement, start: int, end: int) -> frozenset[str]:
    return frozenset(
        m.category for m in judgement.mentions if start <= m.start < end and m.verdict != "ignored"
    )


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
