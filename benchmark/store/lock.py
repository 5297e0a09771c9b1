"""The lock of a folder: one process at a time writes to it."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from eidolon.benchmark.store.files import HOLDER, LOCK
from eidolon.scorers.core.errors import UserError

if TYPE_CHECKING:
    from filelock import FileLock


@contextmanager
def claimed(path: Path, *, wait: bool = False) -> Iterator[bool]:
    """Hold the lock of a folder, which is made if it is missing, and yield True.

    If another process holds it, yield False, or `wait` for it. The kernel releases the lock of a killed process.

    Raises:
        UserError: the folder cannot be written.
    """
    try:
        lock = _acquire(path, wait=wait)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from error
    if lock is None:
        yield False
        return
    try:
        yield True
    finally:
        _release(path, lock)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of the folder of a run.

    Raises:
        UserError: another process holds the lock, or the folder cannot be written.
    """
    try:
        lock = _acquire(path)
    except OSError as error:
        raise UserError(f"--out {path}: cannot be written ({error.strerror})") from error
    if lock is None:
        holder = _read(path / HOLDER)
        raise UserError(f"--out {path}: is being written by {holder}; wait for it or give another folder")
    try:
        yield
    finally:
        _release(path, lock)


def _acquire(path: Path, *, wait: bool = False) -> "FileLock | None":
    """Return the acquired lock of a folder; None if another process holds it."""
    from filelock import FileLock, Timeout  # imports asyncio

    lock = FileLock(path / LOCK, timeout=-1 if wait else 0)
    path.mkdir(parents=True, exist_ok=True)
    try:
        lock.acquire()
    except Timeout:
        return None
    # Beside the lock and not in it: some versions of filelock empty the file when they try to lock it.
    with suppress(OSError):  # on a full disk the name is missing, but the lock holds
        (path / HOLDER).write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8")
    return lock


def _release(path: Path, lock: "FileLock") -> None:
    with suppress(OSError):
        (path / HOLDER).unlink()
    lock.release()


def _read(holder: Path) -> str:
    with suppress(OSError):
        return holder.read_text(encoding="utf-8").strip() or "another process"
    return "another process"
