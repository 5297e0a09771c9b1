"""What memories share whose state fades by a factor at each token and takes up an outer product.

    S_t = e^{g_t} S_{t-1} + k_t v_tᵀ,    g_t ≤ 0

is computed by chunks: within a chunk token by token pairs, between chunks by the state at each chunk's start.
"""

import torch
from torch import Tensor
from torch.nn import functional


def into_chunks(x: Tensor, longest: int) -> Tensor:
    """Cut (batch, heads, T, …) into (batch, heads, chunks, size, …), as even as can be, with zeros behind the end."""
    length = x.shape[2]
    chunks = -(-length // longest)
    size = -(-length // chunks)
    padding = chunks * size - length
    if padding:
        x = functional.pad(x, (0, 0) * (x.dim() - 3) + (0, padding))
    return x.reshape(*x.shape[:2], chunks, size, *x.shape[3:])


def decays(g: Tensor) -> tuple[Tensor, Tensor]:
    """Return what has become of each token of a chunk, and of the chunk's first state, at each token.

    g, (…, L), are the logarithms of the factors. The first result, (…, L, L), is e^{g_{s+1} + … + g_t} at row t and
    column s ≤ t, zero at s > t; the second, (…, L), is e^{g_1 + … + g_t}. Each sum has its own terms only: the
    difference of two running sums would lose digits once strong decay has gone before.
    """
    token = torch.arange(g.shape[-1], device=g.device)
    upto = token[:, None, None] <= token[None, :, None]  # term r, row t, column s
    after = token[:, None, None] > token[None, None, :]
    between = (upto & after).flatten(1).to(g.dtype)
    within = (g @ between).view(*g.shape, len(token)).exp().tril()
    return within, g.cumsum(-1).exp()


def carry(added: Tensor, kept: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """Return the state at the start of each chunk, (batch, heads, chunks, key, value), and the last one.

    `added`, of that shape too, is what each chunk adds to the state at its end, and `kept`, (batch, heads, chunks),
    the factor by which it has faded there; `state`, (batch, heads, key, value), is the first.
    """
    starts = []
    # Taken apart at once: each chunk taken by its index would fill a gradient of the whole with zeros.
    for new, factor in zip(added.unbind(2), kept[..., None, None].unbind(2), strict=True):
        starts.append(state)
        state = torch.addcmul(new, state, factor)
    return torch.stack(starts, dim=2), state
