"""The eidetic store: the tokens with the largest scores, among those that have left the window.

A token enters the store when it leaves the window. It stays while fewer than M entered tokens have a larger score. A
removed token never returns. So the content depends on the sequence only: the M largest scores of all entered tokens,
and the oldest of equal ones.
"""

import torch
from torch import Tensor

EMPTY = -torch.inf
"""The score of an empty slot and of padding."""


def readable_mask(stored: Tensor, entering: Tensor, size: int) -> Tensor:
    """Return which tokens are in the store after each further token has entered: bool (batch, T, M + T).

    `stored`, (batch, M), are the scores of the stored tokens, oldest first; `entering`, (batch, T), are those of the
    tokens that enter one after the other. Row t is for the time after token t has entered. Columns are the stored
    tokens, then the entering ones.
    """
    length = entering.shape[1]
    scores = torch.cat([stored, entering], dim=1)
    count = scores.shape[1]
    places = torch.arange(count, device=scores.device)
    better = (scores[:, :, None] > scores[:, None, :]) | (
        (scores[:, :, None] == scores[:, None, :]) & (places[:, None] < places[None, :])
    )
    before = count - length
    # The number of better tokens at the time: of the stored ones, and of the first t + 1 entering ones.
    ahead = better[:, :before].sum(1, dtype=torch.int32)[:, None] + better[:, before:].cumsum(
        1, dtype=torch.int32
    )
    entered = places[None, :] <= before + torch.arange(length, device=scores.device)[:, None]
    return (ahead < size) & entered & (scores > EMPTY)[:, None]


def largest_indices(scores: Tensor, size: int) -> Tensor:
    """Return the indices, (batch, size), of the largest of (batch, count) scores, in ascending order.

    Of equal scores the first are chosen.
    """
    order = scores.argsort(dim=1, descending=True, stable=True)[:, :size]
    return order.sort(dim=1).values
