"""Trains a reader of signs: first crops and the names on them, then proxies of names that look alike."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import ctc_loss, normalize

from eidolon.models.aligner.losses.contrastive import contrast
from eidolon.models.aligner.losses.proxies import SIGMA, proxy_nca_hn
from eidolon.models.aligner.sign_network import SignNetwork
from eidolon.models.aligner.spelling import BLANK, spell
from eidolon.models.training.loop import Schedule

FIRST_TEMPERATURE = 0.1


class ProxyTraining(Schedule):
    """The training of a reader of signs."""

    aligned_batches: int = Field(1000, ge=0)
    """Steps of image-text pre-training: InfoNCE of crops and the names on them, and the spelling loss."""
    proxy_batches: int = Field(150, ge=0)
    """Steps with proxies of the classes, which follow."""
    classes: int = Field(16, ge=2)
    """Classes in a batch of the second phase, `samples_each` of each. The first phase has one of each."""
    samples_each: int = Field(4, ge=1)
    sigma: float = Field(SIGMA, gt=0)
    proxy_speed: float = Field(10.0, gt=0)
    """How much faster the proxies learn than the encoder."""
    spelling: float = Field(1.0, ge=0)
    """Weight of the spelling loss in both phases: CTC of the letters on a crop."""
    spelled_proxies: bool = True
    """Whether a proxy is the embedding of its name and a learned offset. Otherwise it starts at random."""

    @property
    def steps(self) -> int:
        return self.aligned_batches + self.proxy_batches

    @property
    def batch_size(self) -> int:
        """Crops in a batch."""
        return self.classes * self.samples_each


class ProxyTrainee(nn.Module):
    """The network and the proxies of the classes with these names.

    `hard` is bool (classes, classes), as `proxy_nca_hn` takes it.
    """

    hard: Tensor
    spellings: Tensor

    def __init__(
        self, network: SignNetwork, names: Sequence[str], hard: NDArray[np.bool_], config: ProxyTraining
    ) -> None:
        super().__init__()
        self.network = network
        self.sigma, self.speed, self.spelling = config.sigma, config.proxy_speed, config.spelling
        generator = torch.Generator().manual_seed(config.seed)
        # Adam's step does not depend on the size of a gradient. Stored small, the proxies move further in a step.
        first = normalize(torch.randn(len(names), network.embedding, generator=generator), dim=-1)
        self.spelled = config.spelled_proxies
        self.offsets = nn.Parameter((0 if self.spelled else 1) * first / self.speed)
        self.log_temperature = nn.Parameter(torch.tensor(FIRST_TEMPERATURE).log())
        self.register_buffer("hard", torch.from_numpy(hard))
        self.register_buffer("spellings", spell(names))

    def forward(self, batch: dict[str, Tensor], aligned: bool) -> dict[str, Tensor]:
        """Return the losses of one batch: `spelling`, `contrast` or `proxies` by the phase, and their `total`.

        `pictures` is uint8 (n, 3, height, width), `symbols` int64 (n, longest) with `lengths` (n). The first phase has
        `spellings` (n, 2, places, letters) too, the second `labels` (n).
        """
        log_probabilities, images = self.network(batch["pictures"])
        spelling = spelling_loss(log_probabilities, batch["symbols"], batch["lengths"])
        if aligned:
            name, loss = "contrast", self._contrast(images, batch["spellings"])
        else:
            name = "proxies"
            loss = proxy_nca_hn(images, self.proxies(), batch["labels"], self.hard, self.sigma)
        return {"spelling": spelling, name: loss, "total": loss + self.spelling * spelling}

    def proxies(self) -> Tensor:
        """Return the proxies of the classes, unit vectors (classes, dimensions)."""
        start = self.network.embed(self.spellings) if self.spelled else 0
        return normalize(start + self.offsets * self.speed, dim=-1)

    def _contrast(self, images: Tensor, spellings: Tensor) -> Tensor:
        return contrast(images, self.network.embed(spellings), self.log_temperature.exp())


def spelling_loss(log_probabilities: Tensor, symbols: Tensor, lengths: Tensor) -> Tensor:
    """Return the mean over crops of CTC's loss, in nats per letter (Graves et al., ICML 2006).

    `log_probabilities` is (n, frames, 1 + letters), `symbols` (n, longest) and `lengths` (n).
    """
    n, frames, _ = log_probabilities.shape
    read = torch.full((n,), frames)
    return ctc_loss(log_probabilities.transpose(0, 1), symbols, read, lengths, BLANK, zero_infinity=True)
