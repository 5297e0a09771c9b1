"""The event log of a run: one JSON line per event in `run.log`, and on stderr the levels that the user asks for.

Events go through the standard `logging`: `logging.getLogger(__name__).info("batch answered", extra={"fields": {...}})`.
`"shown": True` beside the fields keeps an event off stderr that is printed there anyway.

Our loggers are below `eidolon`. From libraries only warnings are logged, at any level: their details can hold headers
and keys.
"""

import json
import logging
import os
import re
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
"""The environment variable for `--log-level`."""

OURS = "eidolon"
LIBRARIES = {
    "TRANSFORMERS_VERBOSITY": "error",
    "HF_HUB_VERBOSITY": "error",
    "DATASETS_VERBOSITY": "error",
    "VLLM_LOGGING_LEVEL": "ERROR",
}
"""Environment variables that limit what libraries with handlers of their own print, unless the user sets them."""
REPEATS = 5
"""Events with the same text are shown on stderr this many times; `run.log` has all of them."""
SHORTEST_SECRET = 8
"""Characters. Shorter values are not taken for secrets."""
SECRET_NAMES = ("KEY", "TOKEN", "SECRET", "PASSWORD")
"""Suffixes of the names of environment variables that hold secrets."""

_USER_OF_URL = re.compile(r"(?<=://)[^\s'\"<>]*@")
_logger = logging.getLogger(OURS)


def find_level(text: str | None) -> int:
    """Return the level that `--log-level` names (`text`), else the environment, else the default.

    Raises:
        UserError: there is no such level.
    """
    given = os.environ.get(VARIABLE, "") or DEFAULT if text is None else text
    if (level := LEVELS.get(given.lower())) is None:
        where = f"{VARIABLE}={given}" if text is None else f"--log-level {given}"
        raise UserError(f"{where}: unknown level{did_you_mean(given, [*LEVELS])}")
    return level


def quiet_libraries() -> None:
    """Keep libraries from writing to a terminal that shows a progress bar.

    Only the command line calls this. What the user has set for a library stays.
    """
    for variable, value in LIBRARIES.items():
        os.environ.setdefault(variable, value)
    logging.captureWarnings(True)


@contextmanager
def to_stderr(level: int) -> Iterator[None]:
    """Print events of at least a level on stderr while the block runs."""
    handler = _StderrHandler(level)
    with _attached(handler):
        yield


@contextmanager
def to_file(path: Path) -> Iterator[None]:
    """Append events to a file while the block runs: those of at least `info`, and `debug` if that is shown too.

    If the file cannot be written, the run continues without a log.
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
    """Handles our events, and the warnings of libraries."""

    def filter(self, record: logging.LogRecord) -> bool:
        ours = record.name == OURS or record.name.startswith(OURS + ".")
        return (ours or record.levelno >= logging.WARNING) and bool(super().filter(record))

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Do nothing: an error in the log must not end the run."""


class _StderrHandler(_Handler):
    def __init__(self, level: int) -> None:
        super().__init__(level)
        self._seen: Counter[str] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        if vars(record).get("shown", False):
            return
        self._seen[record.getMessage()] += 1
        if (times := self._seen[record.getMessage()]) > REPEATS and self.level > logging.DEBUG:
            return
        try:
            from eidolon.benchmark.terminal.progress import print_line

            fields = ", ".join(f"{name} {_plain(value)}" for name, value in _fields(record).items())
            last = " (more of these are in run.log only)" if times == REPEATS else ""
            line = f"{record.levelname.lower()}: {record.getMessage()}{': ' if fields else ''}{fields}{last}"
            print_line(one_line(without_secrets(line)))
        except Exception:
            self.handleError(record)


class _FileHandler(_Handler):
    def __init__(self, path: Path, level: int) -> None:
        super().__init__(level)
        # A folder from elsewhere may hold a link instead of a log.
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)
        self._descriptor: int | None = os.open(path, flags, 0o666)
        size = os.fstat(self._descriptor).st_size
        if size and os.pread(self._descriptor, 1, size - 1) != b"\n":
            with suppress(OSError):
                os.write(self._descriptor, b"\n")  # a kill tore the last line

    def emit(self, record: logging.LogRecord) -> None:
        try:
            if self._descriptor is not None:
                # One write per line, so that lines of several threads do not mix.
                os.write(self._descriptor, (format_line(record) + "\n").encode())
        except Exception:
            self.handleError(record)

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)
        super().close()


def format_line(record: logging.LogRecord) -> str:
    """Return an event as a JSON line: `time` (UTC), `level`, `event`, and `fields` if it has any."""
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
    # ASCII, so that no text of a model can control the terminal where the file is shown.
    return without_secrets(json.dumps(line, default=str))


def without_secrets(text: str) -> str:
    """Return the text without secrets: they are replaced by `***`.

    These are the values of keys, tokens and passwords in the environment, and what stands before the host of a URL.
    """
    for _, value in _secrets():
        text = text.replace(value, "***").replace(json.dumps(value)[1:-1], "***")
    return _USER_OF_URL.sub("***@", text)


def secret_variable(text: str) -> str | None:
    """Return the name of the environment variable with a secret that a text holds, None if it holds none."""
    return next((name for name, value in _secrets() if value in text), None)


def _secrets() -> Iterator[tuple[str, str]]:
    for name, value in os.environ.items():
        value = value.strip()
        if name.upper().endswith(SECRET_NAMES) and len(value) >= SHORTEST_SECRET:
            yield name, value


@contextmanager
def timed(event: str, **fields: object) -> Iterator[dict[str, object]]:
    """Log an event with the seconds that the block took. The block may add fields to the yielded dict."""
    started = time.monotonic()
    more: dict[str, object] = {}
    yield more
    seconds = round(time.monotonic() - started, 3)
    _logger.info(event, extra={"fields": {**fields, **more, "seconds": seconds}})


def _fields(record: logging.LogRecord) -> Mapping[str, Any]:
    fields: Mapping[str, Any] = vars(record).get("fields", {})
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
