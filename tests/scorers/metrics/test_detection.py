"""Detection, compared with results computed by hand and a naive twin."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eidolon.scorers.core.types import Judgement, Mention
from eidolon.scorers.metrics.detection import (
    Detection,
    WordScores,
    average_precision,
    judged_words,
    unreferenced_words,
    word_spans,
)


def flagged(index: int, human: list[int], scores: list[float]) -> WordScores:
    return WordScores(str(index), index, tuple(map(bool, human)), tuple(scores))


def compute(samples: list[WordScores], threshold: float | None = None) -> dict[str, float]:
    metric = Detection(samples, threshold)
    values = metric.compute(metric.statistics(samples).sum(axis=0))
    return {name: float(value) for name, value in values.items()}


def naive_ap(human: list[bool], scores: list[float]) -> float:
    """AP, one threshold at a time, with scores rounded to a thousandth."""
    scores = [round(score, 3) for score in scores]
    if not any(human):
        return math.nan
    total, recall = 0.0, 0.0
    for t in sorted(set(scores), reverse=True):
        above = [h for h, score in zip(human, scores, strict=True) if score >= t]
        total += (sum(above) / sum(human) - recall) * sum(above) / len(above)
        recall = sum(above) / sum(human)
    return total


def naive(samples: list[WordScores]) -> dict[str, float]:
    levels = {
        "response": [(any(s.human), s.score, s.score > 0) for s in samples],
        "word": [(h, x, x >= 0.5) for s in samples for h, x in zip(s.human, s.scores, strict=True)],
    }
    found = {}
    for level, items in levels.items():
        tp = sum(h and d for h, _, d in items)
        said, due = sum(d for _, _, d in items), sum(h for h, _, _ in items)
        found |= {
            f"{level}_precision": tp / said if said else math.nan,
            f"{level}_recall": tp / due if due else math.nan,
            f"{level}_f1": 2 * tp / (said + due) if said + due else math.nan,
            f"{level}_average_precision": naive_ap([h for h, _, _ in items], [x for _, x, _ in items]),
            f"{level}_flagged_by_people": due / len(items) if items else math.nan,
        }
    return found


@st.composite
def judged(draw: st.DrawFn) -> list[WordScores]:
    word = st.tuples(st.booleans(), st.sampled_from([0.0, 0.25, 0.5, 1.0]))
    rows = draw(st.lists(st.lists(word, max_size=5), max_size=8))
    return [
        WordScores(str(i), i // 2, tuple(h for h, _ in row), tuple(x for _, x in row))
        for i, row in enumerate(rows)
    ]


HAND = [flagged(1, [0, 1], [0, 1]), flagged(2, [0, 0], [1, 0]), flagged(3, [1], [0]), flagged(4, [0], [0])]
"""The example of docs/reference/metrics/detection.md: response scores 1/2, 1/2, 0, 0."""


def test_worked_by_hand() -> None:
    assert compute(HAND) == pytest.approx(
        {
            "response_precision": 1 / 2,
            "response_recall": 1 / 2,
            "response_f1": 1 / 2,
            "response_average_precision": 1 / 2 * 1 / 2 + 1 / 2 * 2 / 4,
            "response_flagged_by_people": 2 / 4,
            "word_precision": 1 / 2,
            "word_recall": 1 / 2,
            "word_f1": 1 / 2,
            "word_average_precision": 1 / 2 * 1 / 2 + 1 / 2 * 2 / 6,
            "word_flagged_by_people": 2 / 6,
        }
    )


def test_a_threshold_decides_on_responses() -> None:
    assert math.isnan(compute(HAND, 0.6)["response_precision"])
    assert compute(HAND, 0.0)["response_recall"] == 1
    assert compute(HAND, 0.6)["response_average_precision"] == compute(HAND)["response_average_precision"]


def test_a_perfect_and_a_blind_ranking() -> None:
    assert average_precision(np.array([2.0, 0]), np.array([0, 3.0])) == 1
    assert average_precision(np.array([2.0]), np.array([3.0])) == pytest.approx(2 / 5)
    assert math.isnan(average_precision(np.array([0.0]), np.array([3.0])))


@given(judged())
def test_equals_its_naive_twin(samples: list[WordScores]) -> None:
    assert compute(samples) == pytest.approx(naive(samples), nan_ok=True, rel=1e-12)


@given(judged(), st.randoms(use_true_random=False))
def test_order_and_duplication_change_nothing(samples: list[WordScores], random: Any) -> None:
    before = compute(samples)
    assert compute(random.sample(samples, len(samples))) == pytest.approx(before, nan_ok=True, abs=0)
    assert compute(samples * 2) == pytest.approx(before, nan_ok=True, rel=1e-12)


def test_where_words_stand() -> None:
    text = "A dog,  a dog\nruns."
    spans = word_spans(["A", "dog,", "", "a", "dog", "runs."], text)
    assert [text[a:b] for a, b in spans] == ["A", "dog,", "", "a", "dog", "runs."]
    with pytest.raises(ValueError, match="word 1 'cat'"):
        word_spans(["A", "cat"], text)
    with pytest.raises(ValueError, match="word 1 'a'"):
        word_spans(["A", "a"], text)


def test_words_that_a_hallucinated_mention_touches() -> None:
    def mention(start: int, end: int, verdict: Any) -> Mention:
        return Mention(category="x", text="x", start=start, end=end, word=0, verdict=verdict)

    mentions = (mention(2, 9, "hallucinated"), mention(12, 15, "grounded"))
    judgement = Judgement(sample_id="1", image_id=1, mentions=mentions)
    spans = word_spans(["A", "hot", "dog,", "a", "cat"], "A hot dog, a cat")
    assert judged_words(judgement, spans) == (0, 1, 1, 0, 0)


def test_words_in_no_reference() -> None:
    words = ["A", "Dog's", "red", "ball-game,", "the", "--", "ball."]
    assert unreferenced_words(words, ["One RED ball.", "ball-game"]) == (0, 1, 0, 0, 0, 0, 0)
    assert unreferenced_words(["dog"], []) == (1,)
