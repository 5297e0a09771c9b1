"""The progress of a stage, on stderr: a bar in a terminal, elsewhere a line from time to time."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.table import Column
from rich.text import Text

from eidolon.benchmark.terminal.safe_text import one_line

LINE_EVERY_S = 10.0
"""Seconds between two lines if stderr is not a terminal."""
PATIENCE_S = 2.0
"""Seconds before a stage that is usually short is shown."""
REFRESH_S = 0.25
WIDE = 100
"""A terminal with at least this many columns has room for the bar itself."""

_live: Progress | None = None


class Observer(Protocol):
    """Hears of the progress too, in the thread that works."""

    def progressed(self, meter: "Meter") -> None:
        """A stage begins, or a batch of it is done and on the disk."""
        ...

    def occupied(self, label: str) -> None:
        """Something begins that has no batches."""
        ...


_observer: Observer | None = None


class Meter:
    """Counts what a stage has done, and shows it."""

    def __init__(
        self, label: str, total: int, done: int, bar: Progress | None, patience: float = 0.0
    ) -> None:
        """`total` is the number of responses, `done` the number of those from earlier sessions.

        Nothing is shown before `patience` seconds.
        """
        self._label, self._total, self._done = label, total, done
        self._new = self._tokens = self._errors = 0
        self._start = self._shown = time.monotonic()
        self._bar, self._patience = bar, patience
        self._task: TaskID | None = None
        self._begun = False
        if not patience:
            self._begin()
        if _observer is not None:
            _observer.progressed(self)

    def _begin(self) -> None:
        global _live
        self._begun = True
        if self._bar is None:
            label, done = one_line(self._label), self._done
            print_line(f"{label}: {done} of {self._total} responses done, {self._total - done} to do")
            return
        _live = self._bar
        self._bar.start()
        self._task = self._bar.add_task(self._short(), total=self._total, completed=self._done, meter=self)

    @property
    def label(self) -> str:
        """The name of the stage."""
        return self._label

    @property
    def total(self) -> int:
        """Number of responses of the whole stage."""
        return self._total

    @property
    def done(self) -> int:
        """Number of responses, including those from earlier sessions."""
        return self._done

    def advance(self, responses: int, tokens: int, errors: int) -> None:
        """Count a batch."""
        self._done += responses
        self._new += responses
        self._tokens += tokens
        self._errors += errors
        self._show()
        if _observer is not None:
            _observer.progressed(self)

    def _show(self) -> None:
        if not self._begun:
            if time.monotonic() - self._start >= self._patience and self._done < self._total:
                self._begin()
            return
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self._done)
        elif time.monotonic() - self._shown >= LINE_EVERY_S or self._done == self._total:
            self._shown = time.monotonic()
            print_line(f"{one_line(self._label)}: {self.counts()}, {', '.join(self.rates())}, {self.left()}")

    def _short(self) -> str:
        """Return the label with a model's path shortened to its last part."""
        name, comma, rest = one_line(self._label).partition(", ")
        return name.partition("@http")[0].rstrip("/").rpartition("/")[2] + comma + rest

    def counts(self) -> str:
        """Return the number done, the total, and the share in percent."""
        return f"{self._done}/{self._total} ({int(100 * self._done / max(1, self._total))} %)"

    def rates(self) -> list[str]:
        """Return the speed and the number of errors of this session."""
        seconds = max(time.monotonic() - self._start, 1e-9)
        errors = f"{self._errors} errors" if self._errors != 1 else "1 error"
        tokens = [f"{_figure(self._tokens / seconds)} tokens/s"] if self._tokens else []
        return [f"{_figure(self._new / seconds)} samples/s", *tokens, errors]

    def left(self) -> str:
        """Return the time left at the speed of this session."""
        if self._done == self._total:
            return f"done in {duration(time.monotonic() - self._start)}"
        if not self._new:
            return "time left unknown"
        each = (time.monotonic() - self._start) / self._new
        return f"{duration((self._total - self._done) * each)} left"

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield speed, errors and time left, shortened to the width of the terminal."""
        whole = [*self.rates(), self.left()]
        short = [part.replace(" samples/s", "/s").replace(" tokens/s", " tok/s") for part in whole]
        for parts in (whole, short, [short[0], *short[-2:]], short[-2:]):
            if cell_len(line := ", ".join(parts)) <= options.max_width:
                break
        yield Text(line, style="yellow" if self._errors else "", no_wrap=True, overflow="ellipsis")


class _Rates(ProgressColumn):
    def render(self, task: Task) -> Meter:
        meter: Meter = task.fields["meter"]
        return meter


class _Counts(ProgressColumn):
    def render(self, task: Task) -> Text:
        meter: Meter = task.fields["meter"]
        return Text(meter.counts(), no_wrap=True)


def duration(seconds: float) -> str:
    """Return a duration as text: `40 s`, `12 min`, `3 h 05 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def print_line(line: str) -> None:
    """Print a line on stderr, above the bar if there is one. The line is plain text, without markup."""
    console = Console(stderr=True) if _live is None else _live.console
    console.print(Text(line), soft_wrap=True)


def _figure(value: float) -> str:
    return f"{value:.2g}" if value < 1 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


@contextmanager
def meter(label: str, total: int, done: int, patience: float = 0.0) -> Iterator[Meter]:
    """Show a stage's progress while the block runs, from `patience` seconds on."""
    global _live
    console = Console(stderr=True)
    if not console.is_terminal:
        yield Meter(label, total, done, None, patience)
        return
    wide = console.width >= WIDE
    label_column = Column(max_width=30 if wide else 16, no_wrap=True, overflow="ellipsis")
    columns = (
        TextColumn("{task.description}", markup=False, table_column=label_column),
        *([BarColumn(bar_width=16)] if wide else []),
        _Counts(),
        _Rates(table_column=Column(ratio=1, no_wrap=True)),
    )
    bar = Progress(*columns, console=console, expand=True, refresh_per_second=1 / REFRESH_S)
    try:
        yield Meter(label, total, done, bar, patience)
    finally:
        if _live is bar:
            bar.stop()
            _live = None


@contextmanager
def busy(label: str, patience: float | None = None) -> Iterator[None]:
    """Say what is being done if the block takes longer than `patience` seconds, by default `PATIENCE_S`."""
    if _observer is not None:
        _observer.occupied(label)
    timer = threading.Timer(
        PATIENCE_S if patience is None else patience, print_line, [f"{one_line(label)} …"]
    )
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextmanager
def observed_by(observer: Observer) -> Iterator[None]:
    """Tell an observer of all progress while the block runs."""
    global _observer
    before, _observer = _observer, observer
    try:
        yield
    finally:
        _observer = before
