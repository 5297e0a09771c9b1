"""The store's two functions against a loop that adds one token at a time."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from eidolon.models.memory.store import EMPTY, largest_indices, readable_mask

# Few different values, so that there are many ties; None is padding.
SCORES = st.lists(st.one_of(st.none(), st.integers(0, 4)), min_size=1, max_size=24)


class Shelf:
    """Keeps (time, score) of at most `size` tokens: a full one removes its worst, the newest of equal ones."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.entries: list[tuple[int, int]] = []

    def put(self, time: int, score: int | None) -> None:
        if score is None:
            return
        self.entries.append((time, score))
        if len(self.entries) > self.size:
            worst = self.entries[0]
            for other in self.entries:
                if other[1] <= worst[1]:
                    worst = other
            self.entries.remove(worst)

    def times(self) -> list[int]:
        return [time for time, _ in self.entries]


def as_scores(scores: list[int | None]) -> Tensor:
    return torch.tensor([[EMPTY if score is None else float(score) for score in scores]])


@given(SCORES, st.integers(1, 6), st.lists(st.integers(1, 9), max_size=6))
@settings(max_examples=150, deadline=None)
def test_entering_in_pieces_is_entering_one_by_one(
    scores: list[int | None], size: int, lengths: list[int]
) -> None:
    shelf = Shelf(size)
    times = torch.full((1, size), -1)
    stored = torch.full((1, size), EMPTY)
    start = 0
    for length in [*lengths, len(scores)]:
        piece = scores[start : start + length]
        if not piece:
            break
        entering = as_scores(piece)
        candidates = torch.cat([times, torch.arange(start, start + len(piece))[None]], 1)[0]
        mask = readable_mask(stored, entering, size)
        assert mask.shape == (1, len(piece), size + len(piece))
        for t, score in enumerate(piece):
            shelf.put(start + t, score)
            assert candidates[mask[0, t]].tolist() == shelf.times()
            assert len(shelf.entries) <= size
        every = torch.cat([stored, entering], 1)
        kept = largest_indices(every, size)
        stored, times = every.gather(1, kept), candidates[None].gather(1, kept)
        start += len(piece)
        assert times[0, stored[0] > EMPTY].tolist() == shelf.times()
    assert start == len(scores)


@given(SCORES, st.integers(1, 6))
@settings(max_examples=100, deadline=None)
def test_the_content_is_the_largest_of_all(scores: list[int | None], size: int) -> None:
    """It depends on the sequence only: sorting once at the end gives the same."""
    entered = [(-score, time) for time, score in enumerate(scores) if score is not None]
    expected = sorted(time for _, time in sorted(entered)[:size])
    mask = readable_mask(torch.full((1, size), EMPTY), as_scores(scores), size)
    assert (mask[0, -1].nonzero()[:, 0] - size).tolist() == expected
    if len(scores) >= size:
        kept = largest_indices(as_scores(scores), size)[0]
        assert kept.tolist() == sorted(kept.tolist())
        assert [int(i) for i in kept if scores[int(i)] is not None] == expected


@given(
    st.lists(SCORES.filter(lambda s: len(s) >= 3).map(lambda s: s[:3]), min_size=2, max_size=4),
    st.integers(1, 4),
)
@settings(max_examples=50, deadline=None)
def test_rows_do_not_mix(rows: list[list[int | None]], size: int) -> None:
    entering = torch.cat([as_scores(row) for row in rows])
    together = readable_mask(torch.full((len(rows), size), EMPTY), entering, size)
    for row, scores in enumerate(rows):
        alone = readable_mask(torch.full((1, size), EMPTY), as_scores(scores), size)
        assert torch.equal(together[row], alone[0])


def test_a_removed_token_never_returns() -> None:
    mask = readable_mask(torch.tensor([[1.0]]), torch.tensor([[2.0, 0.0, 3.0, 2.5]]), 1)[0]
    assert mask.int().tolist() == [[0, 1, 0, 0, 0], [0, 1, 0, 0, 0], [0, 0, 0, 1, 0], [0, 0, 0, 1, 0]]


def test_not_a_number_is_never_read() -> None:
    assert not readable_mask(torch.full((1, 1), EMPTY), torch.tensor([[torch.nan]]), 1).any()
