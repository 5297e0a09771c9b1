"""How far a run is: a bar in a terminal, now and then a line elsewhere. Written to stderr."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

LINE_EVERY_S = 10.0
"""Seconds between two lines where there is no terminal."""


class Meter:
    """Counts what a stage has done and shows it."""

    def __init__(self, what: str, total: int, done: int, bar: Progress | None) -> None:
        """Take the number of responses in all and of those that an earlier session made."""
        self._what, self._total, self._done = what, total, done
        self._new = self._tokens = self._errors = 0
        self._start = self._shown = time.monotonic()
        self._bar = bar
        self._task = bar.add_task(what, total=total, completed=done, rates="") if bar is not None else None
        if bar is None:
            self._print(f"{what}: {done} of {total} responses there, {total - done} to do")

    def advance(self, responses: int, tokens: int, errors: int) -> None:
        """Count a batch."""
        self._done += responses
        self._new += responses
        self._tokens += tokens
        self._errors += errors
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self._done, rates=self._rates())
        elif time.monotonic() - self._shown >= LINE_EVERY_S or self._done == self._total:
            self._shown = time.monotonic()
            left = (self._total - self._done) * (self._shown - self._start) / self._new
            self._print(f"{self._what}: {self._done}/{self._total}, {self._rates()}, {left:.0f} s left")

    def _rates(self) -> str:
        seconds = max(time.monotonic() - self._start, 1e-9)
        parts = [f"{self._new / seconds:.1f} samples/s"]
        if self._tokens:
            parts.append(f"{self._tokens / seconds:.0f} tokens/s")
        parts.append(f"{self._errors} errors" if self._errors != 1 else "1 error")
        return ", ".join(parts)

    @staticmethod
    def _print(line: str) -> None:
        Console(stderr=True).print(line, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def meter(what: str, total: int, done: int) -> Iterator[Meter]:
    """Show a stage's progress while the block runs."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield Meter(what, total, done, None)
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        TextColumn("{task.fields[rates]}", markup=False),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        yield Meter(what, total, done, bar)
