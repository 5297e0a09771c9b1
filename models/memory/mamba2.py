"""Mamba2's state-space duality (Dao and Gu, ICML 2024, arXiv 2405.21060): a fading memory that adds up tokens.

    h_t = e^{Δ_t A} h_{t-1} + Δ_t B_t x_tᵀ,    y_t = h_tᵀ C_t

A < 0 is a number per head. Δ_t > 0 decides how much of a token is written and how much of the state is forgotten. All
heads share B_t and C_t.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from eidolon.models.memory.decay import carry, decays, into_chunks
from eidolon.models.memory.parts import (
    RMSNorm,
    ShortConvolution,
    at_least_float32,
    copy_rows,
    read_before,
    without_autocast,
)

INITIAL_STEP = 0.5
"""Δ at the start. Mamba2's own, log-uniform in [0.001, 0.1], writes about 1 % of what the skip connection passes; small
models then learn no recall in thousands of steps."""
INITIAL_RATE = 0.02
"""-A at the start, so that a state keeps 99 % per token with `INITIAL_STEP`."""


@dataclass(frozen=True, slots=True)
class Mamba2State:
    """The state of a layer: the last inputs of its convolution, and h."""

    convolution: Tensor
    """(batch, kernel - 1, heads · head_dim + 2 · state)."""
    recurrent: Tensor
    """(batch, heads, state, head_dim), at least float32."""


class Mamba2(nn.Module):
    """A layer of symbol `M2`: projections, short convolution, the recurrence, a gated norm, a projection."""

    def __init__(
        self,
        width: int,
        heads: int,
        head_dim: int,
        *,
        conv: int = 4,
        chunk: int = 64,
        state: int | None = None,
    ) -> None:
        """Take the sizes. `state` is the length of B and C; None is `head_dim`."""
        super().__init__()
        self.heads, self.head_dim, self.chunk = heads, head_dim, chunk
        self.state = state or head_dim
        inner = heads * head_dim
        self.in_proj = nn.Linear(width, 2 * inner + 2 * self.state, bias=False)
        """x, B, C and the output's gate."""
        self.steps = nn.Linear(width, heads, bias=False)
        """Δ without its bias."""
        self.convolution = ShortConvolution(inner + 2 * self.state, conv)
        self.a_log = nn.Parameter(torch.full((heads,), math.log(INITIAL_RATE)))
        self.dt_bias = nn.Parameter(torch.full((heads,), math.log(math.expm1(INITIAL_STEP))))
        self.skip = nn.Parameter(torch.ones(heads))
        """D, the weight of a token in its own output."""
        self.norm = RMSNorm(inner)
        self.out_proj = nn.Linear(inner, width, bias=False)

    def align_queries_and_keys(self, before: Tensor | None = None) -> None:
        """Copy the projection and convolution of B (keys) to those of C (queries); see `MemoryBlock` for `before`."""
        inner = self.heads * self.head_dim
        weights = (self.in_proj.weight, self.convolution.weight)
        copy_rows(weights, inner, inner + self.state, self.state)
        read_before(self.in_proj.weight, inner, self.state, before)

    def forward(
        self, x: Tensor, mask: Tensor | None = None, state: Mamba2State | None = None
    ) -> tuple[Tensor, Mamba2State]:
        """Return the output, (batch, T, width) as the input, and the state after it. `state` is the one before.

        `mask`, (batch, T), is False on padding, where nothing is written and nothing decays.
        """
        if mask is not None:
            x = x.masked_fill(~mask[..., None], 0)  # a product would keep NaN
        inner = self.heads * self.head_dim
        projected, gate = self.in_proj(x).split([inner + 2 * self.state, inner], -1)
        mixed, convolved = self.convolution(projected, mask, state.convolution if state else None)
        precise = at_least_float32(x.dtype)
        values, b, c = mixed.to(precise).split([inner, self.state, self.state], -1)
        values = values.unflatten(-1, (self.heads, self.head_dim))
        dt = functional.softplus(self.steps(x).to(precise) + self.dt_bias.to(precise))
        if mask is not None:
            dt = dt * mask[..., None].to(precise)
        a = -self.a_log.to(precise).exp()
        with without_autocast(x.device):
            y, recurrent = ssd(values, dt, a, b, c, state.recurrent if state else None, chunk=self.chunk)
        y = y + values * self.skip.to(precise)[:, None]
        # Unlike in the gated delta rule, the gate is applied before the norm, which is over all heads.
        y = self.norm(y.flatten(2) * functional.silu(gate.to(precise)))
        out: Tensor = self.out_proj(y.to(x.dtype))
        return out, Mamba2State(convolved, recurrent)


def ssd(
    x: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor, state: Tensor | None = None, *, chunk: int = 64
) -> tuple[Tensor, Tensor]:
    """Return y, (batch, T, heads, value), and the last h, (batch, heads, state, value).

    x is (batch, T, heads, value), dt (batch, T, heads) and at least 0, a (heads,) and at most 0, b and c are
    (batch, T, state). Chunks are computed by the dual, attention-like form (arXiv 2405.21060, section 6), a single
    token by the recurrence. `chunk` changes the speed only. A token with dt = 0 does not change h.
    """
    x = (x * dt[..., None]).transpose(1, 2)
    g = (a * dt).transpose(1, 2)
    b, c = b[:, None], c[:, None]
    if state is None:
        state = x.new_zeros(*x.shape[:2], b.shape[-1], x.shape[-1])
    if x.shape[2] == 1:
        state = state * g[..., None].exp() + b.transpose(-1, -2) @ x
        return (c @ state).transpose(1, 2), state
    return _chunks(x, g, b, c, state, chunk)


def _chunks(x: Tensor, g: Tensor, b: Tensor, c: Tensor, state: Tensor, chunk: int) -> tuple[Tensor, Tensor]:
    """Compute `ssd` chunk by chunk; b and c have a head axis of length 1."""
    length = x.shape[2]
    x, g, b, c = (into_chunks(part, chunk) for part in (x, g, b, c))
    within, from_start = decays(g)
    added = b.transpose(-1, -2) @ (x * within[..., -1, :, None])
    starts, state = carry(added, from_start[..., -1], state)
    y = (c @ b.transpose(-1, -2) * within) @ x + (c @ starts) * from_start[..., None]
    return y.flatten(2, 3)[:, :, :length].transpose(1, 2), state
