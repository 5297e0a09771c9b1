"""The decomposable contrastive loss (Chen et al., NeurIPS 2022): InfoNCE whose minibatch gradient has no bias.

1/Z = ∫₀^∞ exp(-uZ) du. So with u_i ~ Gamma(shape 1, rate Z_i) the loss of an anchor is -s⁺ + u_i Σ_j exp(s_ij), a plain
sum over candidates, which a minibatch estimates without bias. E[u_i] = 1/Z_i gives the gradient of InfoNCE on all
candidates. Training alternates: sample u given the weights, then take a step given u (stochastic EM).

How the authors know Z_i is not public. A moving average over the batches in which the anchor occurred is our reading.
"""

import math

import torch
from torch import Tensor, nn


def log_partition(scores: Tensor, candidates: int) -> Tensor:
    """Return the logarithm of the estimate of Z_i = Σ_j exp(s_ij) over all candidates, (…, n).

    `scores` are those of a batch divided by the temperature, (…, n, n), with the positives on the diagonal. An
    anchor's own positive is in every batch with the anchor, so it has weight 1; each other candidate has weight
    (candidates - 1)/(n - 1).
    """
    return (scores + _log_weights(scores, candidates)).logsumexp(-1)


def _log_weights(scores: Tensor, candidates: int) -> Tensor:
    """Return the logarithms of the weights of the candidates in a batch, (n, n)."""
    n = scores.shape[-1]
    weight = math.log((candidates - 1) / (n - 1)) if n > 1 else 0.0
    return torch.full((n, n), weight, dtype=scores.dtype, device=scores.device).fill_diagonal_(0.0)


def sample_log_auxiliary(log_z: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Return log u for u ~ Gamma(shape 1, rate Z), which is an exponential variable divided by Z."""
    return torch.empty_like(log_z).exponential_(generator=generator).log() - log_z


def decomposable(scores: Tensor, log_u: Tensor, candidates: int) -> Tensor:
    """Return the mean over anchors of -s_ii + u_i Ẑ_i, with Ẑ_i as `log_partition` estimates it.

    Given u it is linear in the candidates. `log_u` (…, n) has no gradient. The value is not that of InfoNCE, the
    expected gradient is.
    """
    return (
        (log_partition(scores, candidates) + log_u.detach()).exp() - scores.diagonal(dim1=-2, dim2=-1)
    ).mean()


class RunningPartition(nn.Module):
    """A moving average of each anchor's Z. It is a buffer, so that a training that resumes has it."""

    log_z: Tensor

    def __init__(self, anchors: int, momentum: float) -> None:
        super().__init__()
        self.momentum = momentum
        self.register_buffer("log_z", torch.full((anchors,), torch.nan))

    @torch.no_grad()
    def update(self, ids: Tensor, log_estimates: Tensor) -> Tensor:
        """Move the averages of the anchors `ids` towards the batch's estimates, and return them.

        Both have one shape. The first estimate of an anchor is its first average.
        """
        before = torch.where(self.log_z[ids].isnan(), log_estimates, self.log_z[ids])
        kept = before + math.log(self.momentum) if self.momentum > 0 else torch.full_like(before, -torch.inf)
        after = torch.logaddexp(kept, log_estimates + math.log1p(-self.momentum))
        self.log_z[ids] = after
        return after
