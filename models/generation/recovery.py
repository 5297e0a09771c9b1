"""What becomes of a batch that a model could not answer as a whole: its parts are tried, down to single requests."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import torch
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size

from eidolon.models.base.model import Failure, Request
from eidolon.models.generation.generated_text import unanswered
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.types import Response

OOM_SPLITS, OOM_ALONE, TAKEN_APART = "oom_splits", "oom_alone", "batches_taken_apart"
"""What is counted, under the names that `run.json` has under `usage`."""
NO_ROOM = "out of memory, though asked alone; try a smaller -M max_pixels or -M dtype=bfloat16"
"""The reason of an unanswered request. What torch says holds byte counts, and differs from run to run."""

_REASON_CHARACTERS = 300
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
_LOST = re.compile(r"\b(CUDA|HIP|XPU|CUDNN|CUBLAS)\w* error|device-side assert|illegal memory access", re.I)

ItemT = TypeVar("ItemT")
AnswerT = TypeVar("AnswerT")
Answer = Callable[[Sequence[Request]], Sequence[Response]]


def answer_in_parts(answer: Answer, requests: Sequence[Request], counts: Counter[str]) -> Iterator[Response]:
    """Answer a batch whatever happens to it; a single request that fails comes back with its reason."""

    def failed(request: Request, failure: Failure) -> Response:
        return unanswered(request, failure.reason, transient=failure.transient)

    return in_parts(answer, requests, counts, failed)


def in_parts(
    answer: Callable[[Sequence[ItemT]], Sequence[AnswerT]],
    items: Sequence[ItemT],
    counts: Counter[str],
    failed: Callable[[ItemT, Failure], AnswerT],
) -> Iterator[AnswerT]:
    """Yield what is to be had of a batch, in order, and what `failed` makes of single items that fail.

    Out of memory, the batch is tried again in halves; after any other exception, which may be one item's fault, item
    by item. Lack of memory for a single one may pass, since other processes may have held it. A UserError, and an
    error after which the device answers nothing any more, go through.
    """
    try:
        answered = list(answer(items))
    except Exception as error:
        if isinstance(error, UserError) or is_device_lost(error):
            raise
        no_room, reason = is_out_of_memory(error), reason_of(error)
    else:
        yield from answered
        return
    # Only here, without the exception, are the tensors of the failed call free.
    if no_room:
        clear_device_cache(garbage_collection=True)
    if len(items) == 1:
        if no_room:
            counts[OOM_ALONE] += 1
        yield failed(items[0], Failure(NO_ROOM if no_room else reason, transient=no_room))
        return
    counts[OOM_SPLITS if no_room else TAKEN_APART] += 1
    part = (len(items) + 1) // 2 if no_room else 1
    for start in range(0, len(items), part):
        yield from in_parts(answer, items[start : start + part], counts, failed)


def largest_fitting(attempt: Callable[[int], object], most: int) -> int:
    """Return the first of `most`, its half, its quarter, … whose attempt does not run out of memory; at least 1.

    Even a single request may not fit; that is for the run to find, and to say of which. Other exceptions go through.
    """
    size = most
    while size > 1:
        try:
            attempt(size)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
        else:
            return size
        clear_device_cache(garbage_collection=True)
        size //= 2
    return 1


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether a smaller batch may help. cuBLAS and the driver have words of their own for it."""
    return (
        isinstance(error, torch.OutOfMemoryError | MemoryError)
        or (isinstance(error, Exception) and should_reduce_batch_size(error))
        or (
            isinstance(error, RuntimeError)
            and any(said in str(error) for said in ("CUBLAS_STATUS_ALLOC_FAILED", "error: out of memory"))
        )
    )


def is_device_lost(error: BaseException) -> bool:
    """Return whether the device will fail at everything from now on, as after an assertion in a kernel."""
    if is_out_of_memory(error):
        return False
    lost = getattr(torch, "AcceleratorError", ())
    return isinstance(error, lost) or (
        isinstance(error, RuntimeError) and _LOST.search(str(error)) is not None
    )


def reason_of(error: BaseException) -> str:
    """Return exception type and message in one line, without what differs between two runs."""
    message = " ".join(_ADDRESS.sub("", str(error)).split())
    return f"{type(error).__name__}: {message}"[:_REASON_CHARACTERS].removesuffix(": ")
