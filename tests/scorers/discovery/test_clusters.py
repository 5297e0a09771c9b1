from collections import Counter
from itertools import combinations

import numpy as np
import pytest

from eidolon.scorers.discovery.clusters import (
    cut,
    fit_projection,
    learn_grouping,
    pair_gradient,
    pair_loss,
    pairwise_f1,
)
from eidolon.scorers.discovery.contexts import ppmi
from eidolon.scorers.discovery.supercategories import SUPERCATEGORY
from eidolon.scorers.text.lexicon import load_lexicon


def test_pairwise_f1_counts_pairs() -> None:
    rng = np.random.default_rng(0)
    truth, found = rng.integers(0, 4, 30), rng.integers(0, 6, 30)
    pairs = [(truth[i] == truth[j], found[i] == found[j]) for i, j in combinations(range(30), 2)]
    both = sum(a and b for a, b in pairs)
    assert pairwise_f1(truth, found) == pytest.approx(
        2 * both / (sum(a for a, _ in pairs) + sum(b for _, b in pairs))
    )
    assert pairwise_f1(np.array([0, 1]), np.array([0, 1])) == 0  # no pair


def test_gradient_by_differences() -> None:
    rng = np.random.default_rng(1)
    x, projection = rng.normal(size=(7, 3)) / 2, rng.normal(size=(3, 3))
    groups = np.array([0, 0, 1, 1, 1, 2, 2])
    same = groups[:, None] == groups[None]
    weight = np.where(same, 0.3, 0.1) * ~np.eye(7, dtype=bool)
    found = pair_gradient(x, projection, same, weight)
    for i, j in np.ndindex(3, 3):
        step = np.zeros((3, 3))
        step[i, j] = 1e-5
        up, down = (pair_loss(x, projection + sign * step, same, weight) for sign in (1, -1))
        assert found[i, j] == pytest.approx((up - down) / 2e-5, rel=1e-4, abs=1e-6)


def test_the_projection_drops_what_does_not_separate() -> None:
    rng = np.random.default_rng(2)
    groups = np.repeat(np.arange(6), 5)
    centres = rng.normal(size=(6, 3))
    # Three axes say the group, three are noise of the same size.
    x = np.concatenate([centres[groups] + 0.05 * rng.normal(size=(30, 3)), rng.normal(size=(30, 3))], axis=1)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    projection = fit_projection(x, groups)
    assert np.linalg.norm(projection[:3]) > 1.5 * np.linalg.norm(projection[3:])
    assert learn_grouping(x, groups.tolist()).f1 >= learn_grouping(x, groups.tolist(), project=False).f1


def test_cut_by_hand() -> None:
    points = np.array([[0.0], [1.0], [5.0]])
    assert len(set(cut(points, 0.5))) == 3
    near = cut(points, 1.0)
    assert near[0] == near[1] != near[2]
    # The average distance of {0, 1} to 5 is 4.5.
    assert len(set(cut(points, 4.4))) == 2
    assert len(set(cut(points, 4.5))) == 1


def test_one_group_is_too_little() -> None:
    with pytest.raises(ValueError, match="fewer than two groups"):
        learn_grouping(np.eye(3), [1, 1, 1])


def test_ppmi_by_hand() -> None:
    table = ppmi(["cup", "dog"], {"cup": Counter(red=3, big=1), "dog": Counter(big=2)})
    # Total 6; cup 4, dog 2; red 3, big 3. red: 3 / (4·3/6) = 1.5; big at cup: 1 / 2; big at dog: 2 / 1.
    assert table[0, 0] == pytest.approx(np.log(1.5))
    assert table[0, 1] == 0
    assert table[1].tolist() == pytest.approx([0, np.log(2)])


def test_supercategories_are_of_the_vocabulary() -> None:
    assert SUPERCATEGORY.keys() == set(load_lexicon("coco80").vocabulary)
    assert len(set(SUPERCATEGORY.values())) == 12
