"""The lock of a folder: one process at a time writes to it."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from eidolon.benchmark.store.files import HOLDER, LOCK
from eidolon.scorers.core.errors import UserError


@contextmanager
def claimed(path: Path) -> Iterator[bool]:
    """Hold the lock of a folder, which is made if it is missing, and yield True. Yield False if another process has it.

    The kernel releases the lock of a killed process.

    Raises:
        UserError: the folder cannot be written.
    """
    from filelock import FileLock, Timeout  # imports asyncio

    lock = FileLock(path / LOCK, timeout=0)
    holder = path / HOLDER
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        yield False
        return
    except OSError as error:
        raise UserError(f"--out {path}: cannot be written ({error.strerror})") from error
    try:
        # Beside the lock and not in it: some versions of filelock empty the file when they try to lock it.
        with suppress(OSError):  # on a full disk the name is missing, but the lock holds
            holder.write_text(f"process {os.getpid()} on {socket.gethostname()}", encoding="utf-8")
        yield True
    finally:
        with suppress(OSError):
            holder.unlink()
        lock.release()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a folder.

    Raises:
        UserError: another process holds the lock, or the folder cannot be written.
    """
    with claimed(path) as mine:
        if not mine:
            raise UserError(
                f"--out {path}: is being written by {_read(path / HOLDER)}; wait for it or give another folder"
            )
        yield


def _read(holder: Path) -> str:
    with suppress(OSError):
        return holder.read_text(encoding="utf-8").strip() or "another process"
    return "another process"
