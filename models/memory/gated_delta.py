"""The gated delta rule (Yang et al., ICLR 2025): a fading memory that corrects its own prediction.

    S_t = e^{g_t} S_{t-1} (I - β_t k_t k_tᵀ) + β_t v_t k_tᵀ,    y_t = S_t q_t

Keys and queries have unit length, β is in (0, 1), and g < 0. Before a token is written, the state's value for its key
is removed. So a key has one value, the last one.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from eidolon.models.memory.decay import decays, into_chunks
from eidolon.models.memory.parts import (
    RMSNorm,
    ShortConvolution,
    at_least_float32,
    copy_rows,
    read_before,
    unit,
    without_autocast,
)

SHORTEST_STEP, LONGEST_STEP = 1e-3, 1e-1
"""With A = 1 at the start, a head's state decays to 1/e over 10 to 1,000 tokens, log-uniformly. The original draws A
from [1, 16], for models with hundreds of heads. With two heads per layer, both could then start by decaying fast."""
SHORTEST_CHUNK = 16
"""Tokens of a chunk below which the steps from chunk to chunk cost more than the chunks."""


@dataclass(frozen=True, slots=True)
class GatedDeltaState:
    """The state of a layer: the last inputs of its convolution, and S transposed."""

    convolution: Tensor
    """(batch, kernel - 1, 3 · heads · head_dim)."""
    recurrent: Tensor
    """(batch, heads, key, value), at least float32."""


class GatedDelta(nn.Module):
    """A layer of symbol `GDN`: projections, short convolution, the rule, a gated norm, a projection."""

    def __init__(self, width: int, heads: int, head_dim: int, *, conv: int = 4, chunk: int = 64) -> None:
        super().__init__()
        self.heads, self.head_dim, self.chunk = heads, head_dim, chunk
        inner = heads * head_dim
        self.in_proj = nn.Linear(width, 4 * inner, bias=False)
        """Queries, keys, values and the output's gate."""
        self.gates = nn.Linear(width, 2 * heads, bias=False)
        """The rates of decay and of writing."""
        self.convolution = ShortConvolution(3 * inner, conv)
        self.a_log = nn.Parameter(torch.zeros(heads))
        self.dt_bias = nn.Parameter(initial_step_bias(heads))
        self.norm = RMSNorm(head_dim)
        self.out_proj = nn.Linear(inner, width, bias=False)

    def align_queries_and_keys(self, before: Tensor | None = None) -> None:
        """Copy the projection and convolution of the queries to those of the keys; see `MemoryBlock` for `before`."""
        inner = self.heads * self.head_dim
        copy_rows((self.in_proj.weight, self.convolution.weight), 0, inner, inner)
        read_before(self.in_proj.weight, inner, inner, before)

    def forward(
        self, x: Tensor, mask: Tensor | None = None, state: GatedDeltaState | None = None
    ) -> tuple[Tensor, GatedDeltaState]:
        """Return the output, (batch, T, width) as the input, and the state after it. `state` is the one before.

        `mask`, (batch, T), is False on padding, where nothing is written and nothing decays.
        """
        batch, length, _ = x.shape
        if mask is not None:
            x = x.masked_fill(~mask[..., None], 0)  # a product would keep NaN
        projected, gate = self.in_proj(x).split(
            [3 * self.heads * self.head_dim, self.heads * self.head_dim], -1
        )
        past = state.convolution if state else None
        mixed, convolved = self.convolution(projected, mask, past)
        precise = at_least_float32(x.dtype)
        q, k, v = (
            part.to(precise).unflatten(-1, (self.heads, self.head_dim)) for part in mixed.chunk(3, dim=-1)
        )
        a, b = self.gates(x).to(precise).chunk(2, dim=-1)
        g = -self.a_log.to(precise).exp() * functional.softplus(a + self.dt_bias.to(precise))
        beta = b.sigmoid()
        if mask is not None:
            kept = mask[..., None].to(precise)
            g, beta = g * kept, beta * kept
        with without_autocast(x.device):
            y, recurrent = gated_delta_rule(
                unit(q), unit(k), v, g, beta, state.recurrent if state else None, chunk=self.chunk
            )
        y = self.norm(y, gate.unflatten(-1, (self.heads, self.head_dim)))
        out: Tensor = self.out_proj(y.reshape(batch, length, -1).to(x.dtype))
        return out, GatedDeltaState(convolved, recurrent)


def initial_step_bias(heads: int) -> Tensor:
    """Return biases b such that softplus(b) is log-uniform in [SHORTEST_STEP, LONGEST_STEP] (as Mamba2's dt_bias)."""
    low, high = math.log(SHORTEST_STEP), math.log(LONGEST_STEP)
    step = torch.empty(heads).uniform_(low, high).exp()
    return step + torch.log(-torch.expm1(-step))


def gated_delta_rule(
    q: Tensor, k: Tensor, v: Tensor, g: Tensor, beta: Tensor, state: Tensor | None, *, chunk: int = 64
) -> tuple[Tensor, Tensor]:
    """Return y, (batch, T, heads, value), and the last state, (batch, heads, key, value).

    q and k, of unit length, are (batch, T, heads, key), v is (batch, T, heads, value), g (the logarithm of the decay)
    and beta are (batch, T, heads). y is q S / √key. `chunk` changes the speed only.
    """
    batch, length, heads, key = k.shape
    q = q * key**-0.5
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    g, beta = g.transpose(1, 2), beta.transpose(1, 2)
    if state is None:
        state = v.new_zeros(batch, heads, key, v.shape[-1])
    if length == 1:
        return _step(q, k, v, g, beta, state)
    # The cost of pairs within a chunk and that of the state are about equal with as many tokens as dimensions.
    return _chunks(q, k, v, g, beta, state, min(chunk, max(key, SHORTEST_CHUNK)))


def _step(q: Tensor, k: Tensor, v: Tensor, g: Tensor, beta: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """Compute one token; every tensor has a time axis of length 1."""
    state = state * g[..., None].exp()
    surprise = (v - k @ state) * beta[..., None]
    state = state + k.transpose(-1, -2) @ surprise
    return (q @ state).transpose(1, 2), state


def _chunks(
    q: Tensor, k: Tensor, v: Tensor, g: Tensor, beta: Tensor, state: Tensor, size: int
) -> tuple[Tensor, Tensor]:
    """Compute chunk by chunk. Within a chunk the writes are the solution of a triangular system (the WY form).

    With G_ij the sum of g over the tokens j+1 to i, and G_i the sum up to i, the write of token i is
    u_i = β_i (v_i - e^{G_i} k_i S - Σ_{j<i} e^{G_ij} (k_i·k_j) u_j).
    """
    length = k.shape[2]
    q, k, v, g, beta = (into_chunks(part, size) for part in (q, k, v, g, beta))
    decay, from_start = decays(g)
    from_start = from_start[..., None]
    weighted = k * beta[..., None]
    system = (weighted @ k.transpose(-1, -2)) * decay
    # With unitriangular the diagonal of `system` is ignored and taken as 1.
    written, read = torch.linalg.solve_triangular(
        system,
        torch.cat([v * beta[..., None], weighted * from_start], dim=-1),
        upper=False,
        unitriangular=True,
    ).split([v.shape[-1], k.shape[-1]], dim=-1)
    within = (q @ k.transpose(-1, -2)) * decay
    from_before = q * from_start
    to_end = k * decay[..., -1, :, None]
    ends = from_start[:, :, :, -1:]
    outputs = []
    # unbind once: indexing each chunk would make a gradient of zeros for the whole tensor each time.
    parts = (written, read, from_before, within, ends, to_end.transpose(-1, -2))
    for new, known, asked, near, end, keys in zip(*(part.unbind(2) for part in parts), strict=True):
        surprise = new - known @ state
        outputs.append(asked @ state + near @ surprise)
        state = state * end + keys @ surprise
    y = torch.cat(outputs, dim=2)[:, :, :length]
    return y.transpose(1, 2), state
