"""The block's definition, token by token in plain loops. It shares no code with the package."""

import cmath
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Stored = Callable[[int], Sequence[int]]
"""The tokens in the store after the first n have entered."""


def turned(vector: Tensor, position: int, width: int, base: float) -> Tensor:
    """Rotate the first `width` dimensions as complex numbers; their parts are `width / 2` apart."""
    half = width // 2
    numbers = torch.complex(vector[:half], vector[half:width])
    turns = [cmath.exp(1j * position * base ** (-2 * i / width)) for i in range(half)]
    numbers = numbers * torch.tensor(turns, dtype=numbers.dtype)
    return torch.cat([numbers.real, numbers.imag, vector[width:]])


def largest(scores: Sequence[float], size: int) -> list[int]:
    """Return the indices of the largest, the oldest of equal ones, in the order of time."""
    ranked = sorted(range(len(scores)), key=lambda i: (-scores[i], i))
    return sorted(ranked[:size])


def innovations(x: Tensor, fading: Tensor, predictor: Tensor) -> list[float]:
    """Return the norm of the predictor's error at each token of (T, width)."""
    before = [torch.zeros_like(x[0]), *fading[:-1]]
    return [float((x[i] - predictor @ before[i]).norm()) for i in range(len(x))]


def attended(
    x: Tensor,
    fading: Tensor | None,
    weights: dict[str, Tensor],
    *,
    heads: int,
    rotated: int,
    base: float,
    window: int,
    stored: Stored = lambda entered: (),
) -> Tensor:
    """Return a block's output for x, (T, width), and F(h), (T, width); the window is in tokens."""
    inner = weights["query"].shape[0]
    dim = inner // heads

    def looked_up(vector: Tensor, position: int, head: int) -> tuple[Tensor, Tensor]:
        both = (weights["key_value"] @ vector).unflatten(0, (2, heads, dim))
        return turned(both[0, head], position, rotated, base), both[1, head]

    outputs = []
    for i in range(len(x)):
        read = [(x[j], j) for j in range(len(x)) if i - window < j <= i]
        if fading is not None:
            read += [(fading[j], j) for j in range(len(x)) if i - 2 * window < j <= i - window]
        read += [(x[j], j) for j in stored(max(0, i - window + 1))]
        heard = []
        for head in range(heads):
            query = turned((weights["query"] @ x[i]).unflatten(0, (heads, dim))[head], i, rotated, base)
            pairs = [looked_up(vector, j, head) for vector, j in read]
            shares = [math.exp(float(query @ key) / math.sqrt(dim)) for key, _ in pairs]
            total = sum(s * value for s, (_, value) in zip(shares, pairs, strict=True)) / sum(shares)
            heard.append(total)
        outputs.append(weights["out"] @ torch.cat(heard))
    return torch.stack(outputs)
