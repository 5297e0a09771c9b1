from collections import Counter
from collections.abc import Iterator, Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from eidolon.models.base.model import Request
from eidolon.models.generation.recovery import (
    ERROR_SPLITS,
    OOM_ALONE,
    OOM_SPLITS,
    OUT_OF_MEMORY,
    answer_in_parts,
    is_device_lost,
    is_out_of_memory,
    largest_fitting,
    reason_of,
)
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.types import Response

PICTURE = Image.new("RGB", (2, 2))
CUDA_FULL = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has …")
CPU_FULL = RuntimeError(
    "[enforce fail at alloc_cpu.cpp:121] data. DefaultCPUAllocator: can't allocate memory: you tried to …"
)
LOST = RuntimeError("CUDA error: device-side assert triggered\nCUDA kernel errors might be …")


@pytest.fixture(autouse=True, scope="module")
def _no_cache_to_clear() -> Iterator[None]:
    """Collecting garbage takes a tenth of a second; the property tests would do it thousands of times."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "eidolon.models.generation.recovery.clear_device_cache", lambda garbage_collection: None
        )
        yield


def requests(n: int) -> list[Request]:
    return [Request(str(i), i, PICTURE, "What?") for i in range(n)]


def answered(request: Request) -> Response:
    return Response(sample_id=request.sample_id, image_id=request.image_id, response="A dog.")


@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=20),
    room=st.integers(1, 30),
    broken=st.sets(st.integers(0, 19)),
)
def test_every_request_is_answered_once_if_some_fail(sizes: list[int], room: int, broken: set[int]) -> None:
    """A batch costs the sum of its sizes; more than `room` does not fit, and some requests break any batch.

    Unanswered are exactly those that are broken, or larger than the room by themselves, each with its own reason.
    """
    sizes_tried: list[int] = []

    def answer(batch: Sequence[Request]) -> list[Response]:
        numbers = [int(request.sample_id) for request in batch]
        sizes_tried.append(len(numbers))
        if sum(sizes[i] for i in numbers) > room:
            raise CUDA_FULL
        if bad := [i for i in numbers if i in broken]:
            raise ValueError(f"picture {bad[0]}")
        return [answered(request) for request in batch]

    counts: Counter[str] = Counter()
    found = list(answer_in_parts(answer, requests(len(sizes)), counts))
    assert [response.sample_id for response in found] == [str(i) for i in range(len(sizes))]
    for i, response in enumerate(found):
        if sizes[i] > room:
            assert (response.error, response.transient) == (OUT_OF_MEMORY, True)
        elif i in broken:
            assert (response.error, response.transient) == (f"ValueError: picture {i}", False)
        else:
            assert response.response == "A dog."
    assert counts[OOM_ALONE] == sum(size > room for size in sizes)
    split = counts[OOM_SPLITS] + counts[ERROR_SPLITS]
    assert (split > 0) == (sizes_tried[0] > 1 and len(sizes_tried) > 1)


def test_out_of_memory_halves() -> None:
    sizes_tried: list[int] = []

    def answer(batch: Sequence[Request]) -> list[Response]:
        sizes_tried.append(len(batch))
        if len(batch) > 3:
            raise CPU_FULL
        return [answered(request) for request in batch]

    counts: Counter[str] = Counter()
    assert len(list(answer_in_parts(answer, requests(11), counts))) == 11
    assert sizes_tried == [11, 6, 3, 3, 5, 3, 2]
    assert counts == {OOM_SPLITS: 3}


@pytest.mark.parametrize("error", [LOST, UserError("-M image_size=3: too small"), KeyboardInterrupt()])
def test_an_error_that_a_smaller_batch_does_not_fix_passes_through(error: BaseException) -> None:
    def answer(batch: Sequence[Request]) -> list[Response]:
        raise error

    with pytest.raises(type(error)):
        list(answer_in_parts(answer, requests(4), Counter()))


def test_kinds_of_errors() -> None:
    full = [CUDA_FULL, CPU_FULL, MemoryError()]
    full.append(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"))
    full.append(RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be …"))
    lost = [LOST, RuntimeError("HIP error: an illegal memory access was encountered")]
    others = [RuntimeError("shape '[2, 3]' is invalid for input of size 5"), ValueError("x"), IndexError()]
    assert [is_out_of_memory(e) for e in (*full, *lost, *others)] == [True] * 5 + [False] * 5
    assert [is_device_lost(e) for e in (*full, *lost, *others)] == [False] * 5 + [True] * 2 + [False] * 3


def test_reasons_are_the_same_in_every_run() -> None:
    one, other = (
        reason_of(TypeError(f"bad <Image at {place}>\n  in line 3")) for place in ("0x7f1", "0xabc")
    )
    assert one == other == "TypeError: bad <Image> in line 3"
    assert reason_of(IndexError()) == "IndexError"
    assert len(reason_of(ValueError(1000 * "x"))) == 300


@given(fits=st.integers(0, 100), most=st.integers(1, 100))
def test_largest_fitting_size(fits: int, most: int) -> None:
    tried: list[int] = []

    def attempt(size: int) -> None:
        tried.append(size)
        if size > fits:
            raise CUDA_FULL

    found = largest_fitting(attempt, most)
    candidates = [most >> k for k in range(most.bit_length())]
    assert found == next((size for size in candidates if size <= fits), 1)
    assert tried == [size for size in candidates if size > 1 and size >= found]


def test_another_failure_of_a_trial_passes_through() -> None:
    def attempt(size: int) -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        largest_fitting(attempt, 8)
