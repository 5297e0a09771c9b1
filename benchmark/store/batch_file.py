"""A file of records that grows by whole batches and can be resumed after a kill."""

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Generic, Protocol, Self, TypeAlias, TypeVar

from pydantic import ValidationError

from eidolon.benchmark.store.atomic import write_atomically
from eidolon.benchmark.store.json_lines import to_lines
from eidolon.scorers.core.errors import UserError

Key: TypeAlias = tuple[str, int]
"""Sample id and generation: the key of a record in its file."""

_log = logging.getLogger(__name__)


class StoredRecord(Protocol):
    """What a batch file needs of a record: its key, and its line."""

    @property
    def sample_id(self) -> str:
        """The sample that the record belongs to."""
        ...

    @property
    def generation(self) -> int:
        """Number of the record among those of its sample, from 0."""
        ...

    def model_dump_json(self) -> str:
        """Return the record as JSON on one line."""
        ...

    @classmethod
    def model_validate_json(cls, json_data: bytes, /) -> Self:
        """Return the record of a line; raises pydantic's ValidationError."""
        ...


RecordT = TypeVar("RecordT", bound=StoredRecord)


def key_of(record: StoredRecord) -> Key:
    """Return the key of a record."""
    return record.sample_id, record.generation


class BatchFile(Generic[RecordT]):
    """A JSONL file with one record for each expected key. It is written in fixed batches and resumed at the end of
    the last whole batch."""

    def __init__(self, path: Path, record: type[RecordT], keys: Sequence[Key], batch_size: int) -> None:
        """Read the file if it exists, and cut it after its last whole batch.

        `keys` are those of every record, in order.

        Raises:
            UserError: the file holds other records than the expected ones.
        """
        self._path = path
        self.keys = keys
        self.batch_size = batch_size
        self.records: list[RecordT] = []
        self._resume(record)

    @property
    def done(self) -> int:
        """Number of whole batches in the file."""
        return -(-len(self.records) // self.batch_size)

    @property
    def batches(self) -> range:
        """The batches that are missing."""
        return range(self.done, -(-len(self.keys) // self.batch_size))

    def span(self, batch: int) -> slice:
        """Return the positions of a batch in `keys`."""
        return slice(batch * self.batch_size, min((batch + 1) * self.batch_size, len(self.keys)))

    def append(self, records: Sequence[RecordT]) -> None:
        """Write the next batch. It is on the disk when this returns."""
        expected = list(self.keys[self.span(self.done)])
        if [key_of(record) for record in records] != expected:
            raise ValueError(f"batch {self.done} of {self._path.name} does not hold its samples in order")
        with self._path.open("ab") as stream:
            stream.write(to_lines(records).encode())
            stream.flush()
            os.fsync(stream.fileno())
        self.records.extend(records)

    def replace(self, changed: Mapping[Key, RecordT]) -> None:
        """Replace records by others with the same keys: after a kill the disk has all of the new ones or none."""
        self.records = [changed.get(key_of(record), record) for record in self.records]
        write_atomically(self._path, to_lines(self.records))

    def _resume(self, record: type[RecordT]) -> None:
        # Not read by `jsonlines`: where the file is cut depends on the byte at which each line ends.
        if not self._path.exists():
            return
        content = self._path.read_bytes()
        ends: list[int] = []
        found: list[RecordT] = []
        position = 0
        while (end := content.find(b"\n", position)) != -1:
            key = self.keys[len(found)] if len(found) < len(self.keys) else None
            try:
                line = record.model_validate_json(content[position:end])
            except ValidationError as error:
                raise not_ours(self._path, len(found) + 1, error) from error
            if key_of(line) != key:
                raise other_sample(self._path, len(found) + 1, line, key)
            found.append(line)
            position = end + 1
            ends.append(position)
        whole = (
            len(found) if len(found) == len(self.keys) else len(found) // self.batch_size * self.batch_size
        )
        self.records = found[:whole]
        if (length := ends[whole - 1] if whole else 0) < len(content):
            dropped = {"file": self._path.name, "bytes": len(content) - length, "records": len(found) - whole}
            _log.info("torn batch dropped", extra={"fields": dropped})
            with self._path.open("r+b") as stream:
                stream.truncate(length)


def not_ours(path: Path, line: int, error: ValidationError) -> UserError:
    """Return the error for a line that is no record."""
    return UserError(
        f"{path}:{line}: is not a line this run wrote ({error.errors()[0]['msg']}); "
        "delete the file to do this stage again"
    )


def other_sample(path: Path, line: int, record: StoredRecord, key: Key | None) -> UserError:
    """Return the error for a record that has another key than the expected one; None where there should be none."""
    return UserError(
        f"{path}:{line}: holds sample {record.sample_id!r} where the run has {key[0] if key else 'no more'!r}; "
        "delete the file to do this stage again"
    )


def count_lines(path: Path) -> int:
    """Return how many line ends a file has, read as a stream; 0 where there is none."""
    try:
        with path.open("rb") as stream:
            return sum(chunk.count(b"\n") for chunk in iter(lambda: stream.read(1 << 20), b""))
    except FileNotFoundError:
        return 0
