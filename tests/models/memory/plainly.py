"""The block's definition, token by token in plain loops; nothing here is shared with the package."""

import math
from collections.abc import Callable

import torch
from torch import Tensor


def turned(vector: Tensor, position: int, width: int, base: float) -> Tensor:
    """Rotate the first `width` dimensions, as complex numbers whose halves lie `width / 2` apart."""
    half = width // 2
    result = vector.clone()
    for i in range(half):
        angle = position * base ** (-2 * i / width) if width else 0.0
        number = torch.complex(vector[i], vector[i + half]) * torch.tensor(
            complex(math.cos(angle), math.sin(angle)), dtype=torch.complex128
        ).to(torch.complex(vector[i], vector[i]).dtype)
        result[i], result[i + half] = number.real, number.imag
    return result


def largest(scores: list[float], size: int) -> list[int]:
    """Return the indices of the largest, of equals the oldest, in the order of time."""
    ranked = sorted(range(len(scores)), key=lambda i: (-scores[i], i))
    return sorted(ranked[:size])


def innovations(x: Tensor, fading: Tensor, predictor: Tensor) -> list[float]:
    """Return the length of the predictor's error at each token of (T, width)."""
    found = []
    for i in range(len(x)):
        before = fading[i - 1] if i else torch.zeros_like(x[0])
        found.append(float((x[i] - predictor @ before).norm()))
    return found


def attended(
    x: Tensor,
    fading: Tensor | None,
    weights: dict[str, Tensor],
    *,
    heads: int,
    rotated: int,
    base: float,
    window: int | None,
    stored: Callable[[int], list[int]] = lambda entered: [],
) -> Tensor:
    """Return what a block makes of x, (T, width).

    `fading` is F(h), (T, width); `stored(n)` names the tokens that the store holds when the first n have entered.
    """
    inner = weights["query"].shape[0]
    dim = inner // heads
    outputs = []
    for i in range(len(x)):
        first = 0 if window is None else max(0, i - window + 1)
        read = [(x[j], j) for j in range(first, i + 1)]
        if window is not None and fading is not None:
            read += [(fading[j], j) for j in range(max(0, i - 2 * window + 1), i - window + 1)]
        if window is not None:
            read += [(x[j], j) for j in stored(max(0, i - window + 1))]
        pieces = []
        for head in range(heads):
            rows = slice(head * dim, (head + 1) * dim)
            value_rows = slice(inner + head * dim, inner + (head + 1) * dim)
            query = turned(weights["query"][rows] @ x[i], i, rotated, base)
            logits, values = [], []
            for vector, j in read:
                key = turned(weights["key_value"][rows] @ vector, j, rotated, base)
                logits.append(float(query @ key) / math.sqrt(dim))
                values.append(weights["key_value"][value_rows] @ vector)
            highest = max(logits)
            shares = [math.exp(logit - highest) for logit in logits]
            pieces.append(sum(s * v for s, v in zip(shares, values, strict=True)) / sum(shares))
        outputs.append(weights["out"] @ torch.cat(pieces))
    return torch.stack(outputs)
