"""The reading of the reference CHAIR program (Rohrbach et al. 2018), reproduced exactly with its quirks.

It lower-cases and tokenises the text, singularises every token, and merges the listed pairs of neighbouring words. If
both `toilet` and `seat` are left, it drops every `seat`. The words that are terms are kept. Known quirks: the
singulariser breaks "bus" and "ties", a colour such as "orange" is the fruit, and "table.The" is one token.
"""

import re
from collections.abc import Callable
from functools import lru_cache

from eidolon.scorers.text.lexicon import Lexicon, NamedObject

SENTENCE_END = re.compile("(?<![.!?])[.!?]++[\"'\u201d\u2019)\\]]*+\\s+")
"""The word tokeniser expects one sentence at a time. It runs on the pieces that end at these matches.

A match can begin only where a run of marks begins. Without this condition, a page of dots would take minutes.
"""

SINGULAR_CACHE = 100_000


class OriginalReading:
    """Reads texts as the reference does, and locates each word in the text."""

    name = "original"
    signature = "original"

    def __init__(self, lexicon: Lexicon) -> None:
        # Imported here because the two libraries take about a second.
        from nltk.tokenize.destructive import NLTKWordTokenizer
        from textblob.en.inflect import singularize

        self._tokenize: Callable[[str], list[str]] = NLTKWordTokenizer().tokenize
        self._singular: Callable[[str], str] = lru_cache(SINGULAR_CACHE)(singularize)
        self._categories = lexicon.terms()
        self._pairs = lexicon.pairs

    def read(self, text: str) -> list[NamedObject]:
        """Return the objects named in `text`, in its order. `term` is the singular, merged word."""
        lowered, origins = _lower(text)
        spans: list[tuple[int, int]] = []
        words: list[str] = []
        for start, end in _pieces(lowered):
            tokens = self._tokenize(lowered[start:end].strip())
            spans += _locate(tokens, lowered, start, end)
            words += [self._singular(token) for token in tokens]
        merged = self._merge(words, spans)
        present = {word for word, _, _ in merged}
        if {"toilet", "seat"} <= present:
            merged = [item for item in merged if item[0] != "seat"]
        return [
            NamedObject(origins[start], origins[end - 1] + 1, self._categories[word], word)
            for word, start, end in merged
            if word in self._categories
        ]

    def _merge(self, words: list[str], spans: list[tuple[int, int]]) -> list[tuple[str, int, int]]:
        """Join listed pairs in one pass from the left. A merged word is not merged again."""
        merged = []
        position = 0
        while position < len(words):
            joined = self._pairs.get(" ".join(words[position : position + 2]))
            length = 1 if joined is None else 2
            start, end = spans[position][0], spans[position + length - 1][1]
            merged.append((words[position] if joined is None else joined, start, end))
            position += length
        return merged


def _lower(text: str) -> tuple[str, list[int] | range]:
    """Return the lower-cased text, and for each of its characters the offset of its origin in `text`."""
    lowered = text.lower()
    if len(lowered) == len(text):
        return lowered, range(len(text))
    return lowered, [offset for offset, character in enumerate(text) for _ in character.lower()]


def _pieces(text: str) -> list[tuple[int, int]]:
    ends = [match.end() for match in SENTENCE_END.finditer(text)]
    return list(zip([0, *ends], [*ends, len(text)], strict=True))


def _locate(tokens: list[str], text: str, start: int, end: int) -> list[tuple[int, int]]:
    """Return the span in `text` of each token of `text[start:end]`.

    The tokeniser adds and drops white space, and writes a double quote as two characters. It changes nothing else, so
    that its output can be aligned with the text character by character.
    """
    offsets = []
    for offset in range(start, end):
        character = text[offset]
        if character == '"':
            offsets += [offset, offset]
        elif not character.isspace():
            offsets.append(offset)
    spans = []
    position = 0
    for token in tokens:
        last = position + len(token) - 1
        spans.append((offsets[position], offsets[last] + 1))
        position = last + 1
    return spans
