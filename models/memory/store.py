"""The eidetic store: the tokens with the largest scores among those that are old enough to enter.

A token enters at a fixed age, when it leaves the window. From then on it stays as long as fewer than M tokens that
have entered score higher; one that has been put out never comes back, so that the contents are a function of the
sequence alone: the M largest of all that have entered, of equals the oldest.
"""

import torch
from torch import Tensor

EMPTY = -torch.inf
"""The score of a place without a token, and of padding."""


def readable(stored: Tensor, entering: Tensor, size: int) -> Tensor:
    """Tell which tokens can be read while further ones enter.

    `stored`, (batch, M), are the scores of the store's content, oldest first; `entering`, (batch, T), those of the
    tokens that enter one after the other. Returns bool (batch, T, M + T): after token t has entered, whether
    candidate c (first the stored ones, then the entering) is in the store.
    """
    length = entering.shape[1]
    scores = torch.cat([stored, entering], dim=1)
    count = scores.shape[1]
    places = torch.arange(count, device=scores.device)
    better = (scores[:, :, None] > scores[:, None, :]) | (
        (scores[:, :, None] == scores[:, None, :]) & (places[:, None] < places[None, :])
    )
    before = count - length
    # How many better ones are in by the time: those stored, and of the entering the first t + 1.
    ahead = better[:, :before].sum(1, dtype=torch.int32)[:, None] + better[:, before:].cumsum(
        1, dtype=torch.int32
    )
    entered = places[None, :] <= before + torch.arange(length, device=scores.device)[:, None]
    return (ahead < size) & entered & (scores > EMPTY)[:, None]


def keep(scores: Tensor, size: int) -> Tensor:
    """Return the indices, (batch, size), of the largest of (batch, count) scores, in their own order.

    Of equals the first are kept.
    """
    order = scores.argsort(dim=1, descending=True, stable=True)[:, :size]
    return order.sort(dim=1).values
