"""CHAIR, compared with results computed by hand and a naive twin, and properties that hold for any responses."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eidolon.scorers.core.metric import JudgedSample
from eidolon.scorers.core.types import Judgement, Mention, Response, Verdict
from eidolon.scorers.core.verdict import with_verdicts
from eidolon.scorers.metrics.chair import Chair

CATEGORIES = ("dog", "cat", "car", "cup")


def sample(
    image: int,
    named: Sequence[str],
    objects: Sequence[str],
    *,
    text: str = "one two three",
    ignored: Sequence[str] = (),
) -> JudgedSample:
    def mention(category: str, verdict: Verdict | None) -> Mention:
        return Mention(category=category, text=category, start=0, end=1, word=0, verdict=verdict)

    mentions = [mention(c, None) for c in named] + [mention(c, "ignored") for c in ignored]
    judgement = Judgement(sample_id=str(image), image_id=image, mentions=tuple(mentions))
    return JudgedSample(
        response=Response(sample_id=str(image), image_id=image, response=text),
        judgement=with_verdicts(judgement, objects),
        objects=frozenset(objects),
    )


def compute(samples: Sequence[JudgedSample]) -> dict[str, float]:
    values = Chair().compute(Chair().statistics(samples).sum(axis=0))
    return {name: float(value) for name, value in values.items()}


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def naive(samples: Sequence[JudgedSample]) -> dict[str, float]:
    """CHAIR by its definition, from texts and ground truth, without statistics, columns or verdicts."""
    mentions = hallucinated = with_hallucination = recalled = true = words = 0
    for s in samples:
        ignored = {m.category for m in s.judgement.mentions if m.verdict == "ignored"}
        named = [m.category for m in s.judgement.mentions if m.verdict != "ignored"]
        truth = {c for c in s.objects if c not in ignored or c in named}
        wrong = [c for c in named if c not in s.objects]
        mentions += len(named)
        hallucinated += len(wrong)
        with_hallucination += bool(wrong)
        recalled += len([c for c in truth if c in named])
        true += len(truth)
        words += len((s.response.response or "").split())

    def over(top: int, bottom: int) -> float:
        return top / bottom if bottom else math.nan

    return {
        "chair_i": over(hallucinated, mentions),
        "chair_s": over(with_hallucination, len(samples)),
        "recall": over(recalled, true),
        "words": over(words, len(samples)),
    }


@st.composite
def judged_samples(draw: st.DrawFn) -> list[JudgedSample]:
    some = st.lists(st.sampled_from(CATEGORIES), max_size=5)
    return [
        sample(i, draw(some), draw(some), text=" ".join(["w"] * draw(st.integers(0, 6))), ignored=draw(some))
        for i in range(draw(st.integers(0, 8)))
    ]


def test_worked_by_hand():
    samples = [
        # 3 mentions, dog grounded, cat hallucinated twice; 1 of the 2 true categories named; 4 words
        sample(1, ["dog", "cat", "cat"], ["dog", "car"], text="a dog, cat  cat"),
        # 2 mentions, both grounded; 1 of 1 named; 2 words
        sample(2, ["cup", "cup"], ["cup"], text="cup cup"),
        # silent on an image with one object; 0 words
        sample(3, [], ["dog"], text="  \n"),
    ]
    assert Chair().statistics(samples).tolist() == [
        [1, 4, 3, 2, 1, 1, 2, 0, 0],
        [1, 2, 2, 0, 0, 1, 1, 0, 0],
        [1, 0, 0, 0, 0, 0, 1, 1, 0],
    ]
    assert compute(samples) == {"chair_i": 2 / 5, "chair_s": 1 / 3, "recall": 2 / 4, "words": 6 / 3}


def test_a_repeated_hallucination_counts_each_time_but_marks_the_response_once():
    assert compute([sample(1, ["cat"] * 3 + ["dog"], ["dog"])]) == pytest.approx(
        {"chair_i": 3 / 4, "chair_s": 1, "recall": 1, "words": 3}
    )


def test_an_ignored_category_is_neither_named_nor_true():
    got = compute([sample(1, ["dog"], ["dog", "cat", "cup"], ignored=["cat", "car"])])
    assert got == {"chair_i": 0, "chair_s": 0, "recall": 1 / 2, "words": 3}


def test_a_category_with_an_ignored_and_a_counted_mention_counts():
    got = compute([sample(1, ["dog"], ["dog"], ignored=["dog"])])
    assert got == {"chair_i": 0, "chair_s": 0, "recall": 1, "words": 3}


def test_undefined_where_there_is_nothing_to_count():
    silent = compute([sample(1, [], [])])
    assert math.isnan(silent["chair_i"])
    assert math.isnan(silent["recall"])
    assert silent["chair_s"] == 0
    assert all(math.isnan(value) for value in compute([]).values())


@given(judged_samples())
def test_equals_its_naive_twin(samples):
    assert compute(samples) == pytest.approx(naive(samples), nan_ok=True, rel=1e-15)


@given(judged_samples(), st.randoms(use_true_random=False))
def test_order_and_duplication_change_nothing(samples, random):
    shuffled = random.sample(samples, len(samples))
    assert compute(shuffled) == pytest.approx(compute(samples), nan_ok=True, abs=0)
    assert compute(samples + samples) == pytest.approx(compute(samples), nan_ok=True, abs=0)


@given(judged_samples())
def test_a_silent_response_lowers_recall_and_leaves_chair_i(samples):
    before, after = compute(samples), compute([*samples, sample(99, [], ["dog"])])
    assert after["chair_i"] == pytest.approx(before["chair_i"], nan_ok=True, abs=0)
    assert not after["recall"] > before["recall"]
    assert not after["chair_s"] > before["chair_s"]


def test_computes_many_totals_at_once():
    totals = Chair().statistics([sample(1, ["dog"], ["dog"]), sample(2, ["cat"], ["dog"]), sample(3, [], [])])
    values = Chair().compute(totals)
    np.testing.assert_array_equal(values["chair_i"], [0, 1, np.nan])
    np.testing.assert_array_equal(values["recall"], [1, 0, np.nan])


@pytest.mark.parametrize("run", ["opera_llava-1.5_greedy", "pope_llava_instruction2"])
def test_equals_the_reference_program_on_its_own_extracted_words(run, reference_data):
    root = reference_data
    expected = json.loads((root / "expected" / "chair_runs.json").read_text())[run]
    truth = {line["image_id"]: line["objects"] for line in lines(root / "coco_gt" / "objects.jsonl")}
    responses = lines(root / "responses" / f"{run}.jsonl")
    captions = lines(root / "expected" / "chair_per_caption" / f"{run}.jsonl")
    samples = [
        sample(c["image_id"], [w[1] for w in c["words"]], truth[c["image_id"]], text=r["response"])
        for c, r in zip(captions, responses, strict=True)
    ]
    statistics = Chair().statistics(samples)
    counts, named = dict(zip(Chair.columns, statistics.sum(axis=0), strict=True)), expected["counts"]
    assert counts == {
        "responses": expected["n_captions"],
        "words": round(expected["mean_words_whitespace"] * expected["n_captions"]),
        "mentions": named["coco_words"],
        "hallucinated_mentions": named["hallucinated_words"],
        "hallucinated_responses": named["hallucinated_captions"],
        "recalled_objects": named["recalled_gt_objects"],
        "true_objects": named["gt_objects"],
        "responses_without_mentions": named["captions_without_coco_words"],
        "responses_without_objects": named["captions_with_empty_gt"],
    }
    assert compute(samples) == {
        "chair_i": expected["CHAIRi"],
        "chair_s": expected["CHAIRs"],
        "recall": expected["Recall"],
        "words": expected["mean_words_whitespace"],
    }


def test_refuses_what_is_unscored_or_has_no_verdict():
    bare = sample(1, ["dog"], ["dog"])
    unscored = bare.judgement.model_copy(update={"unscored": "timeout"})
    with pytest.raises(ValueError, match="'1' is unscored"):
        Chair().statistics([JudgedSample(bare.response, unscored, bare.objects)])
    with pytest.raises(ValueError, match=r"'grounded', by its truth it is 'hallucinated'"):
        Chair().statistics([JudgedSample(bare.response, bare.judgement, frozenset({"cat"}))])
