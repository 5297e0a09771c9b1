"""Reads what is added to a JSON-lines file that another part of the program writes."""

from pathlib import Path
from typing import Generic, TypeVar

from eidolon.scorers.core.types import Record

LineT = TypeVar("LineT", bound=Record)
PART = 1 << 20
"""The most bytes that are read at once."""


class Tail(Generic[LineT]):
    """The lines of a file that were not read yet. The file may not exist yet, and may be replaced by another one."""

    def __init__(self, path: Path, record: type[LineT]) -> None:
        self._path, self._record = path, record
        self._offset, self._file = 0, 0
        self._lines: list[bytes] = []

    def restarted(self) -> bool:
        """Return whether the file is no longer the one that was read. It is then read from the beginning."""
        try:
            found = self._path.stat()
        except FileNotFoundError:
            changed = self._offset > 0
            self._offset, self._lines = 0, []
            return changed
        changed = self._offset > 0 and (found.st_ino != self._file or found.st_size < self._offset)
        if changed:
            self._offset, self._lines = 0, []
        self._file = found.st_ino
        return changed

    def take(self, most: int) -> list[LineT]:
        """Return the next records, at most so many. A line whose end is not written yet is left for later."""
        if len(self._lines) < most:
            self._read()
        taken, self._lines = self._lines[:most], self._lines[most:]
        return [self._record.model_validate_json(line) for line in taken]

    def _read(self) -> None:
        try:
            with self._path.open("rb") as stream:
                stream.seek(self._offset)
                part = stream.read(PART)
                if b"\n" not in part and len(part) == PART:
                    part += stream.readline()  # a line that is longer than a part
        except FileNotFoundError:
            return
        whole = part[: part.rfind(b"\n") + 1]
        self._offset += len(whole)
        self._lines += whole.split(b"\n")[:-1]
