"""Rotary positions (Su et al. 2021) on a part of each head."""

import torch
from torch import Tensor


class Rotary:
    """Rotates the first `width` (an even number) of a head's dimensions by the position; the others stay."""

    def __init__(self, width: int, base: float) -> None:
        self.width, self.base = width, base

    def __call__(self, x: Tensor, positions: Tensor) -> Tensor:
        """Rotate x, (batch, heads, T, dim), as its tokens stand at positions, (batch, T)."""
        if not self.width:
            return x
        half = self.width // 2
        exponents = torch.arange(half, device=x.device, dtype=torch.float64) / half
        # In float64: at position 100,000 a float32 angle is off by 0.01.
        angles = positions[:, None, :, None].to(torch.float64) * self.base**-exponents
        cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
        first, second, rest = x.split([half, half, x.shape[-1] - self.width], dim=-1)
        return torch.cat([first * cos - second * sin, second * cos + first * sin, rest], dim=-1)
