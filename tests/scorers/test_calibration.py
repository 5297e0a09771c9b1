"""Agreement of voters against Fleiss' own example and a naive twin."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from eidolon.scorers.calibration import calibrate, fleiss_kappa


def naive_kappa(votes: np.ndarray) -> float | None:
    """Kappa from the definition, pair of voters by pair of voters; votes is (voters, cells)."""
    pairs = list(itertools.combinations(range(len(votes)), 2))
    if not pairs or not votes.shape[1]:
        return None
    observed = np.mean([votes[a] == votes[b] for a, b in pairs])
    share = votes.mean()
    chance = share**2 + (1 - share) ** 2
    return None if chance == 1 else (observed - chance) / (1 - chance)


def test_worked_by_hand() -> None:
    """Three voters on three cells, 3, 1 and 0 yes votes: P = (1 + 1/3 + 1)/3, p = 4/9."""
    chance = (4 / 9) ** 2 + (5 / 9) ** 2
    assert fleiss_kappa(np.array([3, 1, 0]), 3) == pytest.approx((7 / 9 - chance) / (1 - chance))


@pytest.mark.parametrize(("yes", "voters"), [([3, 3], 3), ([0], 3), ([], 3), ([1, 0], 1)])
def test_undefined_where_nothing_can_be_said(yes: list[int], voters: int) -> None:
    assert fleiss_kappa(np.array(yes, dtype=np.int64), voters) is None


@given(arrays(bool, array_shapes(min_dims=4, max_dims=4, max_side=3)))
def test_equals_its_naive_twin(votes: np.ndarray) -> None:
    judges, formats, images, categories = votes.shape
    names = tuple(f"judge{i}" for i in range(judges))
    ignored = np.zeros((images, categories), dtype=bool)
    found = calibrate(votes, names, ignored, 1)
    flat = votes.reshape(judges * formats, -1)
    wanted = naive_kappa(flat)
    if wanted is None or found.fleiss_kappa is None:
        assert wanted is found.fleiss_kappa is None
    else:
        assert found.fleiss_kappa == pytest.approx(wanted, abs=1e-9)
    assert found.ignored == 0
    assert found.voters == judges * formats
    for i, name in enumerate(names):
        assert found.judges[name].yes_rate == pytest.approx(votes[i].mean())
        assert found.judges[name].yes_rate_by_format == pytest.approx(votes[i].mean(axis=(1, 2)))
    assert found.yes_rate_by_format == pytest.approx(votes.mean(axis=(0, 2, 3)))
    for pair, (a, b) in zip(found.pairwise_agreement, itertools.combinations(range(judges), 2), strict=True):
        assert pair.judges == (names[a], names[b])
        assert pair.agreement == pytest.approx((votes[a] == votes[b]).mean())


@given(st.integers(2, 9), st.lists(st.integers(0, 9), min_size=1))
def test_at_most_one(voters: int, yes: list[int]) -> None:
    kappa = fleiss_kappa(np.minimum(np.array(yes), voters), voters)
    assert kappa is None or (kappa <= 1 + 1e-12 and not math.isnan(kappa))
