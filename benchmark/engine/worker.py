"""What answers batches in one process, as a coordinator sees it."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol, TypeAlias, runtime_checkable

from eidolon.scorers.core.types import Response

Keys: TypeAlias = Sequence[tuple[str, int]]
"""(sample id, generation) of each request of a batch."""
Usage: TypeAlias = dict[str, int | float]


class Worker(Protocol):
    """Answers batches in one process."""

    def load(self) -> None:
        """Load the model, unless it is loaded."""
        ...

    def describe(self) -> dict[str, Any]:
        """Return what the loaded model says of itself, JSON-ready."""
        ...

    def fit_batch(self, keys: Keys) -> int | None:
        """Return how many of these requests the loaded model takes at once, None if it has no preference."""
        ...

    def answer(self, keys: Keys) -> list[Response]:
        """Return the responses of one batch, in order."""
        ...

    def usage(self) -> Usage | None:
        """Return what all requests of this process have used, None if the model does not count."""
        ...

    def keep(self) -> dict[str, int] | None:
        """Store the new responses in the cache. Return hits and misses so far, None without a cache."""
        ...

    def release(self) -> None:
        """Drop the model, so that its memory is free."""
        ...


@runtime_checkable
class ReadingWorker(Worker, Protocol):
    """A worker that can read the pictures of a batch while it answers another."""

    def read_ahead(self, keys: Keys) -> None:
        """Begin to read the pictures of the batch that this process answers next."""
        ...


def answer_in_turn(worker: Worker, batches: Sequence[Keys]) -> Iterator[list[Response]]:
    """Yield the responses of batches, each answered while the pictures of the next are read."""
    for number, keys in enumerate(batches):
        if isinstance(worker, ReadingWorker) and number + 1 < len(batches):
            worker.read_ahead(batches[number + 1])
        yield worker.answer(keys)
