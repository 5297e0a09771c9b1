"""The kind of each token of a response: object name, other content, function word, or rest."""

import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Literal, TypeAlias, get_args

Kind: TypeAlias = Literal["object", "content", "function", "rest"]
KINDS: tuple[Kind, ...] = get_args(Kind)
KIND_NAMES: dict[Kind, str] = {
    "object": "object nouns",
    "content": "other content words",
    "function": "function words, punctuation",
    "rest": "rest of a word or name",
}

_WORD = re.compile(r"\w+(?:['\u2019]\w+)*")


def token_kinds(text: str, ends: Sequence[int], spans: Iterable[tuple[int, int]]) -> tuple[Kind, ...]:
    """Return the kind of each token of a text. `ends` are where tokens end, `spans` the characters [start, end) of
    mentions.

    The kind is that of the token's first visible character. An `object` token begins a mention. `content` and
    `function` tokens begin another word. Function words are spaCy's stop words (a fixed English list without a model,
    with numbers up to a hundred and words such as "front" and "side"), punctuation and white space. A token that
    continues a word or a mention is `rest`: it is often fixed by its beginning and needs no image.
    """
    named = sorted(spans)
    words = [match.span() for match in _WORD.finditer(text)]
    kinds: list[Kind] = []
    start = 0
    for end in ends:
        piece = text[start:end]
        first = start + len(piece) - len(piece.lstrip())
        if piece.strip() == "":
            kinds.append("function" if piece else "rest")
        else:
            kinds.append(_kind(text, first, words, named, start))
        start = max(start, end)
    return tuple(kinds)


def _kind(
    text: str, first: int, words: Sequence[tuple[int, int]], named: Sequence[tuple[int, int]], start: int
) -> Kind:
    """Return the kind of a token that begins at `start`, its first visible character at `first`."""
    for low, high in named:
        if low <= first < high:
            return "object" if start <= low else "rest"
    index = bisect_right(words, (first, len(text) + 1)) - 1
    if index < 0 or first >= words[index][1]:
        return "function"
    low, high = words[index]
    if low < first:
        return "rest"
    return "function" if text[low:high].lower().replace("\u2019", "'") in _stop_words() else "content"


@cache
def _stop_words() -> frozenset[str]:
    from spacy.lang.en.stop_words import STOP_WORDS

    return frozenset(STOP_WORDS)
