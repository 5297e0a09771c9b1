"""The tokens of a text for the reading `careful`, each distinct piece between spaces worked out once.

They are the tokens of the tokenizer, in lower case. A line break is kept as a token, and so separates its two sides,
unless the next line begins in lower case. Other white space is left out.
"""

import re
from collections.abc import Callable, Iterator
from typing import TypeAlias

from eidolon.scorers.text.matches import Tokens
from eidolon.scorers.text.tokens import EnglishTokenizer

UNBROKEN = re.compile(r"\S{200,}")
"""Runs without white space, on which spaCy's tokeniser takes quadratic time."""
_PART = re.compile(r"\S+")
MAX_CACHED = 100_000
"""Distinct pieces that are remembered; then the memory is emptied."""
LONGEST_CACHED = 40
"""Characters of the longest piece that is remembered."""

Piece: TypeAlias = str | tuple[tuple[str, int, int, bool], ...]
"""The word of a piece that is a single token and begins no phrase. Else each word, where it starts and ends in the
piece, and whether it may begin a phrase."""


class TokenPieces:
    """Splits texts as the tokenizer does, and marks the tokens that `begins` tells to begin a phrase."""

    def __init__(self, tokenizer: EnglishTokenizer, begins: Callable[[str], bool]) -> None:
        self._tokenizer, self._begins = tokenizer, begins
        self._known: dict[str, Piece] = {}

    def read(self, text: str) -> tuple[Tokens, list[int]] | None:
        """Return the tokens, and the positions among them at which a phrase may begin.

        The result is None for a text with a run that `UNBROKEN` matches.
        """
        tokens = Tokens([], [], [])
        begins = list[int]()
        if "\n" not in text:
            return (tokens, begins) if self._read_line(text, 0, tokens, begins) else None
        position = end = 0
        for number, line in enumerate(text.split("\n")):
            if body := line.strip():
                first = position + line.index(body[0])
                if number and not body[0].islower():
                    _place_break(text, end, first, tokens)
                if not self._read_line(body, first, tokens, begins):
                    return None
                end = first + len(body)
            position += len(line) + 1
        if "\n" in text[end:]:
            _place_break(text, end, len(text), tokens)
        return tokens, begins

    def _read_line(self, text: str, position: int, tokens: Tokens, begins: list[int]) -> bool:
        """Add the tokens of a text without line breaks. Return False if it has an unbroken run."""
        words, starts, ends = tokens
        known = self._known
        for piece in text.split(" "):
            try:
                found = known[piece]
            except KeyError:
                learned = self._learn(piece)
                if learned is None:
                    return False
                found = learned
            if isinstance(found, str):
                words.append(found)
                starts.append(position)
                position += len(piece)
                ends.append(position)
                position += 1
                continue
            for word, start, end, may_begin in found:
                if may_begin:
                    begins.append(len(words))
                words.append(word)
                starts.append(position + start)
                ends.append(position + end)
            position += len(piece) + 1
        return True

    def _learn(self, piece: str) -> Piece | None:
        if len(piece) > LONGEST_CACHED and UNBROKEN.search(piece) is not None:
            return None
        tokens = self._tokenizer.split(piece) if piece.split() == [piece] else ()
        found: Piece
        if len(tokens) == 1 and not self._begins(piece.lower()):
            found = plain_word(piece)
        else:
            found = tuple(
                (plain_word(token), start, start + len(token), self._begins(token.lower()))
                for start, token in self._place(piece)
            )
        if len(piece) <= LONGEST_CACHED:
            if len(self._known) >= MAX_CACHED:
                self._known.clear()
            self._known[piece] = found
        return found

    def _place(self, piece: str) -> Iterator[tuple[int, str]]:
        """Yield the tokens of a piece, with their offsets."""
        for part in _PART.finditer(piece):
            position = part.start()
            for token in self._tokenizer.split(part[0]):
                yield position, token
                position += len(token)


def plain_word(token: str) -> str:
    """Return a token in lower case, with a plain apostrophe."""
    return token.lower().replace("\u2019", "'")


def _place_break(text: str, start: int, end: int, tokens: Tokens) -> None:
    """Add a line break, with the white space around it except the one space that belongs to the token before it."""
    if start and text[start] == " ":
        start += 1
    tokens.words.append(text[start:end].lower())
    tokens.starts.append(start)
    tokens.ends.append(end)
