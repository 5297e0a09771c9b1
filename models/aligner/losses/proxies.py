"""Proxy losses for names that look alike: ProxyNCA++ and ProxyNCAHN++.

Hubenthal & Kumar, WACV 2023 (arXiv 2309.10206).
"""

import torch
from torch import Tensor

SIGMA = 0.06
"""Width of g(a, b) = exp(-‖a - b‖²/sigma) in the paper."""


def _log_affinity(a: Tensor, b: Tensor, sigma: float) -> Tensor:
    """Return log g of unit vectors, (len(a), len(b))."""
    return -(2 - 2 * a @ b.T) / sigma


def proxy_nca(features: Tensor, proxies: Tensor, labels: Tensor, sigma: float = SIGMA) -> Tensor:
    """Return the mean of -log g(f_i, p_yi)/Σ_p g(f_i, p), with unit features (n, d) and proxies (classes, d).

    Teh et al., ECCV 2020.
    """
    scores = _log_affinity(features, proxies, sigma)
    return (scores.logsumexp(-1) - scores.gather(1, labels[:, None]).squeeze(1)).mean()


def proxy_nca_hn(
    features: Tensor, proxies: Tensor, labels: Tensor, hard: Tensor, sigma: float = SIGMA
) -> Tensor:
    """Return ProxyNCA++ whose denominator has also g(f_i, f_j) of the batch's samples of hard negative classes.

    `hard` is bool (classes, classes): row y marks h(y). Without a hard negative in the batch it equals `proxy_nca`.
    """
    scores = _log_affinity(features, proxies, sigma)
    others = _log_affinity(features, features, sigma).masked_fill(~hard[labels][:, labels], -torch.inf)
    denominator = torch.cat([scores, others], dim=1).logsumexp(-1)
    return (denominator - scores.gather(1, labels[:, None]).squeeze(1)).mean()
