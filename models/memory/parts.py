"""What the fading memories share: a short causal convolution with its state, and two normalisations."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional

EPSILON = 1e-6


class ShortConvolution(nn.Module):
    """A causal depthwise convolution over time with SiLU after it."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels, kernel))
        nn.init.uniform_(self.weight, -(kernel**-0.5), kernel**-0.5)

    def forward(self, x: Tensor, mask: Tensor | None, past: Tensor | None) -> tuple[Tensor, Tensor]:
        """Map (batch, T, channels) to the same, and return the last `kernel - 1` inputs for the next call.

        `past` is what an earlier call returned, (batch, kernel - 1, channels); None stands for zeros. Padding
        (`mask` False, shape (batch, T)) enters as zeros.
        """
        kernel = self.weight.shape[1]
        if mask is not None:
            x = x * mask[..., None].to(x.dtype)
        if past is None:
            past = x.new_zeros(x.shape[0], kernel - 1, x.shape[2])
        whole = torch.cat([past.to(x.dtype), x], dim=1)
        if x.shape[1] == 1:
            mixed = torch.einsum("bkc,ck->bc", whole, self.weight)[:, None]
        else:
            mixed = functional.conv1d(
                whole.transpose(1, 2), self.weight[:, None], groups=self.weight.shape[0]
            ).transpose(1, 2)
        return functional.silu(mixed), whole[:, whole.shape[1] - (kernel - 1) :].contiguous()


class RMSNorm(nn.Module):
    """x / rms(x), times a learned scale; with a gate z also times SiLU(z)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor, gate: Tensor | None = None) -> Tensor:
        """Normalise the last axis; computed in at least float32, returned in the dtype of x."""
        precise = x.to(at_least_float32(x.dtype))
        scaled = precise * torch.rsqrt(precise.square().mean(-1, keepdim=True) + EPSILON)
        normed = self.weight.to(scaled.dtype) * scaled
        if gate is not None:
            normed = normed * functional.silu(gate.to(normed.dtype))
        return normed.to(x.dtype)


@torch.no_grad()
def make_alike(weights: Sequence[Tensor], source: int, target: int, rows: int) -> None:
    """Copy so many rows of each matrix, from row `source` on, to `target` and after."""
    for weight in weights:
        weight[target : target + rows].copy_(weight[source : source + rows])


def unit(x: Tensor) -> Tensor:
    """Return x divided by its Euclidean length along the last axis."""
    return x * torch.rsqrt(x.square().sum(-1, keepdim=True) + EPSILON)


def at_least_float32(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype in which states are kept and recurrences computed."""
    return torch.promote_types(dtype, torch.float32)


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """Return a context in which products keep the dtype of what they are made of."""
    if not torch.amp.is_autocast_available(device.type):  # torch's meta device, on which costs are counted
        return nullcontext()
    return torch.autocast(device.type, enabled=False)


def product_dtype(x: Tensor) -> torch.dtype:
    """Return the dtype of products of x with weights of its dtype, which autocast may narrow."""
    device = x.device.type
    if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
        return torch.get_autocast_dtype(device)
    return x.dtype
