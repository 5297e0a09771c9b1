"""spaCy's English tokenizer without spaCy: the same rules, each distinct piece of text split once.

Importing spaCy takes seconds, and tokenizing with it most of the time of a reading. The rules (affixes, exceptions,
URLs) are spaCy's own, stored in `english_tokens.json` by `python -m eidolon.scorers.text.tokens`; the algorithm is that
of its tokenizer (Honnibal et al., spaCy 3, MIT licence). A test compares the two.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

RULES = "english_tokens.json"
MAX_CACHED = 200_000
"""Distinct pieces that are remembered; then the memory is emptied."""

_PIECE = re.compile(r"\S+")
_PLAIN = re.compile(r"([a-zA-Z]*[a-z])([,.]?)")
"""Letters with at most one mark after them, which is always a token of its own."""


@dataclass(frozen=True, slots=True)
class TokenizerRules:
    """What the file holds."""

    spacy: str
    """The version of spaCy that the rules are from."""
    prefix: str
    suffix: str
    infix: str
    url: str
    exceptions: Mapping[str, list[str]]
    """Pieces that are split in their own way."""


class EnglishTokenizer:
    """Splits a text into tokens with their offsets."""

    def __init__(self, rules: TokenizerRules) -> None:
        self._prefix = re.compile(rules.prefix).search
        self._suffix = re.compile(rules.suffix).search
        self._infix = re.compile(rules.infix).finditer
        self._url = re.compile(rules.url).match
        self._exceptions = {text: tuple(tokens) for text, tokens in rules.exceptions.items()}
        self._cache: dict[str, tuple[str, ...]] = {}
        # Exceptions that affixes would split are found among the tokens again: "(:)" holds ":)".
        self._split_exceptions = {
            text: self._split(text, {})
            for text in self._exceptions
            if " " not in text and (self._prefix(text) or self._suffix(text) or next(self._infix(text), None))
        }
        self._longest = max(map(len, self._split_exceptions.values()), default=0)

    def __call__(self, text: str) -> list[tuple[int, str]]:
        """Return (offset, token) in order. White space is a token too, except one space after another token."""
        placed: list[tuple[int, str]] = []
        cache = self._cache
        end = 0
        for piece in _PIECE.finditer(text):
            start = piece.start()
            if start - end != 1 or text[end] != " " or not end:
                _place_space(placed, text, end, start)
            found = cache.get(piece[0]) or self._tokens(piece[0])
            if len(found) == 1:
                placed.append((start, found[0]))
                start += len(found[0])
            else:
                for token in found:
                    placed.append((start, token))
                    start += len(token)
            end = start
        _place_space(placed, text, end, len(text))
        return placed

    def split(self, piece: str) -> tuple[str, ...]:
        """Return the tokens of a text without white space."""
        return self._cache.get(piece) or self._tokens(piece)

    def _tokens(self, piece: str) -> tuple[str, ...]:
        plain = _PLAIN.fullmatch(piece)
        if plain is not None and piece not in self._exceptions and plain[1] not in self._exceptions:
            return (plain[1], plain[2]) if plain[2] else (piece,)
        if len(self._cache) >= MAX_CACHED:
            self._cache.clear()
        found = self._cache[piece] = self._join_exceptions(self._split(piece, self._exceptions))
        return found

    def _split(self, piece: str, exceptions: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
        if piece in exceptions:
            return exceptions[piece]
        prefixes: list[str] = []
        suffixes: list[str] = []
        rest = self._without_affixes(piece, exceptions, prefixes, suffixes)
        return (*prefixes, *self._middle(rest, exceptions), *reversed(suffixes))

    def _without_affixes(
        self, rest: str, exceptions: Mapping[str, tuple[str, ...]], prefixes: list[str], suffixes: list[str]
    ) -> str:
        length = -1
        while rest and len(rest) != length and rest not in exceptions:
            length = len(rest)
            before = self._prefix(rest)
            first = before.end() - before.start() if before else 0
            if first and (tail := rest[first:]) in exceptions:
                prefixes.append(rest[:first])
                return tail
            after = self._suffix(rest[first:])
            last = after.end() - after.start() if after else 0
            if last and (head := rest[:-last]) in exceptions:
                suffixes.append(rest[-last:])
                return head
            if first and last and first + last <= len(rest):
                prefixes.append(rest[:first])
                suffixes.append(rest[-last:])
                rest = rest[first:-last]
            elif first:
                prefixes.append(rest[:first])
                rest = rest[first:]
            elif last:
                suffixes.append(rest[-last:])
                rest = rest[:-last]
        return rest

    def _middle(self, rest: str, exceptions: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
        if not rest:
            return ()
        if rest in exceptions:
            return exceptions[rest]
        if self._url(rest):
            return (rest,)
        tokens: list[str] = []
        start = 0
        for infix in self._infix(rest):
            if infix.start() == 0:
                continue
            if infix.start() != start:
                tokens.append(rest[start : infix.start()])
            if infix[0]:
                tokens.append(infix[0])
            start = infix.end()
        if rest[start:]:
            tokens.append(rest[start:])
        return tuple(tokens)

    def _join_exceptions(self, tokens: tuple[str, ...]) -> tuple[str, ...]:
        """Replace tokens that together are an exception by its tokens, the longest first."""
        if len(tokens) < 2:
            return tokens
        found = [
            (begin - end, begin, end, text)
            for begin in range(len(tokens))
            for end in range(begin + 1, min(len(tokens), begin + self._longest) + 1)
            if self._split_exceptions.get(text := "".join(tokens[begin:end])) == tokens[begin:end]
        ]
        if not found:
            return tokens
        taken: set[int] = set()
        replaced = list[tuple[int, int, str]]()
        for _, begin, end, text in sorted(found):
            if begin not in taken and end - 1 not in taken:
                replaced.append((begin, end, text))
            taken.update(range(begin, end))
        joined: list[str] = []
        position = 0
        for begin, end, text in sorted(replaced):
            joined += (*tokens[position:begin], *self._exceptions[text])
            position = end
        return (*joined, *tokens[position:])


def _place_space(placed: list[tuple[int, str]], text: str, start: int, end: int) -> None:
    """Place white space between two pieces, except the one space that belongs to the token before it."""
    if start and start < end and text[start] == " ":
        start += 1
    if start < end:
        placed.append((start, text[start:end]))


@cache
def english_tokenizer() -> EnglishTokenizer:
    """Return the tokenizer, made once."""
    stored = json.loads((files("eidolon.scorers.text") / "data" / RULES).read_text(encoding="utf-8"))
    return EnglishTokenizer(TokenizerRules(**stored))


def spacy_rules() -> dict[str, Any]:
    """Return the content of the file, from the installed spaCy."""
    from importlib.metadata import version

    from spacy.lang.en import English

    tokenizer: Any = English().tokenizer
    assert tokenizer.token_match is None
    return {
        "spacy": version("spacy"),
        "prefix": tokenizer.prefix_search.__self__.pattern,
        "suffix": tokenizer.suffix_search.__self__.pattern,
        "infix": tokenizer.infix_finditer.__self__.pattern,
        "url": tokenizer.url_match.__self__.pattern,
        "exceptions": {
            # The first of a token's attributes is its spelling.
            text: [next(iter(token.values())) for token in tokens]
            for text, tokens in sorted(tokenizer.rules.items())
        },
    }


def main() -> None:
    """Write the file again."""
    from pathlib import Path

    path = Path(__file__).parent / "data" / RULES
    path.write_text(json.dumps(spacy_rules(), ensure_ascii=False, indent=0) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
