"""The one reader of run folders. Check, compare, leaderboard, examples, tables and the API use it.

Nothing is opened that could be endless: every file is a regular one of limited size, and every line has a limit.
"""

import os
import stat
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from eidolon.benchmark.store.files import JUDGEMENTS, RESPONSES, RUN, SAMPLES, SCORES
from eidolon.benchmark.store.keyed_lines import KeyedLines
from eidolon.benchmark.store.record import RunRecord, SampleRow, read_record
from eidolon.benchmark.store.stored_lines import StoredLines
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import excerpt
from eidolon.scorers.core.scores import Scores
from eidolon.scorers.core.signature import Signature
from eidolon.scorers.core.types import Judgement, Response

MAX_FILE, MAX_LINE = 1 << 30, 1 << 24
"""Bytes. 5,000 long descriptions with the position of every token take some tens of megabytes, a line a few
kilobytes."""

IN_MEMORY = 1 << 25
"""Bytes of the largest file of lines that is kept as records. Those of a larger one are parsed each time: as records
they take several times the memory."""
LISTED = 8
"""Runs of a folder that a message names."""

KeyT = TypeVar("KeyT", bound=Hashable)
LineT = TypeVar("LineT", bound=BaseModel)
DocumentT = TypeVar("DocumentT", bound=BaseModel)


class RunFileError(UserError):
    """A file of a run folder cannot be read, or does not have the form that this version writes."""

    def __init__(self, path: Path, reason: str, *, line: int | None = None, fix: str = "") -> None:
        """Make the message from the file, the line from 1, the reason, and what the user can do."""
        place = "" if line is None else f":{line}"
        super().__init__(f"{path}{place}: {reason}{fix and f'; {fix}'}")
        self.inside = f"{path.name}{place}: {reason}"
        """The message without the path of the folder, and without the advice."""


class LoadedRun:
    """A run folder. Files are read when they are asked for, once."""

    def __init__(self, path: Path, *, follow_links: bool = True) -> None:
        """Read the record.

        With `follow_links` false, a file that is a link counts as unreadable: it may lead out of the folder.

        Raises:
            UserError: the folder does not exist or holds no run.
        """
        if not path.is_dir():
            raise UserError(f"{path}: {'is a file, not a run folder' if path.exists() else 'no such folder'}")
        self.path = path
        self._follow_links = follow_links
        if reason := self.why_unreadable(RUN):
            raise UserError(f"{path / RUN}: {reason}; this is not a run folder of ours")
        self.record: RunRecord = read_record(path)
        self._contents: dict[str, Any] = {}

    @property
    def name(self) -> str:
        """The model's name, or for responses from elsewhere the folder's."""
        return self.record.name

    @property
    def signature(self) -> Signature:
        """How the scores were computed; all parts are unknown where the record has none."""
        return self.record.signature or Signature()

    def has(self, name: str) -> bool:
        """Tell whether a file exists and may be read."""
        return os.path.lexists(self.path / name) and self.why_unreadable(name) is None

    def why_unreadable(self, name: str, *, largest: int | None = MAX_FILE) -> str | None:
        """Return why an existing file must not be opened, None if it may be, or if it does not exist.

        `largest` is in bytes, None for a file that is not held in memory.
        """
        path = self.path / name
        try:
            mode = path.stat() if self._follow_links else path.lstat()
        except FileNotFoundError:
            return "is a link that leads nowhere" if path.is_symlink() else None
        except OSError as error:
            return f"cannot be read ({error.strerror})"
        if stat.S_ISLNK(mode.st_mode):
            return "is a link, which may lead out of the folder"
        if not stat.S_ISREG(mode.st_mode):
            return "is not a regular file"
        if largest is not None and mode.st_size > largest:
            return f"is larger than {largest >> 20} MiB"
        return None if os.access(path, os.R_OK) else "cannot be read"

    def lines(self, name: str, record: type[LineT]) -> Sequence[LineT]:
        """Return the records of a JSONL file. Those of a large file stay on the disk.

        Raises:
            RunFileError: it does not exist, or a line is not such a record.
        """
        if name not in self._contents:
            self._contents[name] = _attempt(lambda: self._read_lines(name, record))
        found: Sequence[LineT] = _unwrap(self._contents[name])
        return found

    def stream(self, name: str, record: type[LineT]) -> Iterator[LineT]:
        """Yield the records of a JSONL file of any size, one at a time; none where there is no such file.

        Raises:
            RunFileError: the file cannot be read, or a line is not such a record.
        """
        if (path := self._streamed(name)) is not None:
            yield from _records(path, record)

    def keyed(self, name: str, record: type[LineT], key: Callable[[LineT], KeyT]) -> KeyedLines[KeyT, LineT]:
        """Return the records of a JSONL file of any size by their keys, read one at a time; none without the file.

        Raises:
            RunFileError: the file cannot be read; from every access also if a line is not such a record.
        """
        path = self._streamed(name)
        return KeyedLines(
            path, lambda number, line: _parsed(path or self.path, record, number, line), key, MAX_LINE
        )

    def count_lines(self, name: str) -> int:
        """Return the number of lines of a file, 0 where there is no such file.

        Raises:
            RunFileError: the file cannot be read.
        """
        if (path := self._streamed(name)) is None:
            return 0
        with path.open("rb") as stream:
            return sum(part.count(b"\n") for part in iter(lambda: stream.read(1 << 20), b""))

    def _streamed(self, name: str) -> Path | None:
        """Return the path of a file of any size, None where there is no such file."""
        path = self.path / name
        if not os.path.lexists(path):
            return None
        if reason := self.why_unreadable(name, largest=None):
            raise RunFileError(path, reason)
        return path

    def document(self, name: str, record: type[DocumentT]) -> DocumentT:
        """Return the content of a JSON file.

        Raises:
            RunFileError: it does not exist, or is not such a document.
        """
        if name not in self._contents:
            self._contents[name] = _attempt(lambda: self._read_document(name, record))
        found: DocumentT = _unwrap(self._contents[name])
        return found

    def scores(self) -> Scores:
        """Return the scores.

        Raises:
            UserError: the run is not finished, or the file is not of this version.
        """
        if not os.path.lexists(self.path / SCORES):
            raise UserError(
                f"{self.path}: is not a finished run: it holds no {SCORES}; run its command again"
            )
        return self.document(SCORES, Scores)

    def samples(self) -> Sequence[SampleRow]:
        """Return the samples with their true objects; none where the run keeps no such file."""
        return self.lines(SAMPLES, SampleRow) if self.has(SAMPLES) else []

    def responses(self) -> Sequence[Response]:
        """Return the responses; none where the run keeps no such file."""
        return self.lines(RESPONSES, Response) if self.has(RESPONSES) else []

    def judgements(self) -> Sequence[Judgement]:
        """Return the judgements; none where the run keeps no such file."""
        return self.lines(JUDGEMENTS, Judgement) if self.has(JUDGEMENTS) else []

    def judged(self) -> list[tuple[Response, Judgement]]:
        """Return each response with its judgement.

        Raises:
            UserError: the two files are not of the same responses.
        """
        responses, judgements = self.lines(RESPONSES, Response), self.lines(JUDGEMENTS, Judgement)
        keys = ([(one.sample_id, one.generation) for one in file] for file in (responses, judgements))
        if next(keys) != next(keys):
            raise UserError(
                f"{self.path}: {JUDGEMENTS} is not of the {RESPONSES} beside it; run its command again"
            )
        return list(zip(responses, judgements, strict=True))

    def _readable(self, name: str) -> Path:
        path = self.path / name
        if not os.path.lexists(path):
            raise RunFileError(path, "no such file")
        if reason := self.why_unreadable(name):
            raise RunFileError(path, reason)
        return path

    def _read_lines(self, name: str, record: type[LineT]) -> Sequence[LineT]:
        path = self._readable(name)
        if path.stat().st_size <= IN_MEMORY:
            return [*_records(path, record)]
        return StoredLines(path, lambda number, line: _parsed(path, record, number, line), MAX_LINE)

    def _read_document(self, name: str, record: type[BaseModel]) -> BaseModel:
        path = self._readable(name)
        what = "scores file" if name == SCORES else "document"
        try:
            return record.model_validate_json(path.read_bytes())
        except ValidationError as error:
            reason = f"is not a {what} of this version: {first_problem(error)}"
            raise RunFileError(path, reason) from error


def _records(path: Path, record: type[LineT]) -> Iterator[LineT]:
    """Yield the records of a JSONL file that may be read."""
    with path.open("rb") as stream:
        for number in count(1):
            if not (line := stream.readline(MAX_LINE + 1)):
                return
            yield _parsed(path, record, number, line)


def _parsed(path: Path, record: type[LineT], number: int, line: bytes) -> LineT:
    """Return the record on a line. At most one byte more than `MAX_LINE` of it was read."""
    fix = "score the responses again"
    if len(line) > MAX_LINE:
        raise RunFileError(path, f"is longer than {MAX_LINE >> 20} MiB", line=number, fix=fix)
    if not line.endswith(b"\n"):
        raise RunFileError(path, "is cut off: it has no line end", line=number, fix=fix)
    try:
        return record.model_validate_json(line)
    except ValidationError as error:
        reason = f"is not a line of this version ({first_problem(error)})"
        raise RunFileError(path, reason, line=number, fix=fix) from error


def find_run(path: Path) -> Path:
    """Return the run folder that a path names: itself, or the only run in it. Links in it are not followed.

    Raises:
        UserError: the folder holds several runs.
    """
    if os.path.lexists(path / RUN) or not path.is_dir():
        return path
    with suppress(OSError):  # what cannot be listed is reported where it is read
        runs = sorted(
            inner for inner in path.iterdir() if not inner.is_symlink() and os.path.lexists(inner / RUN)
        )
        if len(runs) == 1:
            return runs[0]
        if runs:
            names = ", ".join(run.name for run in runs[:LISTED]) + (", …" if len(runs) > LISTED else "")
            raise UserError(f"{path}: holds {len(runs)} runs ({names}); name one of them")
    return path


def load_run(path: Path) -> LoadedRun:
    """Return the run in a folder, or in the folder below it if that is the only one (`find_run`).

    Raises:
        UserError: the folder does not exist, holds no run, or holds several.
    """
    return LoadedRun(find_run(path))


def first_problem(error: ValidationError) -> str:
    """Return field and message of the first problem. No values: they may be long."""
    problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(str(part) for part in problem["loc"])
    return f"{excerpt(place)}: {problem['msg']}" if place else str(problem["msg"])


def _attempt(read: Any) -> Any:
    """Return what was read, or the error, so that both are kept."""
    try:
        return read()
    except RunFileError as error:
        return error


def _unwrap(found: Any) -> Any:
    if isinstance(found, RunFileError):
        raise found
    return found
