"""Sampling with a separate stream of random numbers for each row of a batch."""

from collections.abc import Sequence

import numpy as np
import torch
from transformers import LogitsProcessor, TemperatureLogitsWarper, TopPLogitsWarper


class RowwiseSampling(LogitsProcessor):
    """Draws the next token of each row with the row's own seed. With greedy search on top, it is the sampler.

    `generate(do_sample=True)` draws a whole batch from one stream, so that a response depends on its batch. Here each
    row takes one uniform number per step. The token is where that number falls in the cumulative distribution after
    temperature and nucleus cut.
    """

    def __init__(self, seeds: Sequence[int], temperature: float, top_p: float) -> None:
        """Take one seed per row (0 or above), the temperature (above 0) and the nucleus (0 < top_p ≤ 1)."""
        self._streams = [np.random.Generator(np.random.PCG64(seed)) for seed in seeds]
        self._warpers: list[LogitsProcessor] = [TemperatureLogitsWarper(temperature)]
        if top_p < 1:
            self._warpers.append(TopPLogitsWarper(top_p))

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return scores (rows, vocabulary): 0 at each row's drawn token, -∞ elsewhere."""
        warped: torch.Tensor = scores.float()
        for warper in self._warpers:
            warped = warper(input_ids, warped)
        # In float32 a cumulative sum over 10⁵ tokens loses rare tokens. Apple's devices have no float64.
        wide = torch.float32 if scores.device.type == "mps" else torch.float64
        cumulative = warped.softmax(dim=-1).to(wide).cumsum(dim=-1)
        uniform = torch.tensor([[stream.random()] for stream in self._streams], dtype=wide)
        wanted = uniform.to(scores.device) * cumulative[:, -1:]
        drawn = torch.searchsorted(cumulative, wanted, right=True).clamp_(max=scores.shape[-1] - 1)
        return torch.full_like(scores, -torch.inf).scatter_(1, drawn, 0.0)
