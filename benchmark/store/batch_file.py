"""A file of records that grows by whole batches and can be resumed after a kill."""

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import ValidationError

from eidolon.benchmark.store.atomic import write_atomically
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.types import Judgement, Response
from eidolon.scorers.forgetting.forced_orders import ForcedTurn
from eidolon.scorers.forgetting.records import Dependence
from eidolon.scorers.retention.records import AnsweredContext

_log = logging.getLogger(__name__)
RecordT = TypeVar("RecordT", Response, Judgement, AnsweredContext, Dependence, ForcedTurn)


class BatchFile(Generic[RecordT]):
    """A JSONL file of one record an expected key, written in fixed batches and resumed at a batch's edge."""

    def __init__(
        self, path: Path, record: type[RecordT], keys: Sequence[tuple[str, int]], batch_size: int
    ) -> None:
        """Take the (sample id, generation) of every record in order. Reads what is there, and cuts the file
        after the last whole batch; records that are not the expected ones are a UserError."""
        self._path = path
        self.keys = keys
        self.batch_size = batch_size
        self.records: list[RecordT] = []
        self._resume(record)

    @property
    def done(self) -> int:
        """Number of whole batches that are there."""
        return -(-len(self.records) // self.batch_size)

    @property
    def batches(self) -> range:
        """The batches that are still to do."""
        return range(self.done, -(-len(self.keys) // self.batch_size))

    def span(self, batch: int) -> slice:
        """Return which of the keys belong to a batch."""
        return slice(batch * self.batch_size, min((batch + 1) * self.batch_size, len(self.keys)))

    def append(self, records: Sequence[RecordT]) -> None:
        """Write the next batch to the disk before returning."""
        expected = list(self.keys[self.span(self.done)])
        if [(r.sample_id, r.generation) for r in records] != expected:
            raise ValueError(f"batch {self.done} of {self._path.name} does not hold its samples in order")
        text = "".join(record.model_dump_json() + "\n" for record in records)
        with self._path.open("ab") as stream:
            stream.write(text.encode())
            stream.flush()
            os.fsync(stream.fileno())
        self.records.extend(records)

    def replace(self, changed: Mapping[tuple[str, int], RecordT]) -> None:
        """Put other records in the place of some that are there: on the disk all of them, or after a kill none."""
        self.records = [changed.get((r.sample_id, r.generation), r) for r in self.records]
        write_atomically(self._path, "".join(record.model_dump_json() + "\n" for record in self.records))

    def _resume(self, record: type[RecordT]) -> None:
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
                raise UserError(
                    f"{self._path}:{len(found) + 1}: is not a line this run wrote "
                    f"({error.errors()[0]['msg']}); delete the file to do this stage again"
                ) from error
            if (line.sample_id, line.generation) != key:
                raise UserError(
                    f"{self._path}:{len(found) + 1}: holds sample {line.sample_id!r} where the run has "
                    f"{key[0] if key else 'no more'!r}; delete the file to do this stage again"
                )
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
