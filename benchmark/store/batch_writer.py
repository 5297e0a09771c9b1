"""Completes a batch file: retries what failed transiently, then produces the missing batches.

Generation, the retention probe, visual prompt dependency and forced orders all resume in this one way.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeAlias, TypeVar

from eidolon.benchmark.store.batch_file import BatchFile, Key, StoredRecord, key_of
from eidolon.benchmark.terminal.log import timed
from eidolon.benchmark.terminal.progress import meter


class RetriableRecord(StoredRecord, Protocol):
    """A record that may hold a failure instead of a result."""

    @property
    def transient(self) -> bool:
        """Whether it is a failure that may pass, so that a later session tries again."""
        ...


RecordT = TypeVar("RecordT", bound=RetriableRecord)

Producer: TypeAlias = Callable[[Sequence[Sequence[Key]]], Iterable[Sequence[RecordT]]]
"""Takes the keys of all batches that are to be made, and yields the records of each batch in order."""


def _nothing(*_: object) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Stage(Generic[RecordT]):
    """What distinguishes the stages that write batches."""

    label: str
    """Shown beside the progress."""
    tokens: Callable[[RecordT], int]
    """Tokens of a record, for the speed that the progress shows."""
    failed: Callable[[RecordT], bool]
    """Whether the progress counts the record as an error."""
    before_replace: Callable[[], None] = _nothing
    """Called before records in the file are replaced, to delete what was computed from them."""
    after_batch: Callable[[Sequence[RecordT], int], None] = _nothing
    """Called with each batch that is on the disk, and the number of records that are done."""


def complete(
    file: BatchFile[RecordT], produce: Producer[RecordT], stage: Stage[RecordT]
) -> Sequence[RecordT]:
    """Bring a file to its end and return its records.

    Transient failures are retried first. A new record takes the place of a failure unless it failed transiently too,
    so that a retry without success changes no byte.
    """
    retries = transient_failures(file)
    batches = [*retries, *(file.keys[file.span(batch)] for batch in file.batches)]
    ready = len(file.records) - sum(map(len, retries))
    with meter(stage.label, len(file.keys), ready) as progress:
        for number, records in enumerate(produce(batches)):
            if number >= len(retries):
                file.append(records)
            elif changed := {key_of(record): record for record in records if not record.transient}:
                stage.before_replace()
                file.replace(changed)
            progress.advance(len(records), sum(map(stage.tokens, records)), sum(map(stage.failed, records)))
            stage.after_batch(records, progress.done)
    return file.records


def is_complete(file: BatchFile[RecordT]) -> bool:
    """Return whether no batch is missing and no record failed transiently."""
    return not file.batches and not any(record.transient for record in file.records)


def transient_failures(file: BatchFile[RecordT]) -> list[list[Key]]:
    """Return the keys of the records that failed transiently, grouped by their original batch."""
    batches = (file.records[file.span(batch)] for batch in range(file.done))
    failed = ([key_of(record) for record in batch if record.transient] for batch in batches)
    return [keys for keys in failed if keys]


def batch_by_batch(
    event: str, unit: str, answer: Callable[[Sequence[Key]], Sequence[RecordT]]
) -> Producer[RecordT]:
    """Return a producer that makes one batch after the other in this process.

    Each batch is logged as `event`, with its number, its size under the name `unit`, and the seconds it took.
    """

    def produce(batches: Sequence[Sequence[Key]]) -> Iterator[Sequence[RecordT]]:
        for number, keys in enumerate(batches):
            with timed(event, batch=number, **{unit: len(keys)}):
                records = answer(keys)
            yield records

    return produce
