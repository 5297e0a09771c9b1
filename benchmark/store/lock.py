"""The lock of a run folder: one process at a time writes to it."""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from eidolon.benchmark.store.files import LOCK
from eidolon.scorers.core.errors import UserError


@contextmanager
def locked(path: Path) -> Iterator[None]:
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
