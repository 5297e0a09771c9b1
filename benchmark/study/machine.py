"""The machine that trains and measures."""

import platform


def describe_machine() -> str:
    """Return the name of the GPU; without one, the number of CPU threads and the architecture of the processor."""
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else describe_cpu()


def describe_cpu() -> str:
    """Return the number of threads that PyTorch uses, and the architecture of the processor."""
    import torch

    return f"{torch.get_num_threads()} CPU thread(s), {platform.machine()}"
