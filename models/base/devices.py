"""The device and the precision of a model, from the user's options. torch is imported when it is used."""

import os
from typing import TYPE_CHECKING, Any

from eidolon.scorers.core.errors import UserError

if TYPE_CHECKING:
    import torch


def choose_device(name: str, flag: str) -> "torch.device":
    """Return the named device; `auto` is the first CUDA device, else Apple's, else the CPU.

    If several processes run on a machine with CUDA devices, `auto` gives each of them its own device. `flag` (`-M`) is
    for the message.

    Raises:
        UserError: the device cannot be used.
    """
    import torch

    if name == "auto":
        name = "mps" if torch.backends.mps.is_available() else "cpu"
        if torch.cuda.is_available():
            name = _own_cuda_device(flag)
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"{flag} device={name}: {str(error).splitlines()[0]}") from error
    return device


def choose_dtype(name: str, device: "torch.device") -> "torch.dtype":
    """Return the named precision; `auto` is float32 on a CPU, elsewhere bfloat16 or, if unsupported, float16."""
    import torch

    if name != "auto":
        dtype: torch.dtype = getattr(torch, name)
        return dtype
    if device.type == "cpu":
        return torch.float32
    if device.type == "cuda" and not torch.cuda.is_bf16_supported():
        return torch.float16
    return torch.bfloat16


def _own_cuda_device(flag: str) -> str:
    """Return the CUDA device of this process, by its rank among the launcher's processes on this machine."""
    import torch

    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if processes == 1:
        return "cuda"
    number, devices = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
    if processes > devices:
        raise UserError(
            f"{flag} device=auto: {processes} processes find {devices} CUDA device(s) here; start at most one "
            f"per device, or name one for all of them, as in {flag} device=cuda:0"
        )
    torch.cuda.set_device(number)  # some kernels run on the current device instead of their tensors' device
    return f"cuda:{number}"


def device_identity(device: "torch.device") -> dict[str, Any]:
    """Return, JSON-ready, the facts about a device that affect rounding: its kind, but not its number."""
    import torch

    found: dict[str, Any] = {"device": device.type, "matmul": torch.get_float32_matmul_precision()}
    if device.type == "cpu":
        found |= {"cpu": torch.backends.cpu.get_cpu_capability(), "threads": torch.get_num_threads()}
    elif device.type == "cuda":
        found["gpu"] = torch.cuda.get_device_name(device)
    return found
