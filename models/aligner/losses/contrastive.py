"""InfoNCE, its multi-view form, and the sigmoid loss of presence."""

from torch import Tensor
from torch.nn import functional


def infonce(anchors: Tensor, candidates: Tensor, temperature: Tensor | float) -> Tensor:
    """Return the mean over i of -s_ii/τ + log Σ_j exp(s_ij/τ), with s_ij = ⟨anchor i, candidate j⟩.

    Both are (n, d); row i of one belongs to row i of the other (van den Oord et al. 2018).
    """
    scores = anchors @ candidates.T / temperature
    return (scores.logsumexp(-1) - scores.diagonal()).mean()


def contrast(images: Tensor, texts: Tensor, temperature: Tensor | float) -> Tensor:
    """Return half of InfoNCE from pictures to texts plus half from texts to pictures (CLIP, Radford et al. 2021)."""
    return (infonce(images, texts, temperature) + infonce(texts, images, temperature)) / 2


def contrast_views(
    images: Tensor, texts: Tensor, image_views: Tensor, text_views: Tensor, temperature: Tensor | float
) -> Tensor:
    """Return ¼(V2T + T2V + V2V + T2T), where the last two find the other view of the same item.

    Jiang et al., CVPR 2023 (arXiv 2303.05952), L_Con.
    """
    within = (infonce(images, image_views, temperature) + infonce(texts, text_views, temperature)) / 2
    return (contrast(images, texts, temperature) + within) / 2


def presence_loss(log_odds: Tensor, present: Tensor) -> Tensor:
    """Return the mean cross entropy of presence, in nats for each picture and name; both are (pictures, names).

    It is SigLIP's loss (Zhai et al., ICCV 2023) where a picture may have several names.
    """
    return functional.binary_cross_entropy_with_logits(log_odds, present)
