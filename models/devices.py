"""Where a model runs, and in which precision, from what the user said."""

from typing import Any

import torch

from eidolon.scorers.errors import UserError


def choose_device(name: str, flag: str) -> torch.device:
    """Return the named device; `auto` is the first CUDA device, else Apple's, else the CPU.

    One that cannot be used is a UserError that names the flag (`-M`).
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"{flag} device={name}: {str(error).splitlines()[0]}") from error
    return device


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """Return the named precision; `auto` is float32 on a CPU, else bfloat16, float16 where there is none."""
    if name != "auto":
        dtype: torch.dtype = getattr(torch, name)
        return dtype
    if device.type == "cpu":
        return torch.float32
    if device.type == "cuda" and not torch.cuda.is_bf16_supported():
        return torch.float16
    return torch.bfloat16


def device_identity(device: torch.device) -> dict[str, Any]:
    """Return what of a device decides how sums are rounded: its kind, not its number."""
    found: dict[str, Any] = {"device": device.type, "matmul": torch.get_float32_matmul_precision()}
    if device.type == "cpu":
        found |= {"cpu": torch.backends.cpu.get_cpu_capability(), "threads": torch.get_num_threads()}
    elif device.type == "cuda":
        found["gpu"] = torch.cuda.get_device_name(device)
    return found
