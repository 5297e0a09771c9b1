"""Regularisers of the latent space: separation, Brownian bridge, geometric consistency.

Jiang et al., CVPR 2023 (arXiv 2303.05952). All vectors are unit vectors, (n, d).
"""

import torch
from torch import Tensor
from torch.nn import functional

from eidolon.models.aligner.losses.contrastive import infonce

BRIDGE_TIME = 0.25
"""Where on the bridge from text (0) to image (1) the augmented view is."""


def orthogonality(shared: Tensor, own: Tensor) -> Tensor:
    """Return the mean of ⟨z, z^i⟩²: what a modality keeps for itself must not repeat what both share."""
    return (shared * own).sum(-1).square().mean()


def uniformity(images: Tensor, texts: Tensor) -> Tensor:
    """Return log 1/N Σ_jk [G(v_j, v_k) + G(t_j, t_k)], with G(a, b) = exp(-2‖a - b‖²)."""
    total = sum(torch.exp(-2 * (2 - 2 * own @ own.T)).sum() for own in (images, texts))
    return torch.log(torch.as_tensor(total) / len(images))


def separation(
    shared: tuple[Tensor, Tensor],
    own: tuple[Tensor, Tensor],
    own_views: tuple[Tensor, Tensor],
    temperature: Tensor | float,
) -> Tensor:
    """Return L_Ortho + L_Con^i + L_Uni^i of deep feature separation.

    Each argument is (images, texts): the shared features, the independent features of the extra heads, and those of the
    augmented views.
    """
    repeated = orthogonality(shared[0], own[0]) + orthogonality(shared[1], own[1])
    within = infonce(own[0], own_views[0], temperature) + infonce(own[1], own_views[1], temperature)
    return repeated + within + uniformity(*own)


def bridge(images: Tensor, texts: Tensor, image_views: Tensor, time: float = BRIDGE_TIME) -> Tensor:
    """Return the mean of ‖v^a - μ‖², where μ is time · v + (1 - time) · t, normalised.

    Up to a constant and the factor 1/(2 time (1 - time)) it is -log of the Gaussian N(μ, time (1 - time) I) at v^a.
    """
    mean = functional.normalize(time * images + (1 - time) * texts, dim=-1)
    return (image_views - mean).square().sum(-1).mean()


def _symmetry(a: Tensor, b: Tensor) -> Tensor:
    """Return 1/N Σ_jk [(⟨a_j, b_k⟩ - ⟨a_k, b_j⟩)² + (⟨a_j, a_k⟩ - ⟨b_j, b_k⟩)²]."""
    across = a @ b.T
    within = a @ a.T - b @ b.T
    return ((across - across.T).square().sum() + within.square().sum()) / len(a)


def consistency(images: Tensor, texts: Tensor, image_views: Tensor, text_views: Tensor) -> Tensor:
    """Return geometric consistency: between modalities, between views in each modality, and of the pairs."""
    pairs = (images * texts).sum(-1) - (image_views * text_views).sum(-1)
    return (
        _symmetry(images, texts)
        + _symmetry(images, image_views)
        + _symmetry(texts, text_views)
        + pairs.square().mean()
    )
