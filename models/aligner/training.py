"""Trains an aligner: the one step that all losses share."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional

from eidolon.models.aligner.losses.contrastive import contrast, contrast_views, presence_loss
from eidolon.models.aligner.losses.decomposable import (
    RunningPartition,
    decomposable,
    log_partition,
    sample_log_auxiliary,
)
from eidolon.models.aligner.losses.latent import bridge, consistency, separation
from eidolon.models.aligner.towers import Encoders
from eidolon.models.training.loop import Schedule

FIRST_TEMPERATURE = 0.1
DRAWS_PER_SEED = 2**32
LEAST_LOG_TEMPERATURE = math.log(0.01)
"""The learned temperature is at least 0.01, as CLIP's (Radford et al. 2021)."""


class LossWeights(BaseModel):
    """Which losses a training adds up. The names weight the losses of the same names; 0 leaves one out."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    contrast: Literal["ordinary", "decomposable"] = "ordinary"
    """InfoNCE over the batch, or the decomposable loss over all training pairs."""
    views: bool = False
    """Whether augmented views have contrastive terms of their own. The regularisers need views."""
    presence: float = Field(0.0, ge=0)
    separation: float = Field(0.0, ge=0)
    bridge: float = Field(0.0, ge=0)
    consistency: float = Field(0.0, ge=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    """How much of the last value the moving average keeps of each anchor's partition function."""

    @property
    def needs_views(self) -> bool:
        """Whether a batch must have augmented views."""
        return self.views or self.separation + self.bridge + self.consistency > 0


class AlignerTraining(Schedule):
    """The training of an aligner."""

    batches: int = Field(1500, ge=1)
    batch_size: int = Field(64, ge=2)
    pairs: int = Field(6000, ge=2)
    """Number of training scenes, each with its caption."""
    losses: LossWeights = LossWeights()
    learn_temperature: bool = True

    @property
    def steps(self) -> int:
        return self.batches


@dataclass(frozen=True, slots=True)
class _Encoded:
    """Unit vectors of pictures and texts."""

    shared: tuple[Tensor, Tensor]
    own: tuple[Tensor, Tensor]
    """Those of the extra heads; `shared` where there are none."""


class AlignerTrainee(nn.Module):
    """The encoders and what only the training needs: temperature, extra heads, running partition functions."""

    draws: Tensor
    """How often auxiliary variables were sampled. It seeds the next draw, so that a resumed training draws the same."""

    def __init__(self, encoder: Encoders, config: AlignerTraining) -> None:
        super().__init__()
        self.encoder = encoder
        self.losses = config.losses
        self.candidates = config.pairs
        self.log_temperature = nn.Parameter(
            torch.tensor(FIRST_TEMPERATURE).log(), requires_grad=config.learn_temperature
        )
        self.seed = config.seed
        if config.losses.contrast == "decomposable":
            self.register_buffer("draws", torch.zeros((), dtype=torch.int64))
            self.partitions = nn.ModuleList(
                RunningPartition(config.pairs, config.losses.momentum) for _ in range(2)
            )
        if config.losses.separation:
            towers = (encoder.image, encoder.text)
            self.own_heads = nn.ModuleList(
                nn.Linear(tower.feature_size, tower.head.out_features) for tower in towers
            )

    def forward(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the losses of one batch by name, and their weighted `total`.

        `pictures` uint8 (n, 3, height, width), `captions` (n, words, pieces) and `ids` (n) are pairs. With `presence`:
        `names` (k, words, pieces) and `present` (n, k). With views: `picture_views` and `caption_views`.
        """
        weights = self.losses
        pair = self._encode(batch["pictures"], batch["captions"])
        images, texts = pair.shared
        temperature = self.log_temperature.clamp(min=LEAST_LOG_TEMPERATURE).exp()
        found: dict[str, Tensor] = {}
        views = self._encode(batch["picture_views"], batch["caption_views"]) if weights.needs_views else None
        if weights.contrast == "decomposable":
            found["contrast"] = self._decomposable(images @ texts.T / temperature, batch["ids"])
        elif views is not None and weights.views:
            found["contrast"] = contrast_views(images, texts, *views.shared, temperature)
        else:
            found["contrast"] = contrast(images, texts, temperature)
        total = found["contrast"]
        if weights.presence:
            log_odds = self.encoder.logits(images, self.encoder.text(batch["names"]))
            found["presence"] = presence_loss(log_odds, batch["present"])
            total = total + weights.presence * found["presence"]
        if views is not None:
            if weights.separation:
                found["separation"] = separation(pair.shared, pair.own, views.own, temperature)
                total = total + weights.separation * found["separation"]
            if weights.bridge:
                found["bridge"] = bridge(images, texts, views.shared[0])
                total = total + weights.bridge * found["bridge"]
            if weights.consistency:
                found["consistency"] = consistency(images, texts, *views.shared)
                total = total + weights.consistency * found["consistency"]
        return {**found, "total": total}

    def _encode(self, pictures: Tensor, texts: Tensor) -> "_Encoded":
        """Return the shared features of pictures and texts, and with separation those of the extra heads."""
        towers = (self.encoder.image, self.encoder.text)
        features = [tower.features(given) for tower, given in zip(towers, (pictures, texts), strict=True)]

        def through(heads: Iterable[nn.Module]) -> tuple[Tensor, Tensor]:
            images, texts = (
                functional.normalize(head(part), dim=-1) for head, part in zip(heads, features, strict=True)
            )
            return images, texts

        shared = through(tower.head for tower in towers)
        return _Encoded(shared, through(self.own_heads) if self.losses.separation else shared)

    def _decomposable(self, scores: Tensor, ids: Tensor) -> Tensor:
        """Return the mean of both directions: sample u given the weights, then the loss given u."""
        generator = torch.Generator(scores.device).manual_seed(self.seed * DRAWS_PER_SEED + int(self.draws))
        self.draws += 1
        parts = []
        for running, directed in zip(self.partitions, (scores, scores.T), strict=True):
            assert isinstance(running, RunningPartition)
            log_z = running.update(ids, log_partition(directed.detach(), self.candidates))
            parts.append(decomposable(directed, sample_log_auxiliary(log_z, generator), self.candidates))
        return (parts[0] + parts[1]) / 2
