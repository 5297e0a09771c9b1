import numpy as np
import pytest
from scipy.optimize import minimize

from eidolon.scorers.discovery.contexts import Contexts, NounVectors
from eidolon.scorers.discovery.open_set import (
    RIDGE,
    Evidence,
    NounMentions,
    fit_logistic,
    fit_open_set,
    known_probabilities,
)


def nouns(vectors: np.ndarray, contexts: np.ndarray | None = None) -> NounVectors:
    """Return nouns with two mentions each, whose contexts are their vectors unless given."""
    size = len(vectors)
    around = np.repeat(vectors, 2, axis=0) if contexts is None else contexts
    names = tuple(map(str, range(size)))
    return NounVectors(
        names, (2,) * size, (2,) * size, vectors, names, Contexts(np.repeat(np.arange(size), 2), around)
    )


def test_newton_finds_the_least_penalised_loss() -> None:
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.normal(size=(40, 3)), np.ones(40)])
    y = (rng.random(40) < 0.4).astype(float)
    weight = rng.uniform(0.5, 2, 40)

    def loss(w: np.ndarray) -> float:
        total = RIDGE / 2 * sum(v * v for v in w[:-1])
        for row, right, much in zip(x, y, weight, strict=True):
            p = 1 / (1 + np.exp(-sum(a * b for a, b in zip(row, w, strict=True))))
            total -= much * np.log(p if right else 1 - p)
        return total

    np.testing.assert_allclose(fit_logistic(x, y, weight), minimize(loss, np.zeros(4)).x, atol=1e-3)


@pytest.mark.parametrize("evidence", ["cosine", "nouns", "mentions"])
def test_what_is_near_known_nouns_is_likelier_known(evidence: Evidence) -> None:
    rng = np.random.default_rng(1)
    known = np.eye(6)[[0, 0, 0, 1, 1, 1]] + 0.1 * rng.normal(size=(6, 6))
    proxies = np.eye(6)[[2, 3, 4, 5] * 4] + 0.1 * rng.normal(size=(16, 6))
    found = nouns(np.concatenate([known, proxies, np.eye(6)[[1]]]))
    chances = known_probabilities(found, range(6), range(6, 23), evidence)
    assert chances[-1] is not None
    assert all(one is not None and one < chances[-1] for one in chances[:-1])
    if evidence != "cosine":
        model = fit_open_set(NounMentions.of(found, range(6)), NounMentions.of(found, range(6, 22)), evidence)
        inside, outside = model.of_nouns(NounMentions.of(nouns(np.eye(6)[[0, 2]]), [0, 1]))
        assert inside > 0.8
        assert outside < 0.2


def test_a_mention_is_judged_by_its_own_context() -> None:
    rng = np.random.default_rng(2)
    # The vectors of nouns say nothing. Known nouns are named in one kind of context, proxies in another.
    vectors = rng.normal(size=(21, 4))
    contexts = np.eye(2)[np.repeat([0] * 10 + [1] * 10 + [0], 2)] + 0.1 * rng.normal(size=(42, 2))
    contexts[-1] = [0, 1]  # the last noun's second mention is as those of proxies
    found = nouns(vectors, contexts)
    model = fit_open_set(NounMentions.of(found, range(10)), NounMentions.of(found, range(10, 20)), "mentions")
    asked = NounMentions.of(found, [20])
    one, other = model.of_mentions(asked)
    assert one > 0.7
    assert other < 0.3
    assert model.of_nouns(asked) == pytest.approx([(one + other) / 2])


def test_features_are_those_of_loops() -> None:
    """Naive twin: each cosine alone, own noun left out."""
    rng = np.random.default_rng(3)
    found = nouns(rng.normal(size=(9, 3)), rng.normal(size=(18, 4)))
    known, proxies = range(4), range(4, 9)
    model = fit_open_set(NounMentions.of(found, known), NounMentions.of(found, proxies), "mentions")

    def cosine(a: np.ndarray, b: np.ndarray) -> float:
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    def features(noun: int, mention: int) -> list[float]:
        around = found.contexts.vectors
        sides = [[row for row in side if row != noun] for side in (known, proxies)]
        own = [max(cosine(found.vectors[noun], found.vectors[row]) for row in side) for side in sides]
        return own + [
            max(cosine(around[mention], around[2 * row] + around[2 * row + 1]) for row in side)
            for side in sides
        ]

    rows = np.array([features(mention // 2, mention) for mention in range(18)])
    side = np.array([4] * 8 + [5] * 10)
    np.testing.assert_allclose(model.mean, rows.mean(axis=0))
    x = np.column_stack([(rows - model.mean) / model.scale, np.ones(18)])
    weights = fit_logistic(x, (side == 4).astype(float), 9 / (4 * side))
    np.testing.assert_allclose(model.weights, weights, atol=1e-6)


@pytest.mark.parametrize(("known", "unknown"), [(4, 20), (20, 9)])
def test_too_few_nouns_give_null(known: int, unknown: int) -> None:
    found = nouns(np.random.default_rng(0).normal(size=(known + unknown, 3)))
    rows = range(known), range(known, known + unknown)
    assert known_probabilities(found, *rows, "nouns") == [None] * unknown
