"""Where the batches of a stage are computed, if it is not this process."""

from collections.abc import Iterator
from typing import Protocol


class BatchFunction(Protocol):
    """Computes batches by their number. It is pickled and sent, and loads there what it needs."""

    def __call__(self, batch: int) -> bytes:
        """Return the result of a batch."""
        ...


class BatchMapper(Protocol):
    """Computes the batches of a function elsewhere, several at a time."""

    def map(self, function: BatchFunction, count: int, *, light: bool = False) -> Iterator[tuple[str, bytes]]:
        """Yield the results of the batches 0 to `count` - 1 in order, each with the name of who made it.

        A `light` function needs no accelerator.
        """
        ...
