"""Shared functions of memories whose state decays by a factor at each token and adds an outer product:

    S_t = e^{g_t} S_{t-1} + k_t v_tᵀ,    g_t ≤ 0

It is computed by chunks: by pairs of tokens within a chunk, by the state at a chunk's start between chunks.
"""

import torch
from torch import Tensor
from torch.nn import functional


def into_chunks(x: Tensor, longest: int) -> Tensor:
    """Return (batch, heads, T, …) as (batch, heads, chunks, size, …): equal chunks, with zeros after the end.

    A chunk has at most `longest` tokens.
    """
    length = x.shape[2]
    chunks = -(-length // longest)
    size = -(-length // chunks)
    padding = chunks * size - length
    if padding:
        x = functional.pad(x, (0, 0) * (x.dim() - 3) + (0, padding))
    return x.reshape(*x.shape[:2], chunks, size, *x.shape[3:])


def decays(g: Tensor) -> tuple[Tensor, Tensor]:
    """Return the decay at each token of a chunk since each earlier token, and since the chunk's start.

    g, (…, L), are the logarithms of the factors. The first result, (…, L, L), is e^{g_{s+1} + … + g_t} at row t and
    column s ≤ t, and 0 at s > t. The second, (…, L), is e^{g_1 + … + g_t}. Each sum is computed from its own terms:
    the difference of two cumulative sums would lose digits after strong decay.
    """
    token = torch.arange(g.shape[-1], device=g.device)
    upto = token[:, None, None] <= token[None, :, None]  # term r, row t, column s
    after = token[:, None, None] > token[None, None, :]
    between = (upto & after).flatten(1).to(g.dtype)
    within = (g @ between).view(*g.shape, len(token)).exp().tril()
    return within, g.cumsum(-1).exp()


def carry(added: Tensor, kept: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """Return the state at the start of each chunk, (batch, heads, chunks, key, value), and the last state.

    `added`, of the same shape, is what each chunk adds to the state at its end. `kept`, (batch, heads, chunks), is the
    factor of the state's decay over the chunk. `state`, (batch, heads, key, value), is the first state.
    """
    starts = []
    # unbind once: indexing each chunk would make a gradient of zeros for the whole tensor each time.
    for new, factor in zip(added.unbind(2), kept[..., None, None].unbind(2), strict=True):
        starts.append(state)
        state = torch.addcmul(new, state, factor)
    return torch.stack(starts, dim=2), state
