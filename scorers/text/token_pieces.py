"""The tokens of a text for the reading `careful`, each distinct piece between spaces worked out once.

They are the tokens of the tokenizer, in lower case. A line break is kept as a token, and so separates its two sides,
unless the next line begins in lower case. Other white space is left out.
"""

import re
from collections.abc import Callable
from typing import TypeAlias

from eidolon.scorers.text.matches import Tokens
from eidolon.scorers.text.tokens import EnglishTokenizer

UNBROKEN = re.compile(r"\S{200,}")
"""Runs without white space, on which spaCy's tokeniser takes quadratic time."""
MAX_CACHED = 100_000
"""Distinct pieces that are remembered; then the memory is emptied."""
LONGEST_CACHED = 40
"""Characters of the longest piece that is remembered."""

Piece: TypeAlias = str | tuple[tuple[str, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...]]
"""The word of a piece that is a single token and begins no phrase. Else the words, where they start and end in the
piece, and which of them may begin a phrase."""


class PieceReader:
    """Splits texts as the tokenizer does, and marks the tokens that `begins` tells to begin a phrase."""

    def __init__(self, tokenizer: EnglishTokenizer, begins: Callable[[str], bool]) -> None:
        self._tokenizer, self._begins = tokenizer, begins
        self._known: dict[str, Piece] = {}

    def read(self, text: str) -> tuple[Tokens, list[int]] | None:
        """Return the tokens, and the positions among them at which a phrase may begin.

        None stands for a text with a run that `UNBROKEN` matches.
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
            if found[3]:
                begins += [len(words) + place for place in found[3]]
            words += found[0]
            starts += [position + start for start in found[1]]
            ends += [position + end for end in found[2]]
            position += len(piece) + 1
        return True

    def _learn(self, piece: str) -> Piece | None:
        if len(piece) > LONGEST_CACHED and UNBROKEN.search(piece) is not None:
            return None
        placed = [(start, token) for start, token in self._tokenizer(piece) if not token.isspace()]
        words = tuple(plain_word(token) for _, token in placed)
        begins = tuple(place for place, (_, token) in enumerate(placed) if self._begins(token.lower()))
        found: Piece
        if not begins and [token for _, token in placed] == [piece]:
            found = words[0]
        else:
            starts = tuple(start for start, _ in placed)
            found = words, starts, tuple(start + len(token) for start, token in placed), begins
        if len(piece) <= LONGEST_CACHED:
            if len(self._known) >= MAX_CACHED:
                self._known.clear()
            self._known[piece] = found
        return found


def plain_word(token: str) -> str:
    """Return a token in lower case, with a plain apostrophe."""
    return token.lower().replace("\u2019", "'")


def _place_break(text: str, start: int, end: int, tokens: Tokens) -> None:
    """Add a line break, with the white space around it but for the one space that belongs to the token before it."""
    if start and text[start] == " ":
        start += 1
    tokens.words.append(text[start:end].lower())
    tokens.starts.append(start)
    tokens.ends.append(end)
