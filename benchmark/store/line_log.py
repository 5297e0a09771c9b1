"""A file of records that grows by whole batches, like `batch_file`, whose records stay on the disk."""

import logging
import os
import time
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Generic, overload

from pydantic import ValidationError

from eidolon.benchmark.store.batch_file import Key, RecordT, key_of, not_ours, other_sample

SYNC_S = 1.0
"""Seconds after which what was appended is forced to the disk; a kill of the process alone loses nothing."""

_log = logging.getLogger(__name__)


class LineLog(Generic[RecordT]):
    """A JSONL file with one record for each expected key, in fixed batches. A kill costs the batch it tears."""

    def __init__(self, path: Path, record: type[RecordT], keys: Sequence[Key], batch_size: int) -> None:
        """Check the file line by line if it exists, and cut it after its last whole batch.

        `keys` are those of every record, in order.

        Raises:
            UserError: the file holds other records than the expected ones.
        """
        self.path, self.keys, self.batch_size = path, keys, batch_size
        self._record = record
        self._ends = array("Q")
        """The byte after each whole batch."""
        self._synced = time.monotonic()
        self._resume()

    @property
    def done(self) -> int:
        """Number of whole batches in the file."""
        return len(self._ends)

    @property
    def count(self) -> int:
        """Number of records in the file."""
        return min(self.done * self.batch_size, len(self.keys))

    @property
    def all_batches(self) -> range:
        """The batches of the whole file."""
        return range(-(-len(self.keys) // self.batch_size))

    @property
    def batches(self) -> range:
        """The batches that are missing."""
        return range(self.done, len(self.all_batches))

    def span(self, batch: int) -> slice:
        """Return the positions of a batch in `keys`."""
        return slice(batch * self.batch_size, min((batch + 1) * self.batch_size, len(self.keys)))

    def append(self, lines: bytes) -> None:
        """Write the lines of the next batch."""
        wanted = self.span(self.done)
        if lines.count(b"\n") != wanted.stop - wanted.start:
            raise ValueError(f"batch {self.done} of {self.path.name} does not hold its samples")
        with self.path.open("ab") as stream:
            stream.write(lines)
            stream.flush()
            self._ends.append(stream.tell())
            if not self.batches or time.monotonic() - self._synced > SYNC_S:
                os.fsync(stream.fileno())
                self._synced = time.monotonic()

    def lines(self, start: int, stop: int) -> list[bytes]:
        """Return the lines of the records from `start` to before `stop`."""
        first = start // self.batch_size
        with self.path.open("rb") as stream:
            stream.seek(self._ends[first - 1] if first else 0)
            for _ in range(start - first * self.batch_size):
                stream.readline()
            return [stream.readline() for _ in range(stop - start)]

    def records(self) -> "StoredRecords[RecordT]":
        """Return the records of the file, read when they are asked for."""
        return StoredRecords(self, self._record)

    def _resume(self) -> None:
        if not self.path.exists():
            return
        position = count = 0
        with self.path.open("rb") as stream:
            for line in stream:
                if not line.endswith(b"\n"):
                    break
                key = self.keys[count] if count < len(self.keys) else None
                try:
                    found = self._record.model_validate_json(line)
                except ValidationError as error:
                    raise not_ours(self.path, count + 1, error) from error
                if key_of(found) != key:
                    raise other_sample(self.path, count + 1, found, key)
                position += len(line)
                count += 1
                if count % self.batch_size == 0 or count == len(self.keys):
                    self._ends.append(position)
        end = self._ends[-1] if self._ends else 0
        if end < (size := self.path.stat().st_size):
            dropped = {"file": self.path.name, "bytes": size - end, "records": count - self.count}
            _log.info("torn batch dropped", extra={"fields": dropped})
            with self.path.open("r+b") as stream:
                stream.truncate(end)


class StoredRecords(Sequence[RecordT]):
    """The records of a file, each parsed when it is asked for."""

    def __init__(self, log: LineLog[RecordT], record: type[RecordT]) -> None:
        self._log, self._record = log, record

    def __len__(self) -> int:
        return self._log.count

    def __iter__(self) -> Iterator[RecordT]:
        with self._log.path.open("rb") as stream:
            for line in stream:
                yield self._record.model_validate_json(line)

    @overload
    def __getitem__(self, index: int) -> RecordT: ...
    @overload
    def __getitem__(self, index: slice) -> "list[RecordT]": ...
    def __getitem__(self, index: int | slice) -> "RecordT | list[RecordT]":
        span = range(len(self))[index if isinstance(index, slice) else slice(index, index + 1)]
        if span.step != 1:
            raise ValueError("records are read in order")
        found = [self._record.model_validate_json(line) for line in self._log.lines(span.start, span.stop)]
        return found if isinstance(index, slice) else found[0]
