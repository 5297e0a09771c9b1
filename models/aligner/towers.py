"""The two encoders: a convolutional network for pictures, and an attention-weighted bag of words for texts."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional

from eidolon.models.aligner.architecture import AlignerArchitecture
from eidolon.models.aligner.text_features import PAD

STRIDE = 8
"""Pixels of one cell of the last feature map."""
FIRST_SCALE, FIRST_BIAS = 10.0, -5.0
"""Where scale and bias of the sigmoid logits start (as SigLIP, Zhai et al., ICCV 2023, with fewer negatives)."""


class Tower(nn.Module, ABC):
    """One side: features (n, feature_size) of its inputs, and a head that makes them unit vectors (n, embedding)."""

    feature_size: int
    head: nn.Linear

    @abstractmethod
    def features(self, inputs: Tensor) -> Tensor:
        """Return the features before the head."""

    def forward(self, inputs: Tensor) -> Tensor:
        return functional.normalize(self.head(self.features(inputs)), dim=-1)


class ImageTower(Tower):
    """Pictures, uint8 (n, 3, height, width), to unit vectors (n, embedding)."""

    def __init__(self, architecture: AlignerArchitecture) -> None:
        super().__init__()
        first, second, third = architecture.channels
        self.stem = nn.Conv2d(3, first, 4, stride=4)
        self.second = nn.Conv2d(first, second, 3, padding=1)
        self.third = nn.Conv2d(second, third, 3, stride=2, padding=1)
        self.residual = nn.Conv2d(third, third, 3, padding=1)
        self.norms = nn.ModuleList(nn.GroupNorm(8, size) for size in (first, second, third, third))
        self.grid = architecture.grid
        rows, columns = architecture.grid
        self.feature_size = 2 * third * rows * columns
        self.head = nn.Linear(self.feature_size, architecture.embedding)

    def features(self, inputs: Tensor) -> Tensor:
        """Return the pooled features before the last layer, (n, feature_size)."""
        x = (inputs.float() / 255 - 0.5) / 0.25
        x = x.contiguous(memory_format=torch.channels_last)
        x = functional.gelu(self.norms[0](self.stem(x)))
        x = functional.gelu(self.norms[1](self.second(x)))
        x = functional.gelu(self.norms[2](self.third(x)))
        x = x + functional.gelu(self.norms[3](self.residual(x)))
        pooled = [functional.adaptive_max_pool2d(x, self.grid), functional.adaptive_avg_pool2d(x, self.grid)]
        return torch.cat([part.flatten(1) for part in pooled], dim=1)


class TextTower(Tower):
    """Hashed texts, int64 (n, words, pieces), to unit vectors (n, embedding)."""

    def __init__(self, architecture: AlignerArchitecture) -> None:
        super().__init__()
        width = architecture.text_width
        self.pieces = nn.Embedding(architecture.buckets, width, padding_idx=PAD)
        self.word = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU())
        self.weight = nn.Linear(2 * width, 1)
        self.feature_size = 2 * width
        self.head = nn.Linear(self.feature_size, architecture.embedding)

    def features(self, inputs: Tensor) -> Tensor:
        """Return the pooled words before the last layer, (n, feature_size)."""
        known = inputs != PAD
        counts = known.sum(-1, keepdim=True)
        words = self.word(self.pieces(inputs).sum(-2) / counts.clamp(min=1) ** 0.5)
        scores = self.weight(words).squeeze(-1).masked_fill(counts.squeeze(-1) == 0, -torch.inf)
        pooled: Tensor = (scores.softmax(-1).unsqueeze(-1) * words).sum(-2)
        return pooled


class Encoders(nn.Module):
    """Both sides, and the scale and bias that make a cosine the log odds of presence."""

    def __init__(self, image: Tower, text: Tower) -> None:
        super().__init__()
        self.image = image
        self.text = text
        self.log_scale = nn.Parameter(torch.tensor(FIRST_SCALE).log())
        self.bias = nn.Parameter(torch.tensor(FIRST_BIAS))

    def logits(self, images: Tensor, texts: Tensor) -> Tensor:
        """Return the log odds that each text is true of each picture, (images, texts)."""
        return self.log_scale.exp() * images @ texts.T + self.bias


class DualEncoder(Encoders):
    """The encoders of pictures and texts."""

    def __init__(self, architecture: AlignerArchitecture) -> None:
        super().__init__(ImageTower(architecture), TextTower(architecture))
        self.architecture = architecture


def make_encoder(architecture: AlignerArchitecture, seed: int) -> DualEncoder:
    """Return the encoders with seeded random weights. The global random state stays as it is."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return DualEncoder(architecture)
