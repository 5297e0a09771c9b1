"""How far a run is: a bar in a terminal, now and then a line elsewhere. Written to stderr."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.table import Column
from rich.text import Text

from eidolon.benchmark.terminal.safe_text import one_line

LINE_EVERY_S = 10.0
"""Seconds between two lines where there is no terminal."""
REFRESH_S = 0.25
WIDE = 100
"""Columns of a terminal from which on there is room for the bar itself."""

_live: Progress | None = None


class Meter:
    """Counts what a stage has done and shows it."""

    def __init__(self, what: str, total: int, done: int, bar: Progress | None) -> None:
        """Take the number of responses in all and of those that an earlier session made."""
        self._what, self._total, self._done = what, total, done
        self._new = self._tokens = self._errors = 0
        self._start = self._shown = time.monotonic()
        self._bar = bar
        self._task = (
            None if bar is None else bar.add_task(self._short(), total=total, completed=done, meter=self)
        )
        if bar is None:
            say(f"{one_line(what)}: {done} of {total} responses there, {total - done} to do")

    @property
    def done(self) -> int:
        """Responses that are there, those of earlier sessions among them."""
        return self._done

    def advance(self, responses: int, tokens: int, errors: int) -> None:
        """Count a batch."""
        self._done += responses
        self._new += responses
        self._tokens += tokens
        self._errors += errors
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self._done)
        elif time.monotonic() - self._shown >= LINE_EVERY_S or self._done == self._total:
            self._shown = time.monotonic()
            say(f"{one_line(self._what)}: {self.counts()}, {', '.join(self.rates())}, {self.left()}")

    def _short(self) -> str:
        """Return the end of a model's path, which tells more than its beginning, and what is done with it."""
        name, comma, rest = one_line(self._what).partition(", ")
        return name.partition("@http")[0].rstrip("/").rpartition("/")[2] + comma + rest

    def counts(self) -> str:
        """Return how many of how many, and the share."""
        return f"{self._done}/{self._total} ({int(100 * self._done / max(1, self._total))} %)"

    def rates(self) -> list[str]:
        """Return the speed and the failures of this session so far."""
        seconds = max(time.monotonic() - self._start, 1e-9)
        errors = f"{self._errors} errors" if self._errors != 1 else "1 error"
        tokens = [f"{_figure(self._tokens / seconds)} tokens/s"] if self._tokens else []
        return [f"{_figure(self._new / seconds)} samples/s", *tokens, errors]

    def left(self) -> str:
        """Return the time that is left, at the speed of this session so far."""
        if self._done == self._total:
            return f"done in {duration(time.monotonic() - self._start)}"
        if not self._new:
            return "time left unknown"
        each = (time.monotonic() - self._start) / self._new
        return f"{duration((self._total - self._done) * each)} left"

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Show speed, errors and time left, as much of it as there is room for."""
        whole = [*self.rates(), self.left()]
        short = [part.replace(" samples/s", "/s").replace(" tokens/s", " tok/s") for part in whole]
        for parts in (whole, short, [short[0], *short[-2:]], short[-2:]):
            if cell_len(line := ", ".join(parts)) <= options.max_width:
                break
        yield Text(line, style="yellow" if self._errors else "", no_wrap=True, overflow="ellipsis")


class _Words(ProgressColumn):
    def render(self, task: Task) -> Meter:
        meter: Meter = task.fields["meter"]
        return meter


class _Counts(ProgressColumn):
    def render(self, task: Task) -> Text:
        meter: Meter = task.fields["meter"]
        return Text(meter.counts(), no_wrap=True)


def duration(seconds: float) -> str:
    """Return a time to read: `40 s`, `12 min`, `3 h 05 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def say(line: str) -> None:
    """Print a line on stderr, above the bar where there is one. What is in it is text, not markup."""
    console = Console(stderr=True) if _live is None else _live.console
    console.print(Text(line), soft_wrap=True)


def _figure(value: float) -> str:
    return f"{value:.2g}" if value < 1 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


@contextmanager
def meter(what: str, total: int, done: int) -> Iterator[Meter]:
    """Show a stage's progress while the block runs."""
    global _live
    console = Console(stderr=True)
    if not console.is_terminal:
        yield Meter(what, total, done, None)
        return
    wide = console.width >= WIDE
    named = Column(max_width=30 if wide else 16, no_wrap=True, overflow="ellipsis")
    columns = (
        TextColumn("{task.description}", markup=False, table_column=named),
        *([BarColumn(bar_width=16)] if wide else []),
        _Counts(),
        _Words(table_column=Column(ratio=1, no_wrap=True)),
    )
    with Progress(*columns, console=console, expand=True, refresh_per_second=1 / REFRESH_S) as bar:
        _live = bar
        try:
            yield Meter(what, total, done, bar)
        finally:
            _live = None
