"""The run folder: its files, its lock, and how it survives a kill.

`run.json` is written first and describes the run. `responses.jsonl` and `judgements.jsonl` grow by whole batches. A
batch that a kill tears is dropped and made again. `scores.json` is written last, atomically.
"""

import json
import logging
import os
import stat
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from eidolon.benchmark.settings.config import ConfigRecord
from eidolon.benchmark.store.atomic import DISK_ERRORS, file_hashes, remove_torn, write_atomically
from eidolon.benchmark.store.files import HASHED, HOLDER, LOCK, LOG, RUN, TORN
from eidolon.benchmark.store.lock import locked
from eidolon.benchmark.store.migration import in_recorded_order
from eidolon.benchmark.store.record import RunRecord, Status, first_difference, read_record, utc_now
from eidolon.benchmark.terminal.log import secret_variable, to_file
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import MAX_INPUT_BYTES, excerpt

_log = logging.getLogger(__name__)


class RunFolder:
    """The folder of a run, locked by this process. `open_run` makes it."""

    def __init__(self, path: Path, record: RunRecord) -> None:
        self.path = path
        self.record = record

    def save(self) -> None:
        """Write `run.json`."""
        write_atomically(self.path / RUN, self.record.model_dump_json(indent=2) + "\n")

    def describe_model(self, description: dict[str, Any]) -> None:
        """Record the loaded model's description of itself.

        Raises:
            UserError: an earlier session recorded another one.
        """
        if self.record.model is not None and self.record.model != description:
            field, here, there = first_difference(description, self.record.model) or ("", None, None)
            raise UserError(
                f"{self.path}: was started with another model: {field} is {excerpt(here)} now and was "
                f"{excerpt(there)}; give another --out"
            )
        self.record.model = description
        self.save()

    def describe_session(self, processes: int, threads: int | None) -> None:
        """Record the number of processes that answer in this session, and the threads of each."""
        session = self.record.sessions[-1]
        session.processes, session.threads = processes, threads

    def count_usage(self, before: Mapping[str, int | float], session: Mapping[str, int | float]) -> None:
        """Record the sum of what the requests of earlier sessions (`before`) and of this one have used."""
        self.record.usage = {
            name: before.get(name, 0) + session.get(name, 0) for name in dict.fromkeys([*before, *session])
        }
        self.save()

    def forget(self, *names: str) -> None:
        """Delete files that an earlier stage has made stale."""
        for name in names:
            (self.path / name).unlink(missing_ok=True)


def check_folder(path: Path, config: ConfigRecord) -> RunRecord | None:
    """Return the record of the run in a folder, None if the folder is empty or missing. Nothing is created.

    Raises:
        UserError: the folder cannot be written, holds something else, or holds a run with another config (the message
            names the first field that differs), or a setting holds a secret of the environment.
    """
    refuse_secrets(config)
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
        refuse_special(path)
        record = read_record(path)
    except OSError as error:
        raise UserError(f"--out {path}: cannot be used ({error.strerror})") from error
    mine, theirs = config.model_dump(mode="json"), record.config.model_dump(mode="json")
    if difference := first_difference(in_recorded_order(mine, theirs), theirs):
        field, here, there = difference
        field = field.removeprefix("settings.").removeprefix("inputs.")
        raise UserError(
            f"--out {path}: holds a different run: {field} is {excerpt(here)} now and was {excerpt(there)}; "
            "give another folder"
        )
    return record


def refuse_secrets(config: ConfigRecord) -> None:
    """Check that no setting holds a key, token or password of the environment: `run.json` is made to be published.

    Raises:
        UserError: one does. The message does not repeat it.
    """
    fields = config.model_dump(mode="json")
    for name, value in {**fields.pop("settings"), **fields}.items():
        if (variable := secret_variable(json.dumps(value, ensure_ascii=False))) is not None:
            raise UserError(
                f"the setting {name!r} holds the value of the environment variable {variable}, which run.json "
                "would show; leave it out"
            )


def refuse_special(path: Path) -> None:
    """Check that no file of a run folder is a pipe, a device, a folder or too large.

    Raises:
        UserError: one of them is.
        OSError: one of them is a loop of links, or may not be read.
    """
    for file in sorted(path.iterdir()):
        with suppress(FileNotFoundError):  # a link to nothing; it may be written
            found = file.stat()
            if not stat.S_ISREG(found.st_mode):
                if not (stat.S_ISDIR(found.st_mode) and file.suffix not in HASHED):
                    raise UserError(f"{file}: is not a regular file, as those of a run are; remove it")
            elif found.st_size > MAX_INPUT_BYTES:
                raise UserError(f"{file}: is larger than any file of a run; remove it")


@contextmanager
def held_record(path: Path) -> Iterator[RunRecord]:
    """Lock a run folder for a change to its record. The record is written when the block ends."""
    read_record(path)
    with locked(path):
        record = read_record(path)
        yield record
        try:
            RunFolder(path, record).save()
        except OSError as error:
            raise UserError(f"{path / RUN}: cannot be written ({error.strerror})") from error


@contextmanager
def open_run(path: Path, fresh: RunRecord) -> Iterator[RunFolder]:
    """Lock and check a run folder, and keep the status in its record up to date.

    An earlier run with the same config is resumed. An interrupt ends the session with the status `cancelled`, any other
    exception with `error`.

    Raises:
        UserError: the folder holds something else, is locked by another process, or cannot be written.
    """
    check_folder(path, fresh.config)
    with locked(path), to_file(path / LOG):
        earlier = check_folder(path, fresh.config)
        record = fresh
        if earlier is not None:
            # The diagnosis of the model is kept in one place. That of this session is newer.
            verdicts = fresh.provenance.doctor or earlier.provenance.doctor
            earlier.provenance.doctor = fresh.provenance.doctor = verdicts
            for session in fresh.sessions:
                session.provenance = None if fresh.provenance == earlier.provenance else fresh.provenance
            record = earlier.model_copy(
                update={
                    "sessions": earlier.sessions + fresh.sessions,
                    "signature": fresh.signature,
                    "name": fresh.name,
                    "warnings": fresh.warnings,
                }
            )
        record.status, record.files = "started", None
        folder = RunFolder(path, record)
        session = record.sessions[-1]
        started = {"session": len(record.sessions), "command": session.command, "host": session.host}
        started |= {"pid": session.pid, "versions": fresh.provenance.packages}
        _log.info("session started", extra={"fields": started})
        try:
            remove_torn(path)
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


def _is_beginning(name: str) -> bool:
    """Return whether a kill can leave a file of this name before there is a `run.json`."""
    return name in (LOCK, HOLDER, LOG, f".{RUN}{TORN}")


def _end(folder: RunFolder, status: Status, error: str | None) -> None:
    folder.record.status = status
    session = folder.record.sessions[-1]
    session.status, session.error, session.ended = status, error, utc_now()
    fields = {"status": status, **({"error": error} if error else {})}
    # The command line prints the error itself.
    level = logging.INFO if status == "success" else logging.ERROR
    folder.save()
    _log.log(level, "session ended", extra={"fields": fields, "shown": True})
