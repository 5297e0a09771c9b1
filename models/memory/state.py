"""The state of a memory block: the tokens that it keeps, and the state of its fading memory."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class Span:
    """Keys and values of consecutive tokens, and some may be padding."""

    keys: Tensor
    """(batch, heads, length, head_dim)."""
    values: Tensor
    """(batch, heads, length, head_dim)."""
    real: Tensor
    """(batch, length), bool: false on padding."""

    def concat(self, other: "Span") -> "Span":
        """Return this span followed by the other."""
        return Span(
            torch.cat([self.keys, other.keys], 2),
            torch.cat([self.values, other.values], 2),
            torch.cat([self.real, other.real], 1),
        )

    def part(self, piece: slice) -> "Span":
        """Return the tokens of a slice."""
        return Span(self.keys[:, :, piece], self.values[:, :, piece], self.real[:, piece])

    def last(self, length: int) -> "Span":
        """Return the last `length` tokens."""
        return self.part(slice(max(0, self.real.shape[1] - length), None))

    def split(self, length: int) -> "list[Span]":
        """Return pieces of `length` tokens."""
        parts = (self.keys.split(length, 2), self.values.split(length, 2), self.real.split(length, 1))
        return [Span(*piece) for piece in zip(*parts, strict=True)]

    def padded(self, length: int) -> "Span":
        """Return a copy of these tokens with padding before them, `length` tokens together."""
        missing = length - self.real.shape[1]
        if missing <= 0:
            return Span(self.keys.contiguous(), self.values.contiguous(), self.real.contiguous())
        keys, values = (functional.pad(part, (0, 0, missing, 0)) for part in (self.keys, self.values))
        return Span(keys, values, functional.pad(self.real, (missing, 0)))

    def gather(self, places: Tensor) -> "Span":
        """Return the tokens at indices, (batch, n)."""
        wide = places[:, None, :, None].expand(-1, self.keys.shape[1], -1, self.keys.shape[3])
        return Span(self.keys.gather(2, wide), self.values.gather(2, wide), self.real.gather(1, places))


@dataclass(frozen=True, slots=True)
class BlockState:
    """The state of a block. Fields that its kind of memory does not need are None."""

    seen: Tensor
    """(batch,), int64: number of tokens so far, without padding."""
    window: Span | None = None
    """The last W tokens h, or all of an unlimited window. The oldest is the next to enter the store."""
    scores: Tensor | None = None
    """(batch, W): the scores for the store of the tokens in the window."""
    fading: Span | None = None
    """The last 2W - 1 fading states F(h)."""
    store: Span | None = None
    """The M stored tokens."""
    store_scores: Tensor | None = None
    """(batch, M): their scores, oldest token first; -inf for an empty slot."""
    store_positions: Tensor | None = None
    """(batch, M), int64: the positions of the stored tokens."""
    predicting: Tensor | None = None
    """(batch, taps, features): what the next input is predicted from."""
    recurrent: object | None = None
    """The fading memory's own state."""
