"""The lines of a large file as records that are parsed when they are asked for, so that a folder of any size fits."""

import os
from array import array
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, TypeVar, overload

LineT = TypeVar("LineT")

EVERY = 64
"""Lines between two places that are remembered: 8 bytes for each."""


class StoredLines(Sequence[LineT]):
    """The records of a file of lines. `parse` makes one from its number, from 1, and its bytes.

    Raises:
        ValueError: the file was changed since it was first read; also from every access.
    """

    def __init__(self, path: Path, parse: Callable[[int, bytes], LineT], longest: int) -> None:
        """Parse all lines once, so that a wrong one is found here; what `parse` raises passes through.

        It sees the first `longest` + 1 bytes of a line that has more than `longest`.
        """
        self._path, self._parse, self._most = path, parse, longest + 1
        self._starts = array("Q")
        self._count = position = 0
        with path.open("rb") as stream:
            self._stamp = _stamp(stream)
            for line in self._lines(stream):
                if self._count % EVERY == 0:
                    self._starts.append(position)
                position += len(line)
                self._count += 1
                parse(self._count, line)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[LineT]:
        return self._from(0)

    @overload
    def __getitem__(self, index: int) -> LineT: ...
    @overload
    def __getitem__(self, index: slice) -> list[LineT]: ...
    def __getitem__(self, index: int | slice) -> LineT | list[LineT]:
        if isinstance(index, slice):
            span = range(self._count)[index]
            if span.step != 1:
                raise ValueError("lines are read in order")
            return [record for _, record in zip(span, self._from(span.start), strict=False)]
        return next(self._from(range(self._count)[index]))

    def _from(self, first: int) -> Iterator[LineT]:
        """Yield the records from a position on."""
        if first >= self._count:
            return
        with self._path.open("rb") as stream:
            if _stamp(stream) != self._stamp:
                raise ValueError(f"{self._path}: was changed while it was read")
            stream.seek(self._starts[first // EVERY])
            for _ in range(first % EVERY):
                stream.readline()
            for number, line in enumerate(self._lines(stream), first + 1):
                yield self._parse(number, line)

    def _lines(self, stream: BinaryIO) -> Iterator[bytes]:
        return iter(lambda: stream.readline(self._most), b"")


def _stamp(stream: BinaryIO) -> tuple[int, int, int]:
    found = os.fstat(stream.fileno())
    return found.st_ino, found.st_size, found.st_mtime_ns
