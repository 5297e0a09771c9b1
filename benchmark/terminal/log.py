"""What happens in a run, as events with levels: a line of JSON each in the folder's `run.log`, and on stderr as
much as the user wants to see.

Everything goes through the standard `logging`: `logging.getLogger(__name__).info("batch answered",
extra={"fields": {...}})`; `"told": True` beside the fields keeps from stderr what is said there already. Our own
loggers are below `eidolon`; of libraries only warnings are taken, at any level, because what they say in detail can
hold headers and keys.
"""

import json
import logging
import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from eidolon.benchmark.terminal.safe_text import one_line
from eidolon.scorers.core.errors import UserError, did_you_mean

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
DEFAULT = "warning"
VARIABLE = "EIDOLON_LOG"
"""The environment's word for `--log-level`."""

OURS = "eidolon"
LIBRARIES = {
    "TRANSFORMERS_VERBOSITY": "error",
    "HF_HUB_VERBOSITY": "error",
    "DATASETS_VERBOSITY": "error",
    "VLLM_LOGGING_LEVEL": "ERROR",
}
"""How libraries with handlers of their own are told what to print, where the user has not told them."""
REPEATS = 5
"""Times that an event of one kind is shown on stderr; `run.log` has them all."""
SHORTEST_SECRET = 8
SECRET_NAMES = ("KEY", "TOKEN", "SECRET", "PASSWORD")
"""Ends of the names of environment variables whose values are struck out."""

_logger = logging.getLogger(OURS)


def find_level(text: str | None) -> int:
    """Return the level that `--log-level` or else the environment names; an unknown one is a UserError."""
    given = os.environ.get(VARIABLE, "") or DEFAULT if text is None else text
    if (level := LEVELS.get(given.lower())) is None:
        where = f"{VARIABLE}={given}" if text is None else f"--log-level {given}"
        raise UserError(f"{where}: unknown level{did_you_mean(given, [*LEVELS])}")
    return level


def tame_libraries() -> None:
    """Keep libraries from writing to a terminal that shows a progress bar; for the program, not for a library's
    user. What the user set for one of them stays."""
    for variable, value in LIBRARIES.items():
        os.environ.setdefault(variable, value)
    logging.captureWarnings(True)


@contextmanager
def to_stderr(level: int) -> Iterator[None]:
    """Show events from a level on while the block runs."""
    handler = _StderrHandler(level)
    with _attached(handler):
        yield


@contextmanager
def to_file(path: Path) -> Iterator[None]:
    """Append events to a file while the block runs: from `info` on, and `debug` where that is shown too.

    A file that cannot be written is no reason to end a run: then there is no log.
    """
    shown = [h.level for h in logging.getLogger().handlers if isinstance(h, _StderrHandler)]
    level = min([logging.INFO, *shown])
    handler = None
    with suppress(OSError):
        handler = _FileHandler(path, level)
    if handler is None:
        yield
        return
    try:
        with _attached(handler):
            yield
    finally:
        handler.close()


class _Handler(logging.Handler):
    """Takes our events, and of libraries the warnings."""

    def filter(self, record: logging.LogRecord) -> bool:
        ours = record.name == OURS or record.name.startswith(OURS + ".")
        return (ours or record.levelno >= logging.WARNING) and bool(super().filter(record))

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Let the run go on: the log is there for it, not it for the log."""


class _StderrHandler(_Handler):
    def __init__(self, level: int) -> None:
        super().__init__(level)
        self._seen: Counter[str] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(record, "told", False):
            return
        self._seen[record.getMessage()] += 1
        if (times := self._seen[record.getMessage()]) > REPEATS and self.level > logging.DEBUG:
            return
        try:
            from eidolon.benchmark.terminal.progress import say

            fields = ", ".join(f"{name} {_plain(value)}" for name, value in _fields(record).items())
            last = " (more of these are in run.log only)" if times == REPEATS else ""
            line = f"{record.levelname.lower()}: {record.getMessage()}{': ' if fields else ''}{fields}{last}"
            say(one_line(without_secrets(line)))
        except Exception:
            self.handleError(record)


class _FileHandler(_Handler):
    def __init__(self, path: Path, level: int) -> None:
        super().__init__(level)
        # A folder from elsewhere may hold a link in the place of a log.
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)
        self._descriptor: int | None = os.open(path, flags, 0o666)
        size = os.fstat(self._descriptor).st_size
        if size and os.pread(self._descriptor, 1, size - 1) != b"\n":
            with suppress(OSError):
                os.write(self._descriptor, b"\n")  # a kill tore the last line

    def emit(self, record: logging.LogRecord) -> None:
        try:
            if self._descriptor is not None:
                # In one piece: lines of several threads do not mix.
                os.write(self._descriptor, (format_line(record) + "\n").encode())
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)
        super().close()


def format_line(record: logging.LogRecord) -> str:
    """Return an event as a line of JSON: `time` (UTC), `level`, `event`, and `fields` where it has some."""
    line: dict[str, Any] = {
        "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
        "level": record.levelname.lower(),
        "event": record.getMessage(),
    }
    if not (record.name == OURS or record.name.startswith(OURS + ".")):
        line["logger"] = record.name
    if fields := dict(_fields(record)):
        line["fields"] = fields
    if record.exc_info:
        line["traceback"] = logging.Formatter().formatException(record.exc_info)
    # ASCII, so that no text of a model can do harm where the file is shown.
    return without_secrets(json.dumps(line, default=str))


def without_secrets(text: str) -> str:
    """Strike out what the environment holds as keys, tokens and passwords."""
    for name, value in os.environ.items():
        value = value.strip()
        if name.upper().endswith(SECRET_NAMES) and len(value) >= SHORTEST_SECRET:
            text = text.replace(value, "***").replace(json.dumps(value)[1:-1], "***")
    return text


@contextmanager
def timed(event: str, **fields: object) -> Iterator[dict[str, object]]:
    """Log an event with the seconds that the block took; the block may add fields."""
    started = time.monotonic()
    more: dict[str, object] = {}
    yield more
    seconds = round(time.monotonic() - started, 3)
    _logger.info(event, extra={"fields": {**fields, **more, "seconds": seconds}})


def _fields(record: logging.LogRecord) -> Mapping[str, Any]:
    fields: Mapping[str, Any] = getattr(record, "fields", {})
    return fields


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


@contextmanager
def _attached(handler: logging.Handler) -> Iterator[None]:
    root = logging.getLogger()
    root.addHandler(handler)
    before = _logger.level
    _logger.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        root.removeHandler(handler)
        _logger.setLevel(before)
