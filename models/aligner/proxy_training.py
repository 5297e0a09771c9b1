"""Trains an aligner on names that look alike: first pictures and texts together, then proxies of the names."""

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import normalize

from eidolon.models.aligner.losses.contrastive import contrast
from eidolon.models.aligner.losses.proxies import SIGMA, proxy_nca_hn
from eidolon.models.aligner.towers import DualEncoder
from eidolon.models.training.loop import Schedule

FIRST_TEMPERATURE = 0.1


class ProxyTraining(Schedule):
    """The training of a model of signs."""

    aligned_batches: int = Field(400, ge=0)
    """Steps of image-text pre-training: InfoNCE of pictures and the names on them."""
    proxy_batches: int = Field(400, ge=1)
    """Steps with proxies of the classes, which follow."""
    classes: int = Field(24, ge=2)
    """Classes in a batch of the second phase, `samples_each` of each. The first phase has one of each."""
    samples_each: int = Field(4, ge=1)
    sigma: float = Field(SIGMA, gt=0)
    proxy_speed: float = Field(10.0, gt=0)
    """How much faster the proxies learn than the encoder."""

    @property
    def steps(self) -> int:
        return self.aligned_batches + self.proxy_batches

    @property
    def batch_size(self) -> int:
        """Pictures in a batch."""
        return self.classes * self.samples_each


class ProxyTrainee(nn.Module):
    """The encoders and the proxies of the classes. `hard` is bool (classes, classes), as `proxy_nca_hn` takes it."""

    hard: Tensor

    def __init__(self, encoder: DualEncoder, hard: NDArray[np.bool_], config: ProxyTraining) -> None:
        super().__init__()
        self.encoder = encoder
        self.sigma, self.speed = config.sigma, config.proxy_speed
        generator = torch.Generator().manual_seed(config.seed)
        # Adam's step does not depend on the size of a gradient. Stored small, the proxies move further in a step.
        first = torch.randn(len(hard), encoder.architecture.embedding, generator=generator)
        self.proxies = nn.Parameter(normalize(first, dim=-1) / config.proxy_speed)
        self.log_temperature = nn.Parameter(torch.tensor(FIRST_TEMPERATURE).log())
        self.register_buffer("hard", torch.from_numpy(hard))

    def forward(self, batch: dict[str, Tensor], aligned: bool) -> dict[str, Tensor]:
        """Return the loss of one batch: `contrast` in the first phase, `proxies` in the second; each as `total` too.

        `pictures` uint8 (n, 3, height, width) with `captions` (n, words, pieces) in the first phase and `labels` (n)
        in the second.
        """
        images = self.encoder.image(batch["pictures"])
        if aligned:
            loss = contrast(images, self.encoder.text(batch["captions"]), self.log_temperature.exp())
            return {"contrast": loss, "total": loss}
        proxies = normalize(self.proxies * self.speed, dim=-1)
        loss = proxy_nca_hn(images, proxies, batch["labels"], self.hard, self.sigma)
        return {"proxies": loss, "total": loss}
