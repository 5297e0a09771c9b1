"""The network that reads signs: convolutions, a distribution over letters for each frame, and an embedding of the word.

An embedding compares words place by place, from both ends. So a name that was never in training is near the crops that
bear it, as long as its letters are read.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from eidolon.models.aligner.sign_architecture import SignArchitecture
from eidolon.models.aligner.spelling import LETTERS, PLACES, both_ends

LEAST_NORM = 0.5
"""An embedding shorter than this is not scaled up to length 1: next to nothing was read."""


def _stage(first: int, second: int, stride: tuple[int, int]) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(first, second, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(second), nn.ReLU()
    )


class SignNetwork(nn.Module):
    """Reads crops, and embeds crops and names in one space."""

    def __init__(self, architecture: SignArchitecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.embedding = 2 * PLACES * architecture.letter
        a, b, c, d = architecture.channels
        wide = architecture.frame
        self.stages = nn.Sequential(
            _stage(1, a, (1, 1)), _stage(a, b, (2, 2)), _stage(b, c, (2, 1)), _stage(c, d, (2, 2))
        )
        self.residual = _stage(d, d, (1, 1))
        self.frames = nn.Sequential(
            nn.Conv1d(d * architecture.height // 8, wide, 1, bias=False), nn.BatchNorm1d(wide), nn.ReLU()
        )
        self.neighbours = nn.Sequential(
            nn.Conv1d(wide, wide, 3, padding=1, bias=False), nn.BatchNorm1d(wide), nn.ReLU()
        )
        self.symbols = nn.Conv1d(wide, 1 + len(LETTERS), 1)
        self.letters = nn.Parameter(
            functional.normalize(torch.randn(len(LETTERS), architecture.letter), dim=-1)
        )
        self.places = nn.Parameter(torch.zeros(2, PLACES))

    def read(self, pictures: Tensor) -> Tensor:
        """Return log probabilities of the symbols, (n, frames, 1 + letters), of crops uint8 (n, 3, height, width)."""
        grey = pictures.float().mean(1, keepdim=True)
        deviation, mean = torch.std_mean(grey, dim=(2, 3), keepdim=True)
        x = self.stages(((grey - mean) / (deviation + 1)).contiguous(memory_format=torch.channels_last))
        x = x + self.residual(x)
        frames = self.frames(x.flatten(1, 2))
        frames = frames + self.neighbours(frames)
        read: Tensor = self.symbols(frames).transpose(1, 2).log_softmax(-1)
        return read

    def embed(self, spellings: Tensor) -> Tensor:
        """Return unit vectors (n, 2 · PLACES · letter) of letters by place, (n, 2, PLACES, letters).

        Where almost nothing was read the vector is short.
        """
        vectors = (spellings @ self.letters) * self.places.exp()[..., None]
        return functional.normalize(vectors.flatten(1), dim=-1, eps=LEAST_NORM)

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Return what `read` returns, and the embeddings of the crops."""
        read = self.read(pictures)
        return read, self.embed(both_ends(read))


def make_sign_network(architecture: SignArchitecture, seed: int) -> SignNetwork:
    """Return a network with seeded random weights. The global random state stays as it is."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return SignNetwork(architecture)
