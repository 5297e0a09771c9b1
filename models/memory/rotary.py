"""Rotary position embeddings (Su et al. 2021) on a part of each head."""

import torch
from torch import Tensor


class Rotary:
    """Rotates the first `width` (an even number) dimensions of a head by the position; the others do not change."""

    def __init__(self, width: int, base: float) -> None:
        self.width, self.base = width, base

    def __call__(self, x: Tensor, positions: Tensor) -> Tensor:
        """Return x, (batch, heads, T, dim), rotated by the positions, (batch, T), of its tokens."""
        if not self.width:
            return x
        half = self.width // 2
        # In float64, because at position 100,000 a float32 angle is off by 0.01. Apple's devices have no float64.
        device = torch.device("cpu") if x.device.type == "mps" else x.device
        exponents = torch.arange(half, device=device, dtype=torch.float64) / half
        angles = positions[:, None, :, None].to(device, torch.float64) * self.base**-exponents
        cos, sin = angles.cos().to(x), angles.sin().to(x)
        first, second, rest = x.split([half, half, x.shape[-1] - self.width], dim=-1)
        return torch.cat([first * cos - second * sin, second * cos + first * sin, rest], dim=-1)
