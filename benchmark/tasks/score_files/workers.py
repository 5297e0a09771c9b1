"""One function over many items in several processes, with the results in order."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import wait
from typing import Any, TypeVar

from eidolon.scorers.core.errors import UserError

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")

AHEAD = 2
"""Items for each process that are made before the first of them is done: bounds the memory."""

_start: Callable[[], Callable[[Any], Any]] | None = None
_function: Callable[[Any], Any] | None = None
"""In a worker process: what makes its function, and the function once it is made."""


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_order(
    items: Iterable[ItemT],
    function: Callable[[ItemT], ResultT],
    start: Callable[[], Callable[[ItemT], ResultT]],
    processes: int,
) -> Iterator[ResultT]:
    """Yield the function's result for each item, in order.

    With one process it is called here. Otherwise each of the other processes gets it from `start`, which must be
    picklable like items and results. Items are made as they are needed.

    Raises:
        UserError: a process was killed.
    """
    if processes == 1:
        yield from map(function, items)
        return
    executor = ProcessPoolExecutor(
        processes, multiprocessing.get_context("spawn"), initializer=_begin, initargs=(start,)
    )
    waiting: deque[Future[ResultT]] = deque()
    failure: UserError | None = None
    try:
        try:
            for item in items:
                waiting.append(executor.submit(_call, item))
                if len(waiting) > AHEAD * processes:
                    yield waiting.popleft().result()
        except UserError as error:  # of the next item: what comes before it is done first, as in one process
            failure = error
        while waiting:
            yield waiting.popleft().result()
        if failure is not None:
            raise failure
    except BrokenProcessPool as error:
        raise UserError(
            f"--processes {processes}: one of the processes was killed, perhaps for lack of memory; run the same "
            "command with fewer"
        ) from error
    finally:
        executor.shutdown(cancel_futures=True)


def _begin(start: Callable[[], Callable[[Any], Any]]) -> None:
    """Prepare a worker process. The process that started it handles interrupts."""
    global _start
    _start = start
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this process when the one that started it is gone, which no pipe tells."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)


def _call(item: Any) -> Any:
    global _function
    if _function is None:
        assert _start is not None
        _function = _start()
    return _function(item)
