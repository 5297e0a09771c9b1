"""Bounds on incomplete annotation, compared with twins that score everything again, and in simulated worlds."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise
from math import log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eidolon.scorers.core.metric import JudgedSample, Sources
from eidolon.scorers.forgetting.annotation import annotation_bounds
from eidolon.scorers.forgetting.captions import Captions, Unannotated, with_truth
from eidolon.scorers.forgetting.detail import forgetting_detail
from eidolon.scorers.forgetting.events import Events, read_events
from eidolon.scorers.forgetting.late_early import late_early_odds_ratio
from eidolon.scorers.forgetting.simulation_annotation import World, simulate_annotated
from eidolon.scorers.forgetting.tipping import STEPS, Tipping, candidates, tipping_points
from tests.scorers.forgetting.test_forgetting import CATEGORIES, WORDS, sample

LOOKED_AT = st.lists(
    st.tuples(
        WORDS,
        st.integers(0, 2),
        st.sets(st.sampled_from(CATEGORIES), max_size=2),
    ),
    min_size=1,
    max_size=6,
)
"""Responses: words, image, ignored categories. The ground truth of an image is found by its number."""


@given(LOOKED_AT, st.data())
def test_declared_objects_change_what_a_new_truth_would(
    rows: list[tuple[str, int, set[str]]], data: st.DataObject
) -> None:
    samples = [
        sample(i, words, CATEGORIES[:image], image=image, ignored=sorted(ignored))
        for i, (words, image, ignored) in enumerate(rows)
    ]
    found = candidates(samples)
    pairs = _hallucinated(samples)
    assert len(found) == len(pairs)
    np.testing.assert_allclose(found.word, [np.mean(words) for words in pairs.values()])
    there = np.array([data.draw(st.booleans()) for _ in pairs], dtype=bool)
    chosen = {pair for pair, is_there in zip(pairs, there, strict=True) if is_there}
    twin = read_events(
        [
            with_truth(s, s.objects | {name for image, name in chosen if image == s.response.image_id})
            for s in samples
        ]
    )
    declared = found.declared(there)
    for name in ("hallucinated", "unnamed", "first", "earlier", "word", "response"):
        np.testing.assert_array_equal(getattr(declared.mentions, name), getattr(twin.mentions, name), name)
    np.testing.assert_array_equal(declared.responses.true_objects, twin.responses.true_objects)


def _hallucinated(samples: Sequence[JudgedSample]) -> dict[tuple[int, str], list[int]]:
    """Return the first places of hallucinations by image and category, in the order of their mention."""
    places: dict[tuple[int, str], list[int]] = {}
    for judged in samples:
        named: set[str] = set()
        for mention in judged.judgement.mentions:
            if mention.verdict == "hallucinated" and mention.category not in named:
                named.add(mention.category)
                image = judged.response.image_id
                assert isinstance(image, int)
                places.setdefault((image, mention.category), []).append(mention.word)
    return places


@cache
def world(name: str) -> tuple[list[JudgedSample], list[frozenset[str]]]:
    worlds = {
        "rising": World(boxes=(0.9, 0.95, 1), position=log(6)),
        "missing": World(),
        "one look": World(dependence=0.8),
        "complete": World(boxes=(1, 1, 1)),
    }
    return simulate_annotated(worlds[name], 400, seed=11)


@cache
def bounds(name: str) -> tuple[tuple[Tipping, ...], Captions]:
    found = annotation_bounds(world(name)[0], resamples=100)
    assert found is not None
    assert found.captions is not None
    return found.tipping, found.captions


def _tipping(points: Sequence[Tipping], order: str, bound: str) -> Tipping:
    (found,) = (p for p in points if (p.order, p.bound) == (order, bound))
    return found


def test_the_tipping_point_is_where_a_scan_finds_it() -> None:
    samples, _ = world("rising")
    pairs = {pair: np.mean(words) for pair, words in _hallucinated(samples).items()}
    late = sorted((pair for pair in pairs if pairs[pair] >= 60), key=lambda pair: -pairs[pair])
    point = _tipping(bounds("rising")[0], "latest first", "estimate")
    assert point.objects == len(late)
    assert point.share is not None

    def log_odds(declared: int) -> float:
        there: dict[object, set[str]] = {}
        for image, name in late[:declared]:
            there.setdefault(image, set()).add(name)
        again = [with_truth(s, s.objects | there.get(s.response.image_id, set())) for s in samples]
        return late_early_odds_ratio(read_events(again)).log_odds_ratio

    width = len(late) / STEPS
    assert log_odds(0) > 0
    assert log_odds(int(max(0, point.share * len(late) - width))) > 0
    assert log_odds(int(point.share * len(late) + width) + 1) < 0
    assert abs(log_odds(round(point.share * len(late)))) < 0.1 * log_odds(0)


def test_what_it_takes_to_explain_an_effect_away() -> None:
    """More is needed to bring the estimate to 1 than the end of its interval, and nothing without an effect."""
    points = bounds("rising")[0]
    for order in ("at random", "latest first"):
        estimate, interval = (_tipping(points, order, bound).share for bound in ("estimate", "interval"))
        assert estimate is not None
        assert interval is not None
        assert 0 < interval < estimate < 1
    drawn = _tipping(points, "at random", "estimate")
    assert drawn.lowest is not None
    assert drawn.highest is not None
    assert drawn.share is not None
    assert drawn.lowest <= drawn.share <= drawn.highest
    falling, _ = simulate_annotated(World(boxes=(1, 1, 1), position=-log(4)), 300, seed=11)
    assert {p.share for p in tipping_points(falling)} == {0.0}


def test_late_objects_that_cannot_explain_it() -> None:
    """If almost all of the rise is before word 60, objects that are named later cannot explain it."""
    samples, _ = simulate_annotated(
        World(boxes=(1, 1, 1), words=45, imagined=-4, position=log(300)), 600, seed=1
    )
    points = tipping_points(samples)
    assert [p.share for p in points] == [None] * 4
    assert {p.reason for p in points} == {"the odds ratio stays above 1 if all of them are there"}
    assert 0 < points[0].objects < 0.2 * len(candidates(samples))


def test_nothing_late_and_nothing_to_fit() -> None:
    early = [sample(i, "a dog and a cat", ["dog"]) for i in range(3)]
    assert tipping_points(early) == ()
    few = [sample(i, "so " * 70 + "dog", ["cat"]) for i in range(3)]
    assert tipping_points(few) == ()


def _late(captions: Captions, split: str) -> Unannotated:
    (found,) = (u for u in captions.unannotated if (u.split, u.part) == (split, "late"))
    return found


def _raw_rise(events: Events) -> float:
    mentions = events.mentions
    return float(
        mentions.hallucinated[mentions.word >= 60].mean() - mentions.hallucinated[mentions.word < 20].mean()
    )


def test_a_rise_that_is_annotations() -> None:
    """Small objects are named late and have no box. By the whole truth nothing rises, by boxes and captions it does."""
    samples, truths = world("missing")
    whole = read_events([with_truth(s, truth) for s, truth in zip(samples, truths, strict=True)])
    captions = bounds("missing")[1]
    assert abs(_raw_rise(whole)) < 0.04
    joined, boxes = captions.joined.change, captions.boxes_alone.change
    assert joined.ci is not None
    assert captions.moved.change.ci is not None
    assert joined.ci[0] > 0.08
    assert captions.moved.change.ci[0] > 0
    assert boxes.value == pytest.approx((joined.value or 0) + (captions.moved.change.value or 0))
    assert boxes.value == pytest.approx(
        _raw_rise(read_events([with_truth(s, s.sources.annotated) for s in samples if s.sources]))
    )
    # The odds ratio holds exhaustion fixed, which here depends on size, so it does not show a rise with position.
    fitted = captions.late_early_joined
    assert fitted.ci is not None
    assert fitted.ci[0] < 1.2
    assert fitted.odds_ratio == pytest.approx(late_early_odds_ratio(read_events(samples)).odds_ratio)


def test_two_looks_tell_what_both_miss() -> None:
    """The share is right within strata for independent sources, and too low for dependent ones, as documented."""
    for name in ("missing", "one look"):
        samples, truths = world(name)
        really = [
            m.category in truth
            for s, truth in zip(samples, truths, strict=True)
            for m in s.judgement.mentions
            if m.word >= 60 and m.verdict == "hallucinated"
        ]
        found = _late(bounds(name)[1], "size")
        assert found.hallucinated == len(really)
        assert found.share.ci is not None
        low, high = found.share.ci
        if name == "missing":
            assert low < np.mean(really) < high
            assert low > 0.3
        else:
            assert high < 0.5 * np.mean(really)


def test_complete_boxes_leave_captions_nothing_to_find() -> None:
    captions = bounds("complete")[1]
    assert [captions.moved.early.value, captions.moved.late.value] == [0, 0]
    assert captions.late_early_boxes_alone.log_odds_ratio == captions.late_early_joined.log_odds_ratio
    assert {look.captions for look in captions.looks} == {0}
    assert {u.share.value for u in captions.unannotated} == {0.0}
    assert captions.dependence is None


def test_dependence_is_the_tipping_point_in_units_of_the_estimate() -> None:
    points, captions = bounds("rising")
    needed = _tipping(points, "at random", "estimate").share
    there = _late(captions, "prevalence").share.value
    assert needed
    assert there
    assert captions.dependence == pytest.approx(needed / there)


def looked_at(key: int, words: str, boxes: Sequence[str], captions: Sequence[str]) -> JudgedSample:
    judged = sample(key, words, sorted({*boxes, *captions}))
    return replace(judged, sources=Sources(frozenset(boxes), frozenset(captions)))


def test_looks_by_hand() -> None:
    so = " so" * 70
    samples = [
        looked_at(0, f"dog cat{so} car cup", ["dog", "car"], ["dog", "cat"]),
        looked_at(1, f"dog dog bed{so} car", ["dog"], ["dog", "car"]),
        looked_at(2, f"{so} car cup bed", ["car", "bed"], ["car"]),
        replace(sample(3, "dog", ["dog"]), sources=None),
    ]
    found = annotation_bounds(samples, resamples=0)
    assert found is not None
    assert found.captions is not None
    assert found.captions.images == 3
    looks = {look.part: look for look in found.captions.looks if look.split == "all"}
    counted = {part: (x.both, x.boxes, x.captions, x.neither) for part, x in looks.items()}
    # Early: dog twice by both, cat by a caption, bed by none. Late: car by a box, by a caption and by both, cup twice
    # by none, bed by a box.
    assert counted == {"early": (2, 0, 1, 1), "middle": (0, 0, 0, 0), "late": (1, 2, 1, 2)}
    assert (looks["early"].confirmed.value, looks["early"].recall.value) == (0.5, 1.0)
    assert (looks["late"].confirmed.value, looks["late"].recall.value) == (1 / 3, 1 / 3)
    shares = {u.part: u.share.value for u in found.captions.unannotated if u.split == "all"}
    assert shares == {"early": 0.0, "middle": None, "late": pytest.approx(2 * 1 / (1 + 1) / 2)}
    assert found.captions.boxes_alone.late.value == pytest.approx(3 / 6)
    assert found.captions.joined.late.value == pytest.approx(2 / 6)
    assert found.captions.moved.change.value == pytest.approx((3 / 6 - 2 / 4) - (2 / 6 - 1 / 4))


@settings(max_examples=50)
@given(st.lists(st.tuples(WORDS, st.sets(st.sampled_from(CATEGORIES), max_size=4)), min_size=1, max_size=6))
def test_thirds_hold_every_category_and_about_as_many_mentions(rows: list[tuple[str, set[str]]]) -> None:
    samples = [
        replace(sample(i, words, sorted(objects)), areas=dict.fromkeys(objects, 0.1 * (i % 3)))
        for i, (words, objects) in enumerate(rows)
    ]
    found = annotation_bounds(samples, resamples=0)
    assert found is not None
    named = Counter(
        m.category for s in samples for m in {x.category: x for x in s.judgement.mentions}.values()
    )
    held = Counter(name for s in samples for name in s.objects)
    strata = [s for s in found.strata if s.split == "prevalence"]
    assert sum(s.categories for s in strata) == len(named)
    assert [s.lowest for s in strata] == sorted(s.lowest for s in strata)
    for low, high in pairwise(strata):
        assert low.highest <= high.lowest
    for stratum in strata:
        inside = [n for n in named if stratum.lowest <= held[n] / len(samples) <= stratum.highest]
        assert len(inside) >= stratum.categories
    known = {n for s in samples for n in s.areas} & named.keys()
    assert sum(s.categories for s in found.strata if s.split == "size") == len(known)


def test_scenes_are_annotated_completely() -> None:
    samples = [sample(i, "a dog and a cat", ["dog"]) for i in range(3)]
    drawn = [
        replace(s, response=s.response.model_copy(update={"image_id": f"scenes-0-{i}"}))
        for i, s in enumerate(samples)
    ]
    assert annotation_bounds(drawn, resamples=0) is None
    assert '"annotation"' not in forgetting_detail(drawn, signature="s", resamples=0).to_json()
    assert annotation_bounds([*drawn, samples[0]], resamples=0) is not None
    assert '"annotation"' in forgetting_detail(samples, signature="s", resamples=0).to_json()
