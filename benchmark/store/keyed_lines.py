"""The records of a file of lines by their keys, one at a time, for readers that ask in about the file's order."""

from array import array
from collections.abc import Callable, Hashable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Generic, Self, TypeVar

LineT = TypeVar("LineT")
KeyT = TypeVar("KeyT", bound=Hashable)


class KeyedLines(Generic[KeyT, LineT]):
    """Finds the record with a key. `parse` makes one from its number, from 1, and its bytes; what it raises passes.

    The next record is read while keys are asked in the file's order. Another key makes one pass over the file, after
    which only the places of all keys are in memory. Of several records with one key any may be found.

    Use it in a `with` block, which closes the file. A path of None has no records.
    """

    def __init__(
        self,
        path: Path | None,
        parse: Callable[[int, bytes], LineT],
        key: Callable[[LineT], KeyT],
        longest: int,
    ) -> None:
        """`parse` sees the first `longest` + 1 bytes of a line that has more than `longest`."""
        self._path, self._parse, self._key, self._most = path, parse, key, longest + 1
        self._files = ExitStack()
        self._stream = None if path is None else self._files.enter_context(path.open("rb"))
        self._number = 0
        self._last: tuple[KeyT, LineT] | None = None
        self._numbers: dict[KeyT, int] | None = None
        self._starts = array("Q")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._files.close()

    def get(self, key: KeyT) -> LineT | None:
        """Return the record with a key, None if there is none."""
        if self._stream is None:
            return None
        if self._last is not None and self._last[0] == key:
            return self._last[1]
        if self._numbers is not None:
            return self._placed(self._numbers, key)
        for found, record in self._read():
            if found == key:
                self._last = found, record
                return record
            break
        self._numbers = self._places()
        return self._placed(self._numbers, key)

    def _placed(self, numbers: dict[KeyT, int], key: KeyT) -> LineT | None:
        number = numbers.get(key)
        if number is None or self._stream is None:
            return None
        if number != self._number + 1:
            self._stream.seek(self._starts[number - 1])
            self._number = number - 1
        _, record = self._last = next(self._read())
        return record

    def _places(self) -> dict[KeyT, int]:
        """Read the whole file once; return the number of the line of each key, and keep where the lines start."""
        assert self._stream is not None
        self._stream.seek(0)
        self._number = 0
        numbers: dict[KeyT, int] = {}
        self._starts.append(0)
        for key, _ in self._read():
            numbers[key] = self._number
            self._starts.append(self._stream.tell())
        return numbers

    def _read(self) -> Iterator[tuple[KeyT, LineT]]:
        """Yield the records from here on with their keys."""
        assert self._stream is not None
        while line := self._stream.readline(self._most):
            self._number += 1
            record = self._parse(self._number, line)
            yield self._key(record), record
