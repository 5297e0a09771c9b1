"""Shared parts of the fading memories: a short causal convolution with its state, and two normalisations."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional

EPSILON = 1e-6


class ShortConvolution(nn.Module):
    """A causal depthwise convolution over time, followed by SiLU."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(channels, kernel))
        nn.init.uniform_(self.weight, -(kernel**-0.5), kernel**-0.5)

    def forward(self, x: Tensor, mask: Tensor | None, past: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return the output, (batch, T, channels) as the input, and the last `kernel - 1` inputs for the next call.

        `past`, (batch, kernel - 1, channels), is from the previous call; None is zeros. `mask`, (batch, T), is False on
        padding, which is replaced by zeros.
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
            # As a picture of one row with channels last, which is how `whole` lies in memory. On a CPU the
            # convolution over one dimension takes twice as long.
            row = whole.transpose(1, 2)[:, :, None]
            mixed = functional.conv2d(row, self.weight[:, None, None], groups=self.weight.shape[0])
            mixed = mixed[:, :, 0].transpose(1, 2)
        return functional.silu(mixed), whole[:, whole.shape[1] - (kernel - 1) :].contiguous()


class RMSNorm(nn.Module):
    """x / rms(x) times a learned scale, and with a gate z also times SiLU(z)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor, gate: Tensor | None = None) -> Tensor:
        """Return x normalised along the last axis, in the dtype of x. The computation is in at least float32."""
        precise = x.to(at_least_float32(x.dtype))
        scaled = precise * torch.rsqrt(precise.square().mean(-1, keepdim=True) + EPSILON)
        normed = self.weight.to(scaled.dtype) * scaled
        if gate is not None:
            normed = normed * functional.silu(gate.to(normed.dtype))
        return normed.to(x.dtype)


@torch.no_grad()
def copy_rows(weights: Sequence[Tensor], source: int, target: int, rows: int) -> None:
    """Copy `rows` rows of each matrix, starting at row `source`, to the rows starting at `target`."""
    for weight in weights:
        weight[target : target + rows].copy_(weight[source : source + rows])


@torch.no_grad()
def read_before(weight: Tensor, first: int, rows: int, before: Tensor | None) -> None:
    """Multiply `rows` rows of a projection's weight by the transpose of `before`, (width, width); None changes nothing.

    A projection W then gives to an input `before` x what it gave to x, if `before` is orthogonal.
    """
    if before is not None:
        piece = weight[first : first + rows]
        piece.copy_(piece @ before.T)


def joined(parts: Sequence[Tensor]) -> Tensor:
    """Return tensors one after the other along their third dimension. A single one is not copied."""
    return parts[0] if len(parts) == 1 else torch.cat([*parts], 2)


def unit(x: Tensor) -> Tensor:
    """Return x divided by its Euclidean length along the last axis."""
    return x * torch.rsqrt(x.square().sum(-1, keepdim=True) + EPSILON)


def at_least_float32(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype of states and of the computation of recurrences."""
    return torch.promote_types(dtype, torch.float32)


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """Return a context in which products have the dtype of their factors."""
    if not torch.amp.is_autocast_available(device.type):  # such as torch's meta device, which counts costs
        return nullcontext()
    return torch.autocast(device.type, enabled=False)


def product_dtype(x: Tensor) -> torch.dtype:
    """Return the dtype of products of x with weights of its dtype; autocast may make it narrower."""
    device = x.device.type
    if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
        return torch.get_autocast_dtype(device)
    return x.dtype
