"""The risk network, in NumPy: a history vector that judged responses update, and a reader of the response at hand.

After *Incremental user embedding modeling* (Lian et al., ICASSP 2022, arXiv 2202.06369), in a minimal form of our own:

    a_{k+1} = Encoder([a_k; e_1; …; e_n])[0]        e_i: a judged response
    h       = Reader([a; x_1; …; x_m])              x_j: a mention; each sees the history and earlier mentions
    logit_j = trees_j + w · (h_j(a) - h_j(a_0))

The trees know nothing of the model that wrote the response. e_i says where its judged responses surprised them. Without
judged responses a is a_0, and the log-odds are those of the trees.
Encoder and Reader are one pre-norm transformer layer each. `models.risk` has the same network in PyTorch, to train it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import expit

from eidolon.scorers.core.metric import FloatArray
from eidolon.scorers.risk.described import Described, judged_row, places
from eidolon.scorers.risk.trees import Trees

HEADS: Final = 4
BATCH: Final = 25
"""Judged responses in one update of the history."""
EPSILON: Final = 1e-5
"""Added to variances, as in PyTorch's LayerNorm."""
LAYER: Final = (
    "norm1.weight",
    "norm1.bias",
    "qkv.weight",
    "qkv.bias",
    "out.weight",
    "out.bias",
    "norm2.weight",
    "norm2.bias",
    "up.weight",
    "up.bias",
    "down.weight",
    "down.bias",
)
"""The tensors of a transformer layer."""
TENSORS: Final = (
    "start",
    "category",
    "place.weight",
    "place.bias",
    "judged.weight",
    "judged.bias",
    *(f"encoder.{name}" for name in LAYER),
    *(f"reader.{name}" for name in LAYER),
    "last.weight",
    "last.bias",
    "score",
)
"""The tensors of the network."""


@dataclass(frozen=True, slots=True)
class RiskNetwork:
    """The trained network. Weights of linear maps are (outputs, inputs), as PyTorch stores them."""

    trees: Trees
    weights: dict[str, FloatArray]
    """By the names of `TENSORS`."""

    @property
    def vocabulary(self) -> int:
        """The number of categories."""
        return len(self.weights["category"])

    def start(self) -> FloatArray:
        """Return the history vector without judged responses, shape (d,)."""
        return self.weights["start"]

    def update(self, history: FloatArray, judged: Sequence[Described]) -> FloatArray:
        """Return the history vector after more judged responses, `BATCH` at a time. The weights stay as they are."""
        known = [one for one in judged if bool(one.known.any())]
        rows = np.array([judged_row(one, expit(self.trees.logits(one)), self.vocabulary) for one in known])
        for first in range(0, len(rows), BATCH):
            embedded = self._linear("judged", rows[first : first + BATCH])
            tokens = np.concatenate([history[None], embedded])
            history = self._layer("encoder", tokens, causal=False)[0]
        return history

    def logits(self, history: FloatArray, one: Described) -> FloatArray:
        """Return the log-odds that each mention is not in the picture, shape (m,)."""
        if not len(one.categories):
            return np.zeros(0)
        trees = self.trees.logits(one)
        # Earlier mentions are earlier tokens, which the reader attends to.
        mentions = self.weights["category"][one.categories] + self._linear("place", mention_row(one, trees))
        found: FloatArray = trees + self._read(history, mentions) - self._read(self.start(), mentions)
        return found

    def _read(self, history: FloatArray, mentions: FloatArray) -> FloatArray:
        tokens = np.concatenate([history[None], mentions])
        read = self._norm("last", self._layer("reader", tokens, causal=True)[1:])
        found: FloatArray = read @ self.weights["score"]
        return found

    def _linear(self, name: str, x: FloatArray) -> FloatArray:
        found: FloatArray = x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]
        return found

    def _norm(self, name: str, x: FloatArray) -> FloatArray:
        centred = x - x.mean(axis=-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + EPSILON)
        found: FloatArray = scaled * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]
        return found

    def _layer(self, name: str, x: FloatArray, *, causal: bool) -> FloatArray:
        """Return the output of a transformer layer over tokens (n, d)."""
        n, width = x.shape
        parts = self._linear(f"{name}.qkv", self._norm(f"{name}.norm1", x))
        query, key, value = parts.reshape(n, 3, HEADS, width // HEADS).transpose(1, 2, 0, 3)
        scores = query @ key.transpose(0, 2, 1) / np.sqrt(width // HEADS)
        if causal:
            scores = np.where(np.tri(n, dtype=bool), scores, -np.inf)
        shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
        shares /= shares.sum(axis=-1, keepdims=True)
        mixed = (shares @ value).transpose(1, 0, 2).reshape(n, width)
        x = x + self._linear(f"{name}.out", mixed)
        hidden = np.maximum(self._linear(f"{name}.up", self._norm(f"{name}.norm2", x)), 0.0)
        return x + self._linear(f"{name}.down", hidden)


def mention_row(one: Described, trees: FloatArray) -> FloatArray:
    """Return where each mention is, and the trees' log-odds, shape (m, PLACE_FEATURES + 1)."""
    return np.concatenate([places(one), trees[:, None]], axis=1)
