"""Running the code of plug-ins and of users' own classes in this process, which must stay ours."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

FAILED = 2
"""The exit code of a process that foreign code ended."""

_end_process = os._exit
_owner: int | None = None
"""The process that runs a block, None outside of blocks."""
_folders: dict[str, tuple[str, str]] = {}
"""By the name of foreign code that has changed the working folder: ours, and its own."""


@contextmanager
def foreign_code(name: str | None = None, *, fresh: bool = False) -> Iterator[None]:
    """Run a block of foreign code.

    `name` identifies the code; a `fresh` block is the first of that name.

    - A working folder that it changes is its own: the next block of that name finds it again, and ours stays as it is.
    - A child process that it forks ends with the block, so that only one process writes files.
    - `os._exit` raises `SystemExit`, so that the run ends with an error and not without a word.

    Raises:
        SystemExit: the block called `os._exit`.
    """
    global _owner
    if _owner is not None:  # inside another block
        yield
        return
    process, ours = os.getpid(), _working_folder()
    before = None if name is None or fresh else _folders.get(name)
    if before is not None and before[0] == ours:
        with suppress(OSError):  # it was deleted
            os.chdir(before[1])
    _owner, os._exit = process, _refuse_exit
    try:
        yield
    finally:
        if os.getpid() != process:
            _end_process(FAILED)
        _owner, os._exit = None, _end_process
        theirs = _working_folder()
        if name is not None:
            _folders.pop(name, None)
        if ours is not None and theirs != ours:
            if name is not None and theirs is not None:
                _folders[name] = ours, theirs
            os.chdir(ours)


def _working_folder() -> str | None:
    try:
        return os.getcwd()
    except FileNotFoundError:  # it was deleted
        return None


def _refuse_exit(status: int) -> NoReturn:
    """Replace `os._exit`, which would end the program with an exit code of its own."""
    if os.getpid() != _owner:  # a child process, which ends like this
        _end_process(status)
    if threading.current_thread() is threading.main_thread():
        raise SystemExit(f"os._exit({status})")
    if status == 0:
        message = "error: a thread of a plug-in ended the program by os._exit(0); the run is not finished"
        print(message, file=sys.stderr, flush=True)
        status = FAILED
    _end_process(status)
