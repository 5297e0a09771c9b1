"""Recovery from a failed batch: smaller parts are tried, down to single requests."""

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

OOM_SPLITS, OOM_ALONE, ERROR_SPLITS = "oom_splits", "oom_alone", "batches_taken_apart"
"""The counts of splits, by their names under `usage` in `run.json`."""
OUT_OF_MEMORY = "out of memory, though asked alone; try a smaller -M max_pixels or -M dtype=bfloat16"
"""The error of a request that does not fit. torch's own message has byte counts, which differ between runs."""

_REASON_CHARACTERS = 300
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
_LOST = re.compile(r"\b(CUDA|HIP|XPU|CUDNN|CUBLAS)\w* error|device-side assert|illegal memory access", re.I)

ItemT = TypeVar("ItemT")
AnswerT = TypeVar("AnswerT")
Answer = Callable[[Sequence[Request]], Sequence[Response]]


def answer_in_parts(answer: Answer, requests: Sequence[Request], counts: Counter[str]) -> Iterator[Response]:
    """Yield one response per request. If the batch fails it is answered in parts; a request that fails has an error."""

    def failed(request: Request, failure: Failure) -> Response:
        return unanswered(request, failure.reason, transient=failure.transient)

    return in_parts(answer, requests, counts, failed)


def in_parts(
    answer: Callable[[Sequence[ItemT]], Sequence[AnswerT]],
    items: Sequence[ItemT],
    counts: Counter[str],
    failed: Callable[[ItemT, Failure], AnswerT],
) -> Iterator[AnswerT]:
    """Yield the answer to each item of a batch, in order; for a single item that fails, the result of `failed`.

    After an out-of-memory error the batch is tried again in halves. After any other exception, which one item may
    have caused, it is tried item by item. Lack of memory for a single item is transient: other processes may use the
    memory. A UserError, and an error that leaves the device unusable, pass through.
    """
    try:
        answered = list(answer(items))
    except Exception as error:
        if isinstance(error, UserError) or is_device_lost(error):
            raise
        oom, reason = is_out_of_memory(error), reason_of(error)
    else:
        yield from answered
        return
    # The exception holds the tensors of the failed call, so memory can be freed only after the except block.
    if oom:
        clear_device_cache(garbage_collection=True)
    if len(items) == 1:
        if oom:
            counts[OOM_ALONE] += 1
        yield failed(items[0], Failure(OUT_OF_MEMORY if oom else reason, transient=oom))
        return
    counts[OOM_SPLITS if oom else ERROR_SPLITS] += 1
    part = (len(items) + 1) // 2 if oom else 1
    for start in range(0, len(items), part):
        yield from in_parts(answer, items[start : start + part], counts, failed)


def largest_fitting(attempt: Callable[[int], object], most: int) -> int:
    """Return the first of `most`, its half, its quarter, … whose attempt does not run out of memory; at least 1.

    Even a single request may not fit; the run will find out which. Other exceptions pass through.
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
    """Return whether the error is lack of memory, cuBLAS' and the driver's included. A smaller batch may help."""
    return (
        isinstance(error, torch.OutOfMemoryError | MemoryError)
        or (isinstance(error, Exception) and should_reduce_batch_size(error))
        or (
            isinstance(error, RuntimeError)
            and any(text in str(error) for text in ("CUBLAS_STATUS_ALLOC_FAILED", "error: out of memory"))
        )
    )


def is_device_lost(error: BaseException) -> bool:
    """Return whether the device is unusable after the error, as after an assertion in a kernel."""
    if is_out_of_memory(error):
        return False
    accelerator_error = getattr(torch, "AcceleratorError", ())
    return isinstance(error, accelerator_error) or (
        isinstance(error, RuntimeError) and _LOST.search(str(error)) is not None
    )


def reason_of(error: BaseException) -> str:
    """Return exception type and message in one line, without memory addresses, which differ between runs."""
    message = " ".join(_ADDRESS.sub("", str(error)).split())
    return f"{type(error).__name__}: {message}"[:_REASON_CHARACTERS].removesuffix(": ")
