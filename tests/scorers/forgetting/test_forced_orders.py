"""Forced orders: counts compared with a twin that visits each word, and models of known laws."""

from collections.abc import Callable, Sequence
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau

from eidolon.scorers.core.metric import JudgedSample
from eidolon.scorers.core.types import Judgement, Mention, Response
from eidolon.scorers.core.verdict import with_verdicts
from eidolon.scorers.forgetting.forced_orders import (
    ARMS,
    CELLS,
    COLUMNS,
    CONTRASTS,
    LEAST_IMAGES,
    LEAST_MENTIONS,
    QUANTITIES,
    WINDOW,
    ForcedTurn,
    ImageTruth,
    OrdersSummary,
    count,
    measure_orders,
)
from eidolon.scorers.forgetting.metric import Forgetting
from eidolon.scorers.forgetting.size_order import ordered_pairs
from eidolon.scorers.statistics.bootstrap import draws

CATEGORIES = ("bed", "bus", "car", "cat", "cup", "dog", "fork", "oven", "tie", "tv")


def mentions_of(text: str) -> tuple[Mention, ...]:
    """Return a mention for every word that is a category."""
    found, position = [], 0
    for index, word in enumerate(text.split()):
        start = text.index(word, position)
        position = start + len(word)
        if word in CATEGORIES:
            found.append(Mention(category=word, text=word, start=start, end=position, word=index))
    return tuple(found)


def judged(key: str, text: str, truth: ImageTruth) -> JudgedSample:
    judgement = Judgement(sample_id=key, image_id=key, mentions=mentions_of(text))
    response = Response(sample_id=key, image_id=key, response=text)
    return JudgedSample(response, with_verdicts(judgement, truth.objects), truth.objects, dict(truth.areas))


def naive_count(text: str, truth: ImageTruth, start: int, named: frozenset[str]) -> dict[str, float]:
    """The same as `count`, one word at a time."""
    words = text.split()
    before = set(named) | (set(words[:start]) & set(CATEGORIES))
    window = words[start : start + WINDOW]
    new: list[str] = []
    for word in window:
        if word in CATEGORIES and word not in before and word not in new:
            new.append(word)
    to_find = len(truth.objects - before)
    free = []
    forced = 0
    for word in new:
        if to_find == 0:
            forced += 1
            continue
        free.append(word in truth.objects)
        to_find -= word in truth.objects
    there = len(words) > start
    return {
        "turns": there,
        "before": start if there else 0,
        "mentions": len(free),
        "hallucinated": free.count(False),
        "forced": forced,
        "words": len(window),
        "left": len(truth.objects - before),
        "recalled": len(truth.objects & set(new)),
        "next": bool(free),
        "next_hallucinated": bool(free) and not free[0],
        "area": sum(area for name, area in truth.areas.items() if name not in before),
        "sized": sum(name not in before for name in truth.areas),
    }


words = st.lists(st.sampled_from([*CATEGORIES, "a", "the"]), max_size=90)


@given(words, st.sets(st.sampled_from(CATEGORIES), max_size=6), st.integers(0, 95), st.data())
def test_counts_are_those_of_a_walk_over_the_words(
    written: list[str], objects: set[str], start: int, data: st.DataObject
) -> None:
    sized = data.draw(st.sets(st.sampled_from(sorted(objects)))) if objects else set()
    named = frozenset(data.draw(st.sets(st.sampled_from(CATEGORIES), max_size=3)))
    truth = ImageTruth(frozenset(objects), dict.fromkeys(sized, 0.25))
    text = " ".join(written)
    found = dict(zip(COLUMNS, count(text, mentions_of(text), truth, start, named), strict=True))
    assert found == naive_count(text, truth, start, named)


def line(key: str, arm: int, named: Sequence[str], given: str, rest: str, **fields: object) -> ForcedTurn:
    text = f"{given} {rest}".strip()
    values: dict[str, object] = {
        "sample_id": key,
        "generation": arm,
        "image_id": key,
        "order": ARMS[arm][0],
        "late": ARMS[arm][1],
        "named": tuple(named),
        "given": given,
        "response": text,
        "finish_reason": "stop",
        "completion_tokens": None,
        "mentions": mentions_of(text),
    }
    return ForcedTurn.model_validate(values | fields)


Law = Callable[[int, float, int], float]
"""Returns the probability that the next mention is wrong, from the words before it, the size of the largest true
object left, and the number of objects left."""
LAWS: dict[str, tuple[Law, str]] = {
    "constant": (lambda words, size, left: 0.2, "neither shows"),
    "position": (lambda words, size, left: 0.1 if words < 40 else 0.5, "lateness, not what is left"),
    "difficulty": (lambda words, size, left: 0.1 if size > 0.1 else 0.5, "what is left, not lateness"),
    "both": (
        lambda words, size, left: 0.05 + 0.3 * (size <= 0.1) + 0.3 * (words >= 40),
        "both",
    ),
    "exhaustion": (lambda words, size, left: 0.8 - 0.25 * left, "neither shows"),
}


def simulate(law: Law, seed: int, images: int = 120) -> tuple[list[ForcedTurn], dict[str, ImageTruth]]:
    """Return turns of a model that names the largest object left, or with the law's probability one that is not
    there."""
    rng = np.random.default_rng(seed)
    lines, truth = [], {}
    for image in range(images):
        key = f"s{image:03}"
        objects = rng.permutation(CATEGORIES)[:6].tolist()
        areas = dict(zip(objects, (0.01, 0.02, 0.03, 0.2, 0.3, 0.4), strict=True))
        truth[key] = ImageTruth(frozenset(objects), areas)
        for arm, (order, late) in enumerate(ARMS):
            named = objects[:3] if order == "small" else objects[:2:-1]
            given = "so " * (WINDOW if late else 0) + "I see " + " ".join(named)
            seen, rest = [*named], ""
            for _ in range(rng.integers(2, 6)):
                left = sorted((set(objects) - {*seen}), key=areas.__getitem__)
                before = len(f"{given} {rest}".split())
                wrong = not left or rng.random() < law(before, areas[left[-1]], len(left))
                absent = [name for name in CATEGORIES if name not in objects and name not in seen]
                if wrong and not absent:
                    break
                seen.append(absent[int(rng.integers(len(absent)))] if wrong else left[-1])
                rest += f"there is a {seen[-1]} "
            lines.append(line(key, arm, named, given, rest))
    return lines, truth


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_it_tells_position_from_difficulty(name: str, seed: int) -> None:
    law, verdict = LAWS[name]
    found = measure_orders(*simulate(law, seed), {}, resamples=400)
    assert found.verdict == verdict
    assert (found.images, found.incomplete) == (120, 0)
    contrasts = {contrast.name: contrast for contrast in found.contrasts}
    wanted = {"difficulty": 0.4, "lateness": 0.4, "both": 0.3}
    for effect in ("difficulty", "lateness"):
        value = contrasts[effect].rate.value
        assert value is not None
        law_of = {"difficulty": "difficulty", "lateness": "position"}[effect]
        expected = wanted["both"] if name == "both" else wanted[effect] if name == law_of else 0.0
        assert value == pytest.approx(expected, abs=0.1)


def test_intervals_cover_what_is_not_there() -> None:
    excluded = {"difficulty": 0, "lateness": 0}
    seeds = 60
    for seed in range(seeds):
        found = measure_orders(*simulate(LAWS["constant"][0], 100 + seed, images=50), {}, resamples=200)
        for contrast in found.contrasts:
            if contrast.name in excluded:
                assert contrast.rate.ci is not None
                excluded[contrast.name] += not contrast.rate.ci[0] <= 0 <= contrast.rate.ci[1]
    # 60 draws of 5 % for two quantities: more than 9 happen once in a thousand.
    assert all(share <= 9 for share in excluded.values()), excluded


def naive_quantities(counted: Sequence[dict[str, float]]) -> dict[str, float]:
    total = {name: sum(one[name] for one in counted) for name in COLUMNS}
    return {
        "rate": total["hallucinated"] / total["mentions"],
        "per_100": 100 * (total["hallucinated"] + total["forced"]) / total["words"],
        "recall": total["recalled"] / total["left"],
        "next": total["next_hallucinated"] / total["next"],
    }


def test_cells_contrasts_and_intervals_against_plain_loops() -> None:
    lines, truth = simulate(LAWS["both"][0], 7, images=30)
    own = {
        key: judged(key, "so a " * 20 + " ".join(sorted(t.objects)[:4]) + " and so on" * 10 + " tie oven", t)
        for key, t in truth.items()
    }
    found = measure_orders(lines, truth, own, seed=5, resamples=50)
    counted: dict[tuple[str, tuple[str, bool]], dict[str, float]] = {}
    for one in lines:
        start = len(one.given.split())
        counted[one.sample_id, (one.order, one.late)] = naive_count(
            one.response or "", truth[one.sample_id], start, frozenset(one.named)
        )
    for key, late in product(truth, (False, True)):
        start = WINDOW * late + 5
        counted[key, ("own", late)] = naive_count(
            own[key].response.response or "", truth[key], start, frozenset()
        )
    keys = sorted(truth)

    def quantity(name: str, cell: tuple[str, bool], images: Sequence[str]) -> float:
        return naive_quantities([counted[key, cell] for key in images])[name]

    for cell in found.cells:
        for name in QUANTITIES:
            assert getattr(cell, name).value == pytest.approx(quantity(name, (cell.order, cell.late), keys))
        assert cell.mentions == sum(counted[key, (cell.order, cell.late)]["mentions"] for key in keys)
        assert cell.area_left == pytest.approx(
            sum(counted[key, (cell.order, cell.late)]["area"] for key in keys)
            / sum(counted[key, (cell.order, cell.late)]["sized"] for key in keys)
        )
    for contrast in found.contrasts:
        weights = CONTRASTS[contrast.name]
        for name in QUANTITIES:
            # Also in every resample, drawn by hand.
            values = [
                sum(w * quantity(name, cell, [keys[i] for i in drawn]) for cell, w in weights.items())
                for drawn in draws(len(keys), seed=5, resamples=50)
            ]
            number = getattr(contrast, name)
            expected = sum(w * quantity(name, cell, keys) for cell, w in weights.items())
            assert number.value == pytest.approx(expected)
            assert number.ci == pytest.approx((np.quantile(values, 0.025), np.quantile(values, 0.975)))
        assert contrast.rate.ci is not None
        spread = (contrast.rate.ci[1] - contrast.rate.ci[0]) / (2 * 1.96)
        assert contrast.detectable == pytest.approx(2.8 * spread)


def test_an_image_with_a_turn_that_could_not_be_judged_is_left_out() -> None:
    lines, truth = simulate(LAWS["both"][0], 3, images=20)
    wanted = measure_orders(lines[4:], truth, {}, resamples=20)
    broken = lines[2].model_copy(update={"unscored": "no response", "mentions": ()})
    for some in ([*lines[:2], broken, *lines[3:]], [*lines[:2], *lines[3:]]):
        found = measure_orders(some, truth, {}, resamples=20)
        assert (found.images, found.incomplete) == (19, 1)
        assert found.model_copy(update={"incomplete": 0}) == wanted


def test_what_is_too_little_says_so() -> None:
    lines, truth = simulate(LAWS["both"][0], 3, images=LEAST_IMAGES - 1)
    few = measure_orders(lines, truth, {}, resamples=20)
    assert (few.verdict, few.contrasts) == ("not measured", ())
    assert few.reason == f"{LEAST_IMAGES - 1} images, fewer than {LEAST_IMAGES}"
    assert few.cells[0].rate.value is not None
    nothing = measure_orders([], {}, {}, resamples=20)
    assert nothing.reason == "no picture has two true objects of known size"
    assert nothing.cells[0].rate.value is None
    silent = [
        one.model_copy(update={"response": one.given, "mentions": ()})
        for one in simulate(LAWS["both"][0], 3)[0]
    ]
    truth = simulate(LAWS["both"][0], 3)[1]
    found = measure_orders(silent, truth, {}, resamples=20)
    assert found.verdict == "not measured"
    assert {contrast.rate.value for contrast in found.contrasts} == {None}
    assert found.contrasts[0].reason is not None
    assert f"0 first mentions, fewer than {LEAST_MENTIONS}" in found.contrasts[0].reason
    assert OrdersSummary.model_validate_json(found.model_dump_json()) == found


def test_every_cell_counts_in_some_contrast() -> None:
    assert {cell for weights in CONTRASTS.values() for cell in weights} == set(CELLS)
    assert all(sum(weights.values()) == 0 for weights in CONTRASTS.values())


@given(st.permutations(CATEGORIES[:6]), st.integers(2, 6))
def test_the_order_by_size_is_kendalls_correlation(order: list[str], named: int) -> None:
    areas = {name: 0.05 * i for i, name in enumerate(CATEGORIES[:6])}
    text = " and ".join(
        [*order[:named], "tv", order[0]]
    )  # a wrong one and a repeated one, which are not counted
    one = judged("a", text, ImageTruth(frozenset(CATEGORIES[:6]), areas))
    smaller, larger = ordered_pairs(one)
    expected = kendalltau([areas[name] for name in order[:named]], range(named)).statistic
    assert (smaller - larger) / (smaller + larger) == pytest.approx(expected)
    metric = Forgetting()
    totals = metric.statistics([one, one]).sum(axis=0)
    assert metric.compute(totals)["size_order"] == pytest.approx(expected)


def test_sizes_that_are_not_known_or_equal_have_no_order() -> None:
    truth = ImageTruth(frozenset({"cat", "dog", "cup"}), {"cat": 0.1, "dog": 0.1})
    assert ordered_pairs(judged("a", "dog cup cat", truth)) == (0, 0)
    assert ordered_pairs(judged("a", "", truth)) == (0, 0)
