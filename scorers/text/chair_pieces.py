"""The words of a lower-cased text that the reference CHAIR program can count, each distinct piece read once.

A piece is what stands between white space. The tokeniser splits most pieces in the same way wherever they stand, so
that their tokens and singulars are worked out once and remembered. Where a piece depends on what is around it, its
whole sentence is read by the rules themselves. A test compares the result with a reading that remembers nothing.

The text is read as if by these steps: it is cut at the ends of sentences, each sentence is tokenised, and every token
is singularised. Words that no term and no pair of the lexicon contains are left out.
"""

import re
from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import NamedTuple, TypeAlias

from eidolon.scorers.text.singular import singularizer
from eidolon.scorers.text.treebank import SPLIT_WORDS, tokenize
from eidolon.scorers.text.word_tokens import Span, locate

BREAK = "\n"
"""In place of words that are left out between two others. No word contains it."""
MAX_CACHED = 100_000
"""Distinct pieces that are remembered; then the memory is emptied."""
LONGEST_CACHED = 40
"""Characters of the longest piece that is remembered."""

SENTENCE_END = re.compile("(?<![.!?])[.!?]++[\"'\u201d\u2019)\\]]*+\\s+")
"""The word tokeniser expects one sentence at a time. It runs on the pieces that end at these matches.

A match can begin only where a run of marks begins. Without this condition, a page of dots would take minutes.
"""
_ENDS = re.compile("(?<![.!?])[.!?]++[\"'\u201d\u2019)\\]]*+\\Z")
_PLAIN = re.compile(r"([a-z]+)([,.;:?!]?)")
"""Letters with at most one mark after them. The letters are one token and the mark another."""
_PIECE = re.compile(r"\S+")
_SPACE = re.compile(r"\s")
# A quote is split by what follows it, and a final period by the brackets and quotes after it.
_ALONE = re.compile(r"(?:[^']|(?<=\w)'(?=\w)|(?<=\w)'\Z)*")
_CLOSERS = re.compile("[\\]\\)}>\"'\u00bb\u201d\u2019]*")
_QUOTES = re.compile("['\"]")

Word: TypeAlias = tuple[str, int, int]
"""A singular, or `BREAK`, with its place in the piece."""
Found: TypeAlias = tuple[Word, ...] | None
"""The words of a piece: none where no word counts, None where they depend on what is around the piece."""


class Words(NamedTuple):
    """The words that count, in order, with their places; `BREAK` between two that are not neighbours."""

    words: list[str]
    spans: list[Span]


class CountedWords:
    """Finds those words of a text whose singular is in `wanted`."""

    def __init__(self, wanted: Collection[str]) -> None:
        self._wanted = frozenset(wanted)
        self._singular = lru_cache(MAX_CACHED)(singularizer())
        self._inside: dict[str, Found] = {}
        self._last: dict[str, Found] = {}

    def read(self, lowered: str) -> Words:
        """Return the words that count of a text in lower case."""
        found = self._by_piece(lowered, 0)
        if found is not None:
            return found
        words, spans = list[str](), list[Span]()
        ends = [match.end() for match in SENTENCE_END.finditer(lowered)]
        for start, end in zip([0, *ends], [*ends, len(lowered)], strict=True):
            sentence = lowered[start:end]
            part = self._by_piece(sentence, start) or self._by_rules(sentence, start)
            words += part.words
            spans += part.spans
        return Words(words, spans)

    def _by_piece(self, text: str, position: int) -> Words | None:
        """Return the words of a text that begins at `position`, None if a piece depends on what is around it."""
        words, spans = list[str](), list[Span]()
        pieces = text.split(" ")
        while len(pieces) > 1 and not pieces[-1]:
            pieces.pop()
        final = pieces.pop()
        known = self._inside
        gap = False
        for piece in pieces:
            try:
                found = known[piece]
            except KeyError:
                found = self._learn(known, piece, last=False)
            if found:
                if gap:
                    words.append(BREAK)
                    spans.append((position, position))
                    gap = False
                for word, first, end in found:
                    words.append(word)
                    spans.append((position + first, position + end))
            elif found is None:
                return None
            elif not gap and piece and not piece.isspace():
                gap = True
            position += len(piece) + 1
        try:
            found = self._last[final]
        except KeyError:
            found = self._learn(self._last, final, last=True)
        if found is None:
            return None
        if gap or not found:
            words.append(BREAK)
            spans.append((position, position))
        words += [word for word, _, _ in found]
        spans += [(position + first, position + end) for _, first, end in found]
        return Words(words, spans)

    def _learn(self, known: dict[str, Found], piece: str, *, last: bool) -> Found:
        found = self._piece(piece, last=last)
        if len(piece) <= LONGEST_CACHED:
            if len(known) >= MAX_CACHED:
                known.clear()
            known[piece] = found
        return found

    def _piece(self, piece: str, *, last: bool) -> Found:
        """Return the words of what stands between two spaces or, if `last`, at the end of a text."""
        if not piece:
            return ()
        if (plain := _PLAIN.fullmatch(piece)) is not None and plain[1] not in SPLIT_WORDS:
            word = self._singular(plain[1])
            if word not in self._wanted:
                return ()
            end = plain.end(1)
            return ((word, 0, end), (BREAK, end, end + 1)) if plain[2] else ((word, 0, end),)
        if _SPACE.search(piece) is not None:
            return self._several(piece, last=last)
        if _ALONE.fullmatch(piece) is None or (last and _CLOSERS.fullmatch(piece) is not None):
            return None
        ends = last or _ENDS.search(piece) is not None
        tokens = tokenize(f"x {piece}")[1:] if ends else tokenize(f"x {piece} x")[1:-1]
        return self._singulars(tokens, piece, 0)

    def _several(self, text: str, *, last: bool) -> Found:
        """Return the words of pieces with other white space than a space between them."""
        if _QUOTES.search(text) is not None:
            return None
        pieces = list(_PIECE.finditer(text))
        found = list[Word]()
        for number, piece in enumerate(pieces, 1):
            ends = last and number == len(pieces)
            known = self._last if ends else self._inside
            words = known[piece[0]] if piece[0] in known else self._learn(known, piece[0], last=ends)
            if words is None:
                return None
            found += [(word, piece.start() + first, piece.start() + end) for word, first, end in words]
            if not words:
                found.append((BREAK, piece.start(), piece.end()))
        return tuple(found)

    def _by_rules(self, sentence: str, position: int) -> Words:
        found = self._singulars(tokenize(sentence.strip()), sentence, position)
        if not found:
            return Words([BREAK], [(position, position)])
        return Words([word for word, _, _ in found], [(first, end) for _, first, end in found])

    def _singulars(self, tokens: Sequence[str], text: str, position: int) -> tuple[Word, ...]:
        """Return the singulars that count of the tokens of a text, with their places; nothing if none counts."""
        words = [self._singular(token) for token in tokens]
        if self._wanted.isdisjoint(words):
            return ()
        return tuple(
            (word if word in self._wanted else BREAK, position + first, position + end)
            for word, (first, end) in zip(words, locate(tokens, text, 0, len(text)), strict=True)
        )
