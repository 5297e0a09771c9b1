"""Associative recall: the sequences against an independent reader, and the measure."""

import itertools
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eidolon.benchmark.study.recall.detail import measure_kind
from eidolon.benchmark.study.recall.task import FILLERS, POWER, Filler, Task, make_sequences, measure_recall

TASK = Task(keys=12, values=9, filler_tokens=5)


def read(task: Task, tokens: list[int]) -> list[tuple[int, int, int]]:
    """Return (query, source, answer) of each query, found by reading from left to right."""
    told: dict[int, int] = {}
    asked = []
    for place, token in enumerate(tokens):
        if token >= task.keys:
            continue
        if token in told:
            asked.append((place, told[token], tokens[told[token]]))
        else:
            told[token] = place + 1
    return asked


@settings(max_examples=60, deadline=None)
@given(
    pairs=st.integers(1, 9),
    filler=st.sampled_from(FILLERS),
    share=st.floats(0, 0.8),
    seed=st.integers(0, 2**32),
)
def test_every_answer_is_the_value_of_the_key(pairs: int, filler: Filler, share: float, seed: int) -> None:
    task = TASK.model_copy(update={"filler_share": share})
    drawn = make_sequences(task, pairs, filler, 4, [seed])
    for row in range(4):
        tokens = drawn.tokens[row].tolist()
        asked = read(task, tokens)
        assert drawn.queries[row].tolist() == [query for query, _, _ in asked]
        assert drawn.sources[row].tolist() == [source for _, source, _ in asked]
        assert drawn.answers[row].tolist() == [answer for _, _, answer in asked]
        # The value follows the key, in the pair and in the query.
        assert all(
            tokens[query + 1] == answer and tokens[source - 1] == tokens[query]
            for query, source, answer in asked
        )
        assert drawn.distances[row].tolist() == [query - source for query, source, _ in asked]
        keys = [token for token in tokens if token < task.keys]
        values = [token for token in tokens if task.keys <= token < task.keys + task.values]
        rest = [token for token in tokens if token >= task.keys + task.values]
        assert sorted(Counter(keys).values()) == sorted(Counter(values).values()) == [2] * pairs
        assert all(token < task.vocabulary for token in rest)
        half = len(tokens) // 2
        assert len({token for token in tokens[:half] if token < task.keys}) == pairs, (
            "all pairs come before the first query"
        )
        places = pairs if filler == "none" else round(pairs / (1 - share))
        assert len(tokens) == 4 * places
        assert len(rest) == 4 * (places - pairs)


def test_the_same_arguments_give_the_same_sequences() -> None:
    first, again, other = (make_sequences(TASK, 4, "noise", 3, [seed]).tokens for seed in (1, 1, 2))
    assert (first == again).all()
    assert not (first == other).all()


def test_the_filler_is_a_walk_or_noise() -> None:
    follows = {}
    for filler in ("predictable", "noise"):
        drawn = make_sequences(TASK, 6, filler, 200, [0])
        rows = [[token - 21 for token in row if token >= 21] for row in drawn.tokens.tolist()]
        steps = [(b - a) % 5 for row in rows for a, b in itertools.pairwise(row)]
        follows[filler] = steps.count(1) / len(steps)
        assert {token for row in rows for token in row} == set(range(5))
    assert follows["predictable"] == 1
    assert abs(follows["noise"] - 1 / 5) < 0.03


def test_queries_come_early_by_a_power_law() -> None:
    task = TASK.model_copy(update={"filler_share": 0.75})
    drawn = make_sequences(task, 1, "noise", 4000, [0])
    places = Counter(((drawn.queries[:, 0] - 8) // 2).tolist())
    weights = [place ** (POWER - 1) for place in range(1, 5)]
    for place, weight in enumerate(weights):
        assert abs(places[place] / 4000 - weight / sum(weights)) < 0.03


@pytest.mark.parametrize("pairs", [0, 10])
def test_impossible_numbers_of_pairs_are_refused(pairs: int) -> None:
    with pytest.raises(ValueError, match=rf"pairs={pairs}: must be from 1 to 9"):
        make_sequences(TASK, pairs, "none", 1, [0])


@settings(max_examples=20, deadline=None)
@given(data=st.data(), sequences=st.integers(2, 6), pairs=st.integers(1, 4))
def test_recall_equals_a_manual_count(data: st.DataObject, sequences: int, pairs: int) -> None:
    flags = st.lists(st.booleans(), min_size=sequences * pairs, max_size=sequences * pairs)
    right = np.array(data.draw(flags)).reshape(sequences, pairs)
    chosen = np.array(data.draw(flags)).reshape(sequences, pairs)
    cells = [(i, j) for i in range(sequences) for j in range(pairs) if chosen[i, j]]
    found = measure_recall(right, chosen)
    if not cells:
        assert found is None
        return
    assert found is not None
    assert found.queries == len(cells)
    assert found.value == round(float(Fraction(sum(bool(right[cell]) for cell in cells), len(cells))), 4)
    if found.ci is not None:
        assert 0 <= found.ci[0] <= found.ci[1] <= 1


def test_the_interval_is_a_bootstrap_over_sequences() -> None:
    right = np.random.default_rng(0).random((30, 5)) < np.linspace(0.1, 0.9, 30)[:, None]
    found = measure_recall(right)
    generator = np.random.Generator(np.random.PCG64(0))
    shares = [right[generator.integers(30, size=30)].mean() for _ in range(2000)]
    assert found is not None
    assert found.ci is not None
    assert np.allclose(found.ci, np.quantile(shares, [0.025, 0.975]), atol=6e-5)
    single = measure_recall(right[:1])
    assert single is not None
    assert single.ci is None


def test_by_distance_every_query_counts_once() -> None:
    test = make_sequences(TASK, 6, "noise", 40, [0])
    right = np.random.default_rng(1).random(test.queries.shape) < 0.5
    kind = measure_kind("noise", 6, right, test, window=5)
    assert [(part.first, part.last) for part in kind.by_distance] == [(1, 4), (5, 9), (10, 19), (20, None)]
    total = 0
    for part in kind.by_distance:
        hits = [
            bool(right[i, j])
            for i in range(40)
            for j in range(6)
            if part.first <= test.queries[i, j] - test.sources[i, j] <= (part.last or 10**9)
        ]
        assert part.recall is not None
        assert part.recall.queries == len(hits) > 0
        assert part.recall.value == round(sum(hits) / len(hits), 4)
        total += len(hits)
    assert total == kind.recall.queries == 240
