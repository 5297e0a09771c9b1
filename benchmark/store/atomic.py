"""Atomic writes of files, and the hashes of a run's files."""

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from eidolon.benchmark.store.files import HASHED, RUN, TORN
from eidolon.models.base.checkpoint_files import file_sha256

DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)
"""Errors of the disk that the user can fix. The run then resumes after its last whole batch."""


def write_atomically(path: Path, content: str | bytes | Iterator[str], *, durable: bool = True) -> None:
    """Replace a file. After a kill it has the old content or the new one, never a part.

    Of an iterator each part is written before the next one is made. If the file is `durable`, all that also holds after
    a power cut. A file that is written all the time and can be lost need not be: waiting for the disk takes most of the
    time.
    """
    temporary = path.with_name(f".{path.name}{TORN}")
    try:
        with temporary.open("wb") as stream:
            for part in [content] if isinstance(content, str | bytes) else content:
                stream.write(part.encode() if isinstance(part, str) else part)
            stream.flush()
            if durable:
                os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        _sync_folder(path.parent)


def write_once(path: Path, write: Callable[[], str | Iterator[str]]) -> None:
    """Write a file atomically, unless it exists. `write` returns its content."""
    if not path.exists():
        write_atomically(path, write())


def remove_torn(path: Path) -> None:
    """Delete the unfinished files that a kill left in a folder."""
    for file in path.glob(f".*{TORN}"):
        file.unlink(missing_ok=True)


def file_hashes(path: Path) -> dict[str, str]:
    """Return the SHA-256 of every file of a run, by name. `run.json` is left out, because it records the hashes."""
    return {name: file_sha256(path / name) for name in hashed_names(path)}


def hashed_names(path: Path) -> list[str]:
    """Return the names of the files whose hashes the record of a run holds, sorted."""
    files = (file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
    return sorted(file.name for file in files if file.suffix in HASHED and file.name != RUN)


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
