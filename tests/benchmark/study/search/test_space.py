"""The space of a search, Pareto fronts and expert rules, each beside a naive twin."""

from itertools import product

import numpy as np
import pytest
from pydantic import ValidationError

from eidolon.benchmark.study.search.pareto import front_ranks, is_dominated, spread
from eidolon.benchmark.study.search.rules import find_rules, prior
from eidolon.benchmark.study.search.space import SearchedLayout, SearchSpace
from eidolon.models.memory.layout import layout_text


def point(layout: str, width: int = 32) -> SearchedLayout:
    return SearchedLayout.model_validate({"layout": layout, "width": width})


def test_the_grammar_gives_repeated_blocks() -> None:
    space = SearchSpace(symbols=("*", "GDN"), widths=(16,), depth=4, before=3)
    found = {layout_text(layout) for layout in space.layouts}
    # By hand: blocks A…AB of one to four layers, repeated to at most four layers.
    assert found == {
        "*", "GDN",
        "*-*", "GDN-GDN", "*-GDN", "GDN-*",
        "*-*-*", "GDN-GDN-GDN", "*-*-GDN", "GDN-GDN-*",
        "*-*-*-*", "GDN-GDN-GDN-GDN", "*-GDN-*-GDN", "GDN-*-GDN-*", "*-*-*-GDN", "GDN-GDN-GDN-*",
    }  # fmt: skip
    assert space.reference == point("*-*-*-*", 16)


def test_widths_fill_vectors() -> None:
    with pytest.raises(ValidationError, match="width 24: must be a multiple of the vector width, 16"):
        SearchSpace(widths=(32, 24), lanes=16)


def test_a_neighbour_is_one_edit_away() -> None:
    space = SearchSpace(symbols=("*", "GDN", "SWA"), widths=(16, 32), depth=3)
    start = point("GDN-*", 16)
    neighbours = space.neighbours(start)
    assert point("GDN-*", 32) in neighbours
    assert point("SWA-*", 16) in neighbours
    assert point("*", 16) in neighbours
    assert point("GDN-GDN-*", 16) in neighbours
    assert start not in neighbours
    assert point("SWA-*", 32) not in neighbours, "layout and width at once"
    assert point("*-GDN", 16) not in neighbours, "two edits"


def dominates(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return all(a <= b for a, b in zip(one, other, strict=True)) and one != other


def test_the_front_equals_brute_force() -> None:
    rows = [tuple(map(float, row)) for row in np.random.default_rng(0).integers(0, 5, (60, 3))]
    assert list(is_dominated(rows)) == [any(dominates(other, row) for other in rows) for row in rows]
    left, ranks, rank = set(range(len(rows))), {}, 0
    while left:
        front = {i for i in left if not any(dominates(rows[j], rows[i]) for j in left)}
        ranks |= dict.fromkeys(front, rank)
        left, rank = left - front, rank + 1
    assert list(front_ranks(rows)) == [ranks[i] for i in range(len(rows))]


def test_finalists_span_the_values() -> None:
    assert spread([5.0, 1.0, 3.0, 2.0, 4.0], 3) == [1, 2, 0]
    assert spread([5.0, 1.0], 4) == [1, 0]


def test_rules_find_what_makes_recall() -> None:
    """Attention anywhere adds 0.5, the larger width 0.2; the rest changes nothing."""
    symbols = ("*", "GDN", "SWA", "M2")
    recalls = {
        point(f"{a}-{b}", width): 0.2 + 0.5 * ("*" in (a, b)) + 0.2 * (width == 64)
        for a, b, width in product(symbols, symbols, (32, 64))
    }
    found = find_rules(recalls)
    effects = {rule.feature: rule.effect for rule in found.rules}
    assert effects["any *"] == pytest.approx(0.5)
    wider = effects.get("width 64", -effects.get("width 32", 0.0))
    assert wider == pytest.approx(0.2)
    assert len(effects) == 2
    for candidate, recall in recalls.items():
        assert found.promise(candidate) == pytest.approx(recall)


def test_noise_gives_no_rules() -> None:
    symbols = ("*", "GDN", "SWA", "M2", "GKA", "BMF", "BM")
    same = {point(f"{a}-{b}"): 0.5 for a, b in product(symbols, symbols)}
    assert find_rules(same).rules == ()


def test_the_prior_prefers_what_the_rules_promise() -> None:
    space = SearchSpace(symbols=("*", "GDN"), widths=(16,), depth=2)
    recalls = {p: 0.1 + 0.8 * ("*" in p.layout) for p in SearchSpace(symbols=("*", "GDN", "SWA")).points}
    chances = prior(find_rules(recalls), space.points)
    assert sum(chances.values()) == pytest.approx(1)
    assert chances[point("GDN-*", 16)] / chances[point("GDN", 16)] == pytest.approx(np.exp(4 * 0.8), rel=1e-3)
    assert set(prior(None, space.points).values()) == {1 / len(space.points)}
