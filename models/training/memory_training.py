"""Trains a VL model of memory blocks on dialogues, behind its frozen eye.

What a step is trained on does not depend on the model: all variants of a study see the same tokens in the same order.
So the batches, with what the eye sees in their pictures, can be made once and kept in a folder that all trainings
share.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from eidolon.models.training.loop import TrainingReport, train_loop
from eidolon.models.training.vl_training import (
    Batches,
    Collator,
    PresenceHead,
    TrainingConfig,
    TrainingSample,
    language_loss,
)

if TYPE_CHECKING:
    from transformers import Idefics3Processor

    from eidolon.models.memory.modeling import MemoryForConditionalGeneration

KEPT_AT_ONCE = 25
"""Steps whose batches share a file."""
FEATURES = "image_features"
PREDICTION_WEIGHT = 0.01
"""Of the predictors' loss. Adam's steps are the same whatever it is; so small, it leaves alone the length of the
gradient of all parameters, by which that is clipped."""


class MemoryTrainee(nn.Module):
    """The model and its scaffolding under one forward, so that accelerate can wrap both."""

    def __init__(self, model: "MemoryForConditionalGeneration") -> None:
        super().__init__()
        self.model = model
        self.presence = PresenceHead(model.config.text_config)

    def forward(self, batch: dict[str, Tensor], presence_weight: float) -> dict[str, Tensor]:
        """Return the losses of one batch by name, and their weighted `total`.

        `image_features` takes the place of pictures, (batch, image tokens, width). `prediction` is the loss of the
        stores' predictors, which share no parameter with the rest.
        """
        ids = batch["input_ids"]
        words = self.model.get_input_embeddings()(ids)  # type: ignore[no-untyped-call]
        pictured = (ids == self.model.config.image_token_id)[..., None]
        outputs = self.model.model.text_model(
            inputs_embeds=words.masked_scatter(pictured, batch[FEATURES].to(words.dtype)),
            attention_mask=batch["attention_mask"],
            use_cache=False,
            output_hidden_states=True,
        )
        language = language_loss(outputs.last_hidden_state, self.model.lm_head, batch)
        presence = self.presence(outputs.hidden_states, batch["presence"])
        total = language + presence_weight * presence
        losses = {"language": language, "presence": presence}
        if outputs.prediction_loss is not None:
            losses["prediction"] = outputs.prediction_loss
            total = total + PREDICTION_WEIGHT * outputs.prediction_loss
        return {**losses, "total": total}


class SeenBatches:
    """The batch of every step with its pictures as the eye sees them; kept in a folder where one is given."""

    def __init__(
        self, batches: Batches, look: Callable[[dict[str, Tensor]], Tensor], folder: Path | None
    ) -> None:
        self._batches, self._look, self._folder = batches, look, folder
        self._held: tuple[int, dict[str, Tensor]] | None = None

    def batch(self, step: int, rank: int = 0, world: int = 1) -> dict[str, Tensor]:
        """Return process `rank`'s share of a step's batch."""
        if self._folder is None:
            return self._make(step, rank, world)
        group, within = divmod(step, KEPT_AT_ONCE)
        if self._held is None or self._held[0] != group:
            self._held = (group, self._read(self._folder, group, rank, world))
        prefix = f"{within}."
        return {
            name.removeprefix(prefix): tensor
            for name, tensor in self._held[1].items()
            if name.startswith(prefix)
        }

    def _read(self, folder: Path, group: int, rank: int, world: int) -> dict[str, Tensor]:
        path = folder / f"{group:05d}-{rank}-of-{world}.safetensors"
        if not path.exists():
            first = group * KEPT_AT_ONCE
            steps = range(first, min(first + KEPT_AT_ONCE, self._batches.steps))
            tensors = {
                f"{step - first}.{name}": tensor
                for step in steps
                for name, tensor in self._make(step, rank, world).items()
            }
            folder.mkdir(parents=True, exist_ok=True)
            # Trainings side by side may both make it: the same bytes, whoever comes last.
            fresh = path.with_suffix(f".{os.getpid()}")
            save_file(tensors, fresh)
            os.replace(fresh, path)
        return load_file(path)

    def _make(self, step: int, rank: int, world: int) -> dict[str, Tensor]:
        batch = self._batches.batch(step, rank, world)
        pictures = {name: batch.pop(name) for name in ("pixel_values", "pixel_attention_mask")}
        del batch["cells"]
        return {**batch, FEATURES: self._look(pictures)}


def train_memory(
    model: "MemoryForConditionalGeneration",
    processor: "Idefics3Processor",
    samples: Callable[[int, int], TrainingSample],
    config: TrainingConfig,
    folder: Path,
    *,
    batches: Path | None = None,
    stop_at: int | None = None,
    on_step: Callable[[int, dict[str, float]], None] = lambda step, losses: None,
    identity: Mapping[str, Any] | None = None,
) -> TrainingReport:
    """Train `model` in place on `samples(phase, index)`, as `train_loop` does; all phases are of dialogues.

    `batches` is the folder that keeps them; it must belong to these samples, their order and this eye.
    """

    @torch.no_grad()
    def look(pictures: dict[str, Tensor]) -> Tensor:
        device = model.device
        moved = {name: tensor.to(device) for name, tensor in pictures.items()}
        seen: Any = model.model.get_image_features(**moved)
        return seen.pooler_output.float().cpu()  # type: ignore[no-any-return]

    def arguments(step: int) -> Sequence[float]:
        return (config.phases[config.locate(step)[0]].presence_weight,)

    report = train_loop(
        MemoryTrainee(model),
        SeenBatches(Batches(config, samples, Collator(processor)), look, batches).batch,
        config,
        folder,
        arguments=arguments,
        stop_at=stop_at,
        on_step=on_step,
        identity=identity,
    )
    return replace(report, parameters=sum(p.numel() for p in model.parameters()))
