"""Tokens of a text and the terms matched in them: what the rules of the reading `careful` work on."""

from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from eidolon.scorers.text.english import ends_phrase

MAX_SENTENCE = 100
"""Number of tokens on each side of a word in which its sentence ends in any case."""


class Reason(StrEnum):
    """Why a match names no object."""

    BLOCKED = "blocked phrase"
    EXCLUDED = "excluded term"
    HYPHEN = "hyphenated modifier"
    COMPOUND = "describes the next noun"
    ADJECTIVE = "adjective"
    VERB = "verb"
    SPORT = "the sport"
    ANIMAL = "animal kin"
    PART = "part of another object"
    SENSE = "another sense"
    LIKENESS = "likeness"
    WRITTEN = "written text"
    DENIED = "denied"


class Form(NamedTuple):
    """A spelled form of a term. `dropped` is the reason why the term never names its object, if there is one."""

    term: str
    category: str
    plural: bool
    dropped: Reason | None = None


class Match(NamedTuple):
    """A form found at the tokens `first` up to, not including, `end`."""

    first: int
    end: int
    form: Form


class Tokens(NamedTuple):
    """The tokens of a text in lower case, with the offsets of each in the text."""

    words: list[str]
    starts: list[int]
    ends: list[int]

    def at(self, position: int) -> str:
        """Return the word at a position, or an empty string outside the text."""
        return self.words[position] if 0 <= position < len(self.words) else ""

    def phrase_before(self, position: int, most: int) -> Iterator[str]:
        """Yield up to `most` words before a position, the nearest first, with the one that ends the phrase."""
        for place in range(position - 1, max(-1, position - 1 - most), -1):
            yield self.words[place]
            if ends_phrase(self.words[place]):
                return

    def sentence(self, position: int) -> tuple[int, int]:
        """Return the first and the end position of the sentence around a position."""
        first = end = position
        while first > max(0, position - MAX_SENTENCE) and not ends_sentence(self.words[first - 1]):
            first -= 1
        while end < min(len(self.words), position + MAX_SENTENCE) and not ends_sentence(self.words[end]):
            end += 1
        return first, end


def ends_sentence(word: str) -> bool:
    """Tell whether a token ends a sentence: a mark, or a line break."""
    return word in (".", "!", "?") or "\n" in word
