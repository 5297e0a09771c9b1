"""The machine that trains and measures."""

import platform


def describe_machine() -> str:
    """Return the name of the GPU; without one, the number of CPU threads and the architecture of the processor."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{torch.get_num_threads()} CPU thread(s), {platform.machine()}"
