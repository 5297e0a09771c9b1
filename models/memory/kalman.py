"""Gated KalmaNet (Peng et al. 2025, arXiv 2511.21016): a fading memory read by ridge regression.

    H_t = e^{g_t} H_{t-1} + k_t k_tᵀ,    U_t = e^{g_t} U_{t-1} + v_t k_tᵀ,
    (H_t + λ_t I) x_t = q_t  with  λ_t = 0.02 ‖H_t‖_F,    y_t = U_t (q_t + a_t (x_t - q_t)) / √d

U (H + λ I)⁻¹ is the best linear map from the keys so far to their values (ridge regression); older keys count less.
a, between 0 and 1, interpolates between linear attention and this map. As in the authors' released layer, keys and
values are weighted by a write gate between 0 and 1.

The systems for all t are solved at once by 30 Chebyshev iterations, as released. The eigenvalues of H + λI are between
λ and ‖H‖_F + λ. So the error is at most 1 / T_31(1.04) = 0.032 % of each eigencomponent of x, where T_31 is the
Chebyshev polynomial.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from eidolon.models.memory.decay import carry, decays, into_chunks
from eidolon.models.memory.gated_delta import initial_step_bias
from eidolon.models.memory.parts import (
    RMSNorm,
    ShortConvolution,
    at_least_float32,
    copy_rows,
    read_before,
    unit,
    without_autocast,
)

RIDGE = 0.02
"""λ / ‖H‖_F, from the released layer."""
ITERATIONS = 30
"""Chebyshev iterations, from the released layer."""
SMALLEST_NORM = 1e-10
"""Lower limit of ‖H‖_F, so that reading a memory without tokens gives zero."""
LONGEST_CHUNK = 16
"""Most tokens per chunk. An iteration's cost grows with the pairs in a chunk; of 8 to 64, 16 was fastest on a CPU."""


@dataclass(frozen=True, slots=True)
class GatedKalmaNetState:
    """The state of a layer: the last inputs of its convolution, H, and U transposed."""

    convolution: Tensor
    """(batch, kernel - 1, 3 · heads · head_dim)."""
    gram: Tensor
    """(batch, heads, key, key), at least float32."""
    recurrent: Tensor
    """(batch, heads, key, value), at least float32."""


class GatedKalmaNet(nn.Module):
    """A layer of symbol `GKA`: projections, short convolution, regression, a gated norm, a projection."""

    def __init__(self, width: int, heads: int, head_dim: int, *, conv: int = 4, chunk: int = 64) -> None:
        super().__init__()
        self.heads, self.head_dim, self.chunk = heads, head_dim, chunk
        inner = heads * head_dim
        self.in_proj = nn.Linear(width, 4 * inner, bias=False)
        """Queries, keys, values and the output's gate."""
        self.forgetting = nn.Linear(width, heads, bias=False)
        """The rate of decay without its bias."""
        self.gates = nn.Linear(width, 2 * heads)
        """The write gate and a."""
        nn.init.zeros_(self.gates.bias)
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
        self, x: Tensor, mask: Tensor | None = None, state: GatedKalmaNetState | None = None
    ) -> tuple[Tensor, GatedKalmaNetState]:
        """Return the output, (batch, T, width) as the input, and the state after it. `state` is the one before.

        `mask`, (batch, T), is False on padding, where nothing is written and nothing decays.
        """
        if mask is not None:
            x = x.masked_fill(~mask[..., None], 0)  # a product would keep NaN
        inner = self.heads * self.head_dim
        projected, gate = self.in_proj(x).split([3 * inner, inner], -1)
        mixed, convolved = self.convolution(projected, mask, state.convolution if state else None)
        precise = at_least_float32(x.dtype)
        q, k, v = mixed.to(precise).unflatten(-1, (3, self.heads, self.head_dim)).unbind(2)
        g = -self.a_log.to(precise).exp() * functional.softplus(
            self.forgetting(x).to(precise) + self.dt_bias.to(precise)
        )
        beta, alpha = self.gates(x).to(precise).sigmoid().chunk(2, dim=-1)
        if mask is not None:
            kept = mask[..., None].to(precise)
            g, beta, q = g * kept, beta * kept, q * kept[..., None]
        with without_autocast(x.device):
            y, gram, recurrent = kalman(
                unit(q),
                unit(k) * beta[..., None],
                v * beta[..., None],
                g,
                alpha,
                (state.gram, state.recurrent) if state else None,
                chunk=self.chunk,
            )
        y = self.norm(y, gate.unflatten(-1, (self.heads, self.head_dim)))
        out: Tensor = self.out_proj(y.flatten(2).to(x.dtype))
        return out, GatedKalmaNetState(convolved, gram, recurrent)


def kalman(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    g: Tensor,
    alpha: Tensor,
    state: tuple[Tensor, Tensor] | None = None,
    *,
    chunk: int = LONGEST_CHUNK,
    iterations: int = ITERATIONS,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return y, (batch, T, heads, value), and the last H, (batch, heads, key, key), and U transposed, (…, key, value).

    q and k are (batch, T, heads, key), v is (batch, T, heads, value), g ≤ 0 (the logarithm of the decay) and alpha are
    (batch, T, heads). `state` is H and U transposed before the first token. A token with k = v = g = 0 does not change
    them. `chunk`, limited to LONGEST_CHUNK, changes the speed only. The gradient is that of the exact solution,
    computed by the same iterations; for a single token it is the gradient of the iterations themselves.
    """
    q, k, v, g, alpha = (part.transpose(1, 2) for part in (q, k, v, g, alpha))
    if state is None:
        gram = k.new_zeros(*k.shape[:2], k.shape[-1], k.shape[-1])
        recurrent = k.new_zeros(*k.shape[:2], k.shape[-1], v.shape[-1])
    else:
        gram, recurrent = state
    if q.shape[2] == 1:
        return _step(q, k, v, g, alpha, gram, recurrent, iterations)
    return _chunks(q, k, v, g, alpha, gram, recurrent, min(chunk, LONGEST_CHUNK), iterations)


def _step(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    g: Tensor,
    alpha: Tensor,
    gram: Tensor,
    recurrent: Tensor,
    iterations: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute one token; every tensor has a time axis of length 1."""
    kept = g[..., None].exp()
    gram = gram * kept + k.transpose(-1, -2) @ k
    recurrent = recurrent * kept + k.transpose(-1, -2) @ v
    step = _step_size(gram.square().sum((-1, -2)))[..., None, None]
    identity = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    contraction = identity * (1 - step_times_ridge()) - step * gram
    b = q * step
    before, x = torch.zeros_like(b), b
    for weight in chebyshev_weights(iterations):
        before, x = x, torch.lerp(before, b + x @ contraction, weight)
    y = (q + alpha[..., None] * (x - q)) @ recurrent * q.shape[-1] ** -0.5
    return y.transpose(1, 2), gram, recurrent


def _chunks(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    g: Tensor,
    alpha: Tensor,
    gram: Tensor,
    recurrent: Tensor,
    chunk: int,
    iterations: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute chunk by chunk, without any H_t: H_t x = e^{G_t} H_0 x + Σ_{s≤t} e^{G_t - G_s} k_s (k_s·x).

    G is the cumulative sum of g from the chunk's start and H_0 the matrix there.
    """
    length, key = q.shape[2:]
    q, k, v, g, alpha = (into_chunks(part, chunk) for part in (q, k, v, g, alpha))
    within, from_start = decays(g)
    added = (k * within[..., -1, :, None]).transpose(-1, -2) @ torch.cat([k, v], -1)
    starts, last = carry(added, from_start[..., -1], torch.cat([gram, recurrent], -1))
    grams, recurrents = torch.split(starts, [key, v.shape[-1]], -1)
    from_start = from_start[..., None]
    step = _step_size(_squared_norms(k, within, from_start, grams))[..., None]
    flat = [part.flatten(0, 2) for part in (q * step, k, within * step, from_start * step, grams)]
    x: Tensor = _Solve.apply(*flat, iterations)  # type: ignore[no-untyped-call]
    q = q + alpha[..., None] * (x.view_as(q) - q)
    y = (q * from_start) @ recurrents + (q @ k.transpose(-1, -2) * within) @ v
    y = y.flatten(2, 3)[:, :, :length].transpose(1, 2) * key**-0.5
    gram, recurrent = torch.split(last, [key, v.shape[-1]], -1)
    return y, gram.contiguous(), recurrent.contiguous()


def _squared_norms(k: Tensor, within: Tensor, from_start: Tensor, grams: Tensor) -> Tensor:
    """Return ‖H_t‖²_F, (…, L), of H_t = f_t H_0 + Σ_s w_ts k_s k_sᵀ. No term is negative: no cancellation."""
    old = grams.square().sum((-1, -2))[..., None] * from_start.squeeze(-1).square()
    crossed = (within @ ((k @ grams) * k).sum(-1, keepdim=True) * from_start).squeeze(-1)
    new = (within @ (k @ k.transpose(-1, -2)).square() * within).sum(-1)
    return old + 2 * crossed + new


def _step_size(squared_norm: Tensor) -> Tensor:
    """Return 2 / (‖H‖_F + 2λ), the factor by which the Chebyshev iterations scale the system."""
    return 2 / ((1 + 2 * RIDGE) * squared_norm.clamp(min=SMALLEST_NORM**2).sqrt())


def step_times_ridge() -> float:
    """Return the step size times λ; it does not depend on H."""
    return 2 * RIDGE / (1 + 2 * RIDGE)


def chebyshev_weights(iterations: int) -> list[float]:
    """Return for each iteration the weight w in x_{n+1} = (1 - w) x_{n-1} + w (new estimate)."""
    rho = 1 / (1 + 2 * RIDGE)
    weights, weight = [], 2.0
    for _ in range(iterations):
        weight = 4 / (4 - rho**2 * weight)
        weights.append(weight)
    return weights


def _iterate(b: Tensor, k: Tensor, within: Tensor, start: Tensor, grams: Tensor, iterations: int) -> Tensor:
    """Return the solutions of all chunks' systems, (chunks, L, key) as b. They are scaled to a step size of 1."""
    before, x = torch.zeros_like(b), b.clone()
    rows = k.transpose(-1, -2).contiguous()
    pairs, moved, scaled = torch.empty_like(within), torch.empty_like(b), torch.empty_like(b)
    for weight in chebyshev_weights(iterations):
        torch.add(b, x, alpha=1 - step_times_ridge(), out=moved)
        torch.bmm(x, rows, out=pairs)
        moved.baddbmm_(pairs.mul_(within), k, alpha=-1)
        torch.mul(x, start, out=scaled)
        moved.baddbmm_(scaled, grams, alpha=-1)
        before, x = x, before.lerp_(moved, weight)
    return x


class _Solve(torch.autograd.Function):
    """Solve (A_t + cI) x_t = b_t with A_t x = f_t H_0 x + Σ_s w_ts k_s (k_s·x), with the exact solution's gradient.

    A is symmetric. With g the gradient of x, the gradient of b is y = (A + cI)⁻¹ g, and that of A is -y xᵀ.
    """

    @staticmethod
    def forward(
        ctx: Any, b: Tensor, k: Tensor, within: Tensor, start: Tensor, grams: Tensor, iterations: int
    ) -> Tensor:
        """Return x; b, k: (chunks, L, key), within: (chunks, L, L), start: (…, L, 1), grams: (chunks, key, key)."""
        b, k, grams = b.contiguous(), k.contiguous(), grams.contiguous()
        x = _iterate(b, k, within, start, grams, iterations)
        ctx.save_for_backward(x, k, within, start, grams)
        ctx.iterations = iterations
        return x

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, k, within, start, grams = ctx.saved_tensors
        with without_autocast(x.device):
            y = _iterate(gradient.contiguous(), k, within, start, grams, ctx.iterations)
            of_x, of_y = x @ k.transpose(-1, -2), y @ k.transpose(-1, -2)
            of_k = (within * of_x).transpose(-1, -2) @ y + (within * of_y).transpose(-1, -2) @ x
            of_start = ((x @ grams) * y).sum(-1, keepdim=True)
            of_grams = x.transpose(-1, -2) @ (y * start)
            return y, -of_k, -of_x * of_y, -of_start, -of_grams, None
