"""Finds phrases in tokens, whatever their case."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

ValueT = TypeVar("ValueT")


class Found(NamedTuple, Generic[ValueT]):
    """A phrase in the tokens [first, end)."""

    first: int
    end: int
    value: ValueT


class PhraseIndex(Generic[ValueT]):
    """PhraseIndex with a value each."""

    def __init__(self, phrases: Mapping[tuple[str, ...], ValueT]) -> None:
        """Take phrases as tokens in lower case."""
        self._by_first: dict[str, list[tuple[tuple[str, ...], ValueT]]] = {}
        for tokens, value in phrases.items():
            if tokens:
                self._by_first.setdefault(tokens[0], []).append((tokens, value))

    def begins(self, token: str) -> bool:
        """Tell whether a phrase begins with this token in lower case."""
        return token in self._by_first

    def find(self, tokens: Sequence[str]) -> Iterator[Found[ValueT]]:
        """Yield every occurrence in tokens in lower case, also those that overlap."""
        return self.find_at(tokens, range(len(tokens)))

    def find_at(self, tokens: Sequence[str], positions: Iterable[int]) -> Iterator[Found[ValueT]]:
        """Yield the occurrences that begin at one of these positions."""
        by_first = self._by_first
        for first in positions:
            for phrase, value in by_first.get(tokens[first], ()):
                end = first + len(phrase)
                if len(phrase) == 1 or tuple(tokens[first:end]) == phrase:
                    yield Found(first, end, value)
