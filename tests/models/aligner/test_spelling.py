"""Letters by place: the sums over all paths of CTC, against every path written out."""

from itertools import groupby, product

import pytest
import torch
from torch import Tensor

from eidolon.models.aligner.spelling import (
    LETTERS,
    PLACES,
    best_words,
    both_ends,
    letters_by_place,
    padded_symbols,
    spell,
)


def by_enumeration(frames: Tensor, places: int) -> Tensor:
    """Return what `letters_by_place` does, path by path."""
    n, length, symbols = frames.shape
    found = torch.zeros(n, places, symbols - 1)
    for row in range(n):
        for path in product(range(symbols), repeat=length):
            probability = torch.stack([frames[row, t, symbol] for t, symbol in enumerate(path)]).prod()
            word = [symbol for symbol, _ in groupby(path) if symbol != 0]
            for place, symbol in enumerate(word[:places]):
                found[row, place, symbol - 1] += probability
    return found


@pytest.mark.parametrize("places", [1, 2, 5])
def test_letters_by_place_are_the_sum_over_all_paths(places: int) -> None:
    generator = torch.Generator().manual_seed(0)
    frames = torch.randn(2, 5, 4, generator=generator).mul(2).softmax(-1)
    torch.testing.assert_close(letters_by_place(frames, places), by_enumeration(frames, places))


def frames_of(path: str) -> Tensor:
    """Return certain frames, log probabilities (1, frames, 1 + letters); a dot is a blank."""
    frames = torch.full((1, len(path), 1 + len(LETTERS)), -1e4)
    for t, symbol in enumerate(path):
        frames[0, t, 0 if symbol == "." else 1 + LETTERS.index(symbol)] = 0
    return frames


def test_a_certain_path_is_spelled_as_its_word() -> None:
    """Repeated symbols are one letter, but not across a blank."""
    read = frames_of(".NN.OO.O.D.L.EE")
    assert best_words(read) == ["NOODLE"]
    torch.testing.assert_close(both_ends(read), spell(["noodle"]))
    torch.testing.assert_close(both_ends(frames_of("...")), spell([""]))


def test_texts_are_spelled_from_both_ends() -> None:
    found = spell(["Äb!", "abcdefghijklmnop"])
    assert found.shape == (2, 2, PLACES, len(LETTERS))
    assert found[0].nonzero().tolist() == [[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0]]
    assert found[1].sum() == 2 * PLACES
    assert found[1, 1, 0].argmax() == LETTERS.index("P")


def test_symbols_are_padded() -> None:
    rows, lengths = padded_symbols(["AB", "", "a c"])
    assert rows.tolist() == [[1, 2], [0, 0], [1, 3]]
    assert lengths.tolist() == [2, 0, 2]
    assert padded_symbols([])[0].shape == (0, 0)
