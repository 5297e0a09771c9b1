"""Large files of JSON lines, whose records are read again each time instead of kept. Other formats are read whole.

Records and messages are those of `records.read_records`.
"""

import codecs
import hashlib
import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import STDIN, open_file, read_bytes
from eidolon.scorers.core.records import (
    GZIP,
    UTF16,
    Format,
    Placed,
    Records,
    flat,
    line_records,
    read_records,
    spans_lines,
)

_CHUNK_BYTES = 1 << 20
_BOM = b"\xef\xbb\xbf"
Stamp: TypeAlias = tuple[int, int, int]
"""Inode, size and time of change of a file."""


class RecordLines:
    """The records of a file of JSON lines. Each iteration reads the file again."""

    def __init__(self, path: Path, stamp: Stamp) -> None:
        """Take the file as it was checked."""
        self._path, self._stamp = path, stamp
        self.several = False
        """Whether an iteration so far has found several records on a line."""

    def __iter__(self) -> Iterator[Placed]:
        for number, line in self.lines():
            found = line_records(line.decode(), number, self._path)
            self.several |= len(found) > 1
            for placed in found:
                yield placed._replace(row=flat(placed.row))

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """Yield the lines that are not blank, with their numbers from 1.

        Raises:
            UserError: the file is not the one that was checked.
        """
        with open_file(self._path) as stream:
            if _stamp(stream.fileno()) != self._stamp:
                raise UserError(f"{self._path}: was changed while it was read; run the command again")
            for number, line in enumerate(stream, 1):
                line = line.removeprefix(_BOM) if number == 1 else line
                if line.lstrip().startswith(b"{") or line.decode().strip():
                    yield number, line


@dataclass(frozen=True, slots=True)
class StreamedRecords:
    """The records of a file that are not kept."""

    rows: RecordLines
    sha256: str
    """The hash of the file."""

    @property
    def format(self) -> Format:
        """The format, once the records have been read."""
        return "json objects" if self.rows.several else "jsonl"

    @property
    def key(self) -> None:
        """The key of a list of records: none."""
        return None


@dataclass(frozen=True, slots=True)
class RecordFile:
    """A file of records, and the SHA-256 of its content."""

    records: Records | StreamedRecords
    sha256: str


def open_records(
    path: Path, wanted: Collection[str], *, id_field: str = "image_id", value_field: str = "response"
) -> RecordFile:
    """Return the records of a file, see `read_records`: those of JSON lines as a stream.

    Raises:
        UserError: the content has none of the formats. Lines that are no JSON are found when they are read.
    """
    records = open_lines(path)
    if records is not None:
        return RecordFile(records, records.sha256)
    content = read_bytes(path)
    found = read_records(content, path, wanted, id_field=id_field, value_field=value_field)
    return RecordFile(found, hashlib.sha256(content).hexdigest())


def open_lines(path: Path) -> StreamedRecords | None:
    """Return the records of a file of JSON lines; None for any other, and for the standard input.

    Raises:
        UserError: it cannot be read, or is not UTF-8.
    """
    if path == STDIN or not _is_lines(path):
        return None
    with open_file(path) as stream:
        stamp, digest = _stamp(stream.fileno()), hashlib.sha256()
        decoder = codecs.getincrementaldecoder("utf-8-sig")()
        lines = 0
        for chunk in iter(lambda: stream.read(_CHUNK_BYTES), b""):
            digest.update(chunk)
            _decode(decoder, chunk, lines, path)
            lines += chunk.count(b"\n")
        _decode(decoder, b"", lines, path, final=True)
    return StreamedRecords(RecordLines(path, stamp), digest.hexdigest())


def _is_lines(path: Path) -> bool:
    """Tell whether a file holds JSON objects on several lines, each on one."""
    filled: list[str] = []
    with open_file(path) as stream:
        for number, line in enumerate(stream):
            if number == 0:
                if line.startswith(GZIP) or UTF16.match(line):
                    return False
                line = line.removeprefix(_BOM)
            try:
                text = line.decode().strip()
            except UnicodeDecodeError:
                return bool(filled)
            if text:
                filled.append(text)
            if filled and not filled[0].startswith("{"):
                return False
            if len(filled) == 2:
                return not spans_lines(filled[0])
    return False


def _decode(
    decoder: codecs.IncrementalDecoder, chunk: bytes, lines: int, path: Path, *, final: bool = False
) -> None:
    """Check that the next bytes of a file are UTF-8; `lines` is the number of line ends before them."""
    try:
        decoder.decode(chunk, final)
    except UnicodeDecodeError as error:
        line = lines + error.object.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path}:{line}: is not UTF-8 text (byte 0x{error.object[error.start]:02x}); is this a binary file?"
        ) from error


def _stamp(descriptor: int) -> Stamp:
    found = os.fstat(descriptor)
    return found.st_ino, found.st_size, found.st_mtime_ns
