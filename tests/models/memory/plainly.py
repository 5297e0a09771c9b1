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


def innovations(x: Tensor, fading: Tensor, predictor: Sequence[Tensor]) -> list[float]:
    """Return the norm of the predictor's error at each token of (T, width).

    `predictor` is the matrix that is applied to the last fading state, or the weight (width, 2·width, taps) and the
    bias of a convolution over inputs and fading states.
    """
    weight = predictor[0]
    both = torch.cat([x, fading], 1)
    zeros = torch.zeros_like(both[0])
    errors = []
    for i in range(len(x)):
        if len(predictor) == 1:
            guess = weight @ (fading[i - 1] if i else torch.zeros_like(fading[0]))
        else:
            taps = weight.shape[2]
            before = [both[i - taps + tap] if i - taps + tap >= 0 else zeros for tap in range(taps)]
            guess = predictor[1] + sum(weight[:, :, tap] @ vector for tap, vector in enumerate(before))
        errors.append(float((x[i] - guess).norm()))
    return errors


def normalised(vector: Tensor, scale: Tensor | None) -> Tensor:
    """Return vector / rms(vector) · scale; as it is without a scale."""
    if scale is None:
        return vector
    return vector / math.sqrt(float(vector @ vector) / len(vector) + 1e-6) * scale


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
    clipped: bool = True,
) -> Tensor:
    """Return a block's output for x, (T, width), and F(h), (T, width); the window is in tokens.

    With `clipped`, stored tokens are as far away as the first token outside the window. `weights` may have a scale of
    the norm of queries, `query_norm`, and one of keys.
    """
    inner = weights["query"].shape[0]
    dim = inner // heads

    def looked_up(vector: Tensor, position: int, head: int) -> tuple[Tensor, Tensor]:
        both = (weights["key_value"] @ vector).unflatten(0, (2, heads, dim))
        key = normalised(both[0, head], weights.get("key_norm"))
        return turned(key, position, rotated, base), both[1, head]

    outputs = []
    for i in range(len(x)):
        read = [(x[j], j) for j in range(len(x)) if i - window < j <= i]
        if fading is not None:
            read += [(fading[j], j) for j in range(len(x)) if i - 2 * window < j <= i - window]
        read += [(x[j], i - window if clipped else j) for j in stored(max(0, i - window + 1))]
        heard = []
        for head in range(heads):
            query = (weights["query"] @ x[i]).unflatten(0, (heads, dim))[head]
            query = turned(normalised(query, weights.get("query_norm")), i, rotated, base)
            pairs = [looked_up(vector, j, head) for vector, j in read]
            shares = [math.exp(float(query @ key) / math.sqrt(dim)) for key, _ in pairs]
            total = sum(s * value for s, (_, value) in zip(shares, pairs, strict=True)) / sum(shares)
            heard.append(total)
        outputs.append(weights["out"] @ torch.cat(heard))
    return torch.stack(outputs)
