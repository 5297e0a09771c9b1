"""Agreement of voters, compared with Fleiss' own example and a naive twin."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from eidolon.scorers.core.types import Response
from eidolon.scorers.judges.agreement import by_position, calibrate, first_parts, fleiss_kappa
from eidolon.scorers.judges.lexicon import LexiconJudge


def naive_kappa(votes: np.ndarray) -> float | None:
    """Kappa from its definition, one pair of voters at a time. `votes` has shape (voters, cells)."""
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
def test_kappa_may_be_undefined(yes: list[int], voters: int) -> None:
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


VOCABULARY = ("dog", "cat", "cup")
TEXTS = ("A dog lies on a soft mat near a cup.", "A cat. The cat has a dog.")


def test_position_worked_by_hand() -> None:
    """The example of docs/reference/judge-qa.md, with two judges and one format.

    Of 36 characters, dog at 2 is in the first fifth and cup at 32 in the last. Of 25, cat at 2 is in the first and dog
    at 21 in the last.
    """
    responses = [Response(sample_id=str(i), image_id=i, response=text) for i, text in enumerate(TEXTS)]
    parts = first_parts(responses, LexiconJudge(), VOCABULARY)
    assert parts.tolist() == [[0, -1, 4], [4, 0, -1]]
    votes = np.array(
        [
            [[[1, 0, 0], [0, 1, 0]]],  # the first judge: dog in the first response, cat in the second
            [[[1, 0, 1], [0, 1, 1]]],  # the second judge: the cups too; the second is never named
        ],
        dtype=bool,
    )
    ignored = votes.sum(axis=(0, 1)) == 1
    found = by_position(votes, ("a", "b"), ignored, parts, "lexicon").parts
    first, last = found[0], found[4]
    assert (first.cells, first.yes_rate, first.pairwise_agreement[0].agreement) == (2, 1, 1)
    assert (first.fleiss_kappa, first.ignored) == (None, 0)
    assert (last.cells, last.yes_rate, last.pairwise_agreement[0].agreement) == (2, 1 / 4, 1 / 2)
    assert last.yes_rate_by_judge == {"a": 0, "b": 1 / 2}
    assert last.fleiss_kappa == pytest.approx((1 / 2 - 10 / 16) / (1 - 10 / 16))
    assert last.ignored == 1 / 2
    assert [part.cells for part in found] == [2, 0, 0, 0, 2]
    assert found[1].yes_rate is None


@given(
    arrays(bool, array_shapes(min_dims=4, max_dims=4, max_side=3)).flatmap(
        lambda votes: st.tuples(
            st.just(votes),
            arrays(np.int64, votes.shape[2:], elements=st.integers(-1, 4)),
            arrays(bool, votes.shape[2:]),
        )
    )
)
def test_positions_equal_their_naive_twin(drawn: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    votes, parts, ignored = drawn
    judges, formats, images, categories = votes.shape
    names = tuple(f"judge{i}" for i in range(judges))
    for number, found in enumerate(by_position(votes, names, ignored, parts, "").parts):
        cells = [(i, c) for i in range(images) for c in range(categories) if parts[i, c] == number]
        assert found.cells == len(cells)
        said = [[bool(votes[j, m, i, c]) for m in range(formats) for i, c in cells] for j in range(judges)]
        for name, of_one in zip(names, said, strict=True):
            assert found.yes_rate_by_judge[name] == (np.mean(of_one) if cells else None)
        for pair, (a, b) in zip(found.pairwise_agreement, itertools.combinations(said, 2), strict=True):
            same = [x == y for x, y in zip(a, b, strict=True)]
            assert pair.agreement == (sum(same) / len(same) if cells else None)
        wanted = naive_kappa(
            np.array([[votes[j, m, i, c] for i, c in cells] for j in range(judges) for m in range(formats)])
        )
        assert (found.fleiss_kappa is None) == (wanted is None)
        assert wanted is None or found.fleiss_kappa == pytest.approx(wanted, abs=1e-9)
        assert found.ignored == (sum(ignored[i, c] for i, c in cells) / len(cells) if cells else None)
