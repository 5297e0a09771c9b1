"""From the singular words of a text to its objects: the steps that both CHAIR programs share."""

from collections.abc import Sequence

from eidolon.scorers.text.lexicon import Lexicon, NamedObject
from eidolon.scorers.text.word_tokens import Span


class ObjectNamer:
    """Finds the terms of a lexicon among words, after it merged the lexicon's pairs of neighbouring words."""

    def __init__(self, lexicon: Lexicon) -> None:
        self._categories = lexicon.terms()
        self._pairs = lexicon.pairs
        self._firsts = frozenset(pair.partition(" ")[0] for pair in self._pairs)

    def counted(self) -> frozenset[str]:
        """Return the words that matter: terms, parts of pairs, and `toilet` and `seat`. Without others between them,
        the words have the same objects, except for pairs that are no neighbours."""
        parts = (word for pair in self._pairs for word in pair.split(" "))
        return frozenset((*self._categories, *parts, "toilet", "seat"))

    def name(self, words: Sequence[str], spans: Sequence[Span], origins: Sequence[int]) -> list[NamedObject]:
        """Return the objects among `words`, in their order. `term` is the merged word.

        `spans` are the words' places in the lower-cased text, and `origins` leads from there to the raw text. If both
        `toilet` and `seat` are left after merging, every `seat` is dropped.
        """
        merged = self._merge(words, spans)
        if {"toilet", "seat"} <= {word for word, _, _ in merged}:
            merged = [item for item in merged if item[0] != "seat"]
        return [
            NamedObject(origins[start], origins[end - 1] + 1, self._categories[word], word)
            for word, start, end in merged
            if word in self._categories
        ]

    def _merge(self, words: Sequence[str], spans: Sequence[Span]) -> list[tuple[str, int, int]]:
        """Join listed pairs in one pass from the left. A merged word is not merged again."""
        if self._firsts.isdisjoint(words):
            return [(word, start, end) for word, (start, end) in zip(words, spans, strict=True)]
        merged = []
        position = 0
        while position < len(words):
            joined = self._pairs.get(" ".join(words[position : position + 2]))
            length = 1 if joined is None else 2
            start, end = spans[position][0], spans[position + length - 1][1]
            merged.append((words[position] if joined is None else joined, start, end))
            position += length
        return merged
