"""Which letter is at which place of a name: of a text, and of what a network reads frame by frame.

A network that is trained with CTC (Graves et al., ICML 2006) gives each frame of a crop a distribution over the letters
and a blank. Frames are independent; a word is what is left when repeated symbols are joined and blanks removed.
"""

import unicodedata
from collections.abc import Sequence
from string import ascii_uppercase

import torch
from torch import Tensor
from torch.nn import functional

LETTERS = ascii_uppercase
BLANK = 0
"""The symbol for no letter. Letter number i of LETTERS is symbol i + 1."""
PLACES = 12
"""Places that are compared from the first letter on, and as many from the last letter back."""


def symbols(text: str) -> list[int]:
    """Return the symbols of the letters of a text. Case and accents are ignored, and whatever is not in LETTERS."""
    plain = unicodedata.normalize("NFKD", text).upper()
    return [LETTERS.index(character) + 1 for character in plain if character in LETTERS]


def spell(texts: Sequence[str]) -> Tensor:
    """Return 1 where a text has a letter at a place, float32 (texts, 2, PLACES, letters).

    Places count from the first letter on, then from the last letter back.
    """
    found = torch.zeros(len(texts), 2, PLACES, len(LETTERS))
    for row, text in zip(found, texts, strict=True):
        for side, word in zip(row, (symbols(text), symbols(text)[::-1]), strict=True):
            for place, symbol in zip(side, word, strict=False):
                place[symbol - 1] = 1
    return found


def padded_symbols(texts: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Return the symbols of texts, int64 (texts, longest), padded with BLANK, and their numbers, int64 (texts)."""
    words = [symbols(text) for text in texts]
    longest = max((len(word) for word in words), default=0)
    rows = [word + [BLANK] * (longest - len(word)) for word in words]
    return torch.tensor(rows, dtype=torch.int64).reshape(len(rows), longest), torch.tensor([*map(len, words)])


def both_ends(log_probabilities: Tensor) -> Tensor:
    """Return the probability of each letter at each place, as `spell` counts them, (n, 2, PLACES, letters).

    `log_probabilities` is (n, frames, 1 + letters). Read from right to left, the same frames spell the word backwards.
    """
    frames = log_probabilities.exp()
    return torch.stack([letters_by_place(frames), letters_by_place(frames.flip(1))], dim=1)


def letters_by_place(frames: Tensor, places: int = PLACES) -> Tensor:
    """Return the probability that the word of CTC has a letter at a place, (n, places, letters).

    `frames` are distributions (n, frames, 1 + letters). It is the sum over all paths of frames. The forward variable is
    the probability that k letters have begun and that a symbol is the last: a letter begins where the symbol before was
    another one.
    """
    n, _, symbol_count = frames.shape
    found = frames.new_zeros(n, places, symbol_count - 1)
    begun = functional.one_hot(torch.zeros(n, dtype=torch.int64), symbol_count).to(frames)
    state = functional.pad(begun[:, None], (0, 0, 0, places - 1))
    for frame in frames.unbind(1):
        total = state.sum(-1, keepdim=True)
        letters = frame[:, None, 1:]
        new = letters * (total - state[..., 1:])
        found = found + new
        stay = letters * state[..., 1:]
        begin = functional.pad(new[:, :-1], (0, 0, 1, 0))
        state = torch.cat([frame[:, None, :1] * total, stay + begin], dim=-1)
    return found


def best_words(log_probabilities: Tensor) -> list[str]:
    """Return the word of the most probable symbol of each frame (n, frames, 1 + letters)."""
    words = []
    for row in log_probabilities.argmax(-1).tolist():
        kept = [symbol for before, symbol in zip([BLANK, *row], row, strict=False) if symbol != before]
        words.append("".join(LETTERS[symbol - 1] for symbol in kept if symbol != BLANK))
    return words
