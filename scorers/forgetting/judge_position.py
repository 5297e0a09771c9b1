"""Whether the judge reads early sentences otherwise than late ones: the same sentence alone, first and last.

Model judges are known to trust early sentences more (arXiv 2511.20515, 2603.15253); a rate that rises with position
would then be the judge's doing, or a rise would be hidden by it.
"""

import re
from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
from pydantic import ConfigDict

from eidolon.scorers.core.judge import Judge
from eidolon.scorers.core.metric import JudgedSample
from eidolon.scorers.core.types import Judgement, Record, Response

SENTENCES = 60
"""At most so many are judged three times each, one a response: a model judge takes its time."""
_END = re.compile(r"(?<=[.!?])\s+")

Place: TypeAlias = Literal["alone", "first", "last"]


class JudgePosition(Record):
    """What the judge reads in a sentence, by where the sentence stands; null without sentences."""

    model_config = ConfigDict(allow_inf_nan=False)

    sentences: int
    """Each of another response of three sentences or more; unscored texts left out."""
    categories: dict[str, float | None]
    """Categories read in a sentence, on average, when it stands `alone`, `first` and `last`."""
    same: dict[str, float | None]
    """Share of the sentences in which the same categories are read `first` as `alone`, and `last` as `first`."""


def judge_position(judge: Judge, samples: Sequence[JudgedSample], *, seed: int = 0) -> JudgePosition:
    """Move one sentence of each of some responses about, and have it judged each time."""
    order = np.random.default_rng(seed).permutation(len(samples))
    found: list[tuple[frozenset[str], ...]] = []
    for index in order.tolist():
        if len(found) == SENTENCES:
            break
        sentences = _END.split((samples[index].response.response or "").strip())
        if len(sentences) < 3:
            continue
        middle = len(sentences) // 2
        sentence, others = sentences[middle], [*sentences[:middle], *sentences[middle + 1 :]]
        texts = (sentence, " ".join([sentence, *others]), " ".join([*others, sentence]))
        starts = (0, 0, len(texts[2]) - len(sentence))
        responses = [Response(sample_id=str(i), image_id=i, response=text) for i, text in enumerate(texts)]
        judgements = list(judge.judge(responses))
        if all(judgement.unscored is None for judgement in judgements):
            read = (_read(j, at, at + len(sentence)) for j, at in zip(judgements, starts, strict=True))
            found.append(tuple(read))
    places = ("alone", "first", "last")
    return JudgePosition(
        sentences=len(found),
        categories={place: _mean([len(read[i]) for read in found]) for i, place in enumerate(places)},
        same={
            "first as alone": _mean([read[1] == read[0] for read in found]),
            "last as first": _mean([read[2] == read[1] for read in found]),
        },
    )


def _read(judgement: Judgement, start: int, end: int) -> frozenset[str]:
    return frozenset(
        m.category for m in judgement.mentions if start <= m.start < end and m.verdict != "ignored"
    )


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
