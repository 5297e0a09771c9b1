"""Ranking of absent objects by a trained graph network, in NumPy: what is known of an image are its objects.

After KGAT (Wang et al., KDD 2019, arXiv 1905.07854). `models.probes` has the same network in PyTorch, to train it.
The embeddings of objects and themes are final after training. An image is added by its own edges alone:

    e_0     = c + mean of its objects' embeddings
    a(r, t) = softmax over neighbours of (W_r t_0)ᵀ tanh(W_r e_0 + e_r)      r: annotated with, of theme
    n_l     = Σ a(r, t) t_l
    e_{l+1} = norm(LeakyReLU(W1 (e_l + n_l) + b1) + LeakyReLU(W2 (e_l ⊙ n_l) + b2))
    score   = [e_0; …; e_L] · [o_0; …; o_L] + bias_o
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from eidolon.scorers.core.metric import FloatArray

SLOPE: Final = 0.2
"""Slope of LeakyReLU below zero."""


@dataclass(frozen=True, slots=True)
class ProbeNetwork:
    """The trained network over v objects and m themes, of width d and with L layers."""

    objects: FloatArray
    """Shape (L + 1, v, d)."""
    themes: FloatArray
    """Shape (L + 1, m, d)."""
    theme_centres: FloatArray
    """Shape (m, v): the mean of a theme's images as `theme_row` gives them."""
    image: FloatArray
    """Shape (d,): what all images share."""
    relation_maps: FloatArray
    """Shape (2, d, d): of annotated with, and of theme. Columns are inputs."""
    relations: FloatArray
    """Shape (2, d)."""
    sum_weight: FloatArray
    """Shape (L, d, d)."""
    sum_bias: FloatArray
    """Shape (L, d)."""
    product_weight: FloatArray
    product_bias: FloatArray
    bias: FloatArray
    """Shape (v,)."""

    def scores(self, present: Sequence[int]) -> FloatArray:
        """Return how likely each object is invented beside those that are present, shape (v,); higher is likelier."""
        seen = sorted(set(present))
        own = self.image + (self.objects[0, seen].mean(axis=0) if seen else 0.0)
        theme = nearest_theme(theme_row(seen, len(self.bias)), self.theme_centres)
        relation = np.array([0] * len(seen) + [1])
        neighbours = np.concatenate([self.objects[:, seen], self.themes[:, [theme]]], axis=1)
        maps, vectors = self.relation_maps[relation], self.relations[relation]
        pulled = np.einsum("nij,nj->ni", maps, neighbours[0])
        pushed = np.tanh(np.einsum("nij,j->ni", maps, own) + vectors)
        logits = (pulled * pushed).sum(axis=1)
        shares = np.exp(logits - logits.max())
        shares /= shares.sum()
        layers = [own]
        for layer in range(len(self.sum_weight)):
            near = shares @ neighbours[layer]
            added = self.sum_weight[layer] @ (own + near) + self.sum_bias[layer]
            shared = self.product_weight[layer] @ (own * near) + self.product_bias[layer]
            own = _leaky(added) + _leaky(shared)
            own = own / max(float(np.linalg.norm(own)), 1e-12)
            layers.append(own)
        found: FloatArray = np.einsum("ld,lvd->v", np.array(layers), self.objects) + self.bias
        return found


def theme_row(present: Sequence[int], vocabulary: int) -> FloatArray:
    """Return the objects of an image as a row of length 1, shape (v,); zeros where there is none."""
    row = np.zeros(vocabulary)
    row[list(set(present))] = 1.0
    length = float(np.sqrt(row.sum()))
    return row / length if length else row


def nearest_theme(row: FloatArray, centres: FloatArray) -> int:
    """Return the theme whose centre is nearest; the first where several are."""
    return int(((centres - row) ** 2).sum(axis=1).argmin())


def _leaky(x: FloatArray) -> FloatArray:
    found: FloatArray = np.where(x > 0, x, SLOPE * x)
    return found
