"""Turns texts into hashed pieces of words, as fastText does (Bojanowski et al., TACL 2017)."""

import re
from collections.abc import Sequence
from zlib import crc32

import torch
from torch import Tensor

PAD = 0
"""The row of the table that means nothing."""
MAX_PIECES = 64
"""Most pieces of one word."""
MAX_WORDS = 256
"""Words of a text beyond this number are not read."""
_WORD = re.compile(r"\w+")


def pieces(word: str, before: str = "") -> list[str]:
    """Return the pieces of a word: itself, itself after the word before, its letters by place, its 2- and 3-grams.

    The places make words with the same letters in another order differ.
    """
    marked = f"<{word}>"
    grams = [marked[i : i + n] for n in (2, 3) for i in range(len(marked) - n + 1)]
    places = [f"{i}@{letter}" for i, letter in enumerate(word)]
    backwards = [f"-{i}@{letter}" for i, letter in enumerate(reversed(word))]
    found = [f"word {word}", f"pair {before} {word}", *places, *backwards, *grams]
    return found[:MAX_PIECES]


def words_of(text: str) -> list[str]:
    """Return the words of a text in lower case: runs of letters, digits and underscores."""
    return _WORD.findall(text.casefold())


def hash_texts(texts: Sequence[str], buckets: int) -> Tensor:
    """Return the rows of the pieces, int64 (texts, words, pieces), padded with PAD.

    Case is ignored. A text without letters or digits has one word, which is empty.
    """
    rows: list[list[list[int]]] = []
    for text in texts:
        words = words_of(text)[:MAX_WORDS] or [""]
        rows.append(
            [
                [1 + crc32(piece.encode()) % (buckets - 1) for piece in pieces(word, before)]
                for before, word in zip(["", *words], words, strict=False)
            ]
        )
    most_words = max((len(words) for words in rows), default=1)
    most_pieces = max((len(word) for words in rows for word in words), default=1)
    padded = torch.full((len(rows), most_words, most_pieces), PAD)
    for i, found in enumerate(rows):
        for j, word in enumerate(found):
            padded[i, j, : len(word)] = torch.tensor(word)
    return padded
