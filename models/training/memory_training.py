"""Training of a VL model of memory blocks on dialogues. Its vision encoder is frozen.

The batch of a step does not depend on the model: all variants of a study train on the same tokens in the same order.
So the batches, with the features of their images, can be computed once and stored in a folder that all trainings
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

from eidolon.models.memory.innovation import PREDICTION_WEIGHT
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

STEPS_PER_FILE = 25
"""Steps whose batches are stored in one file."""
FEATURES = "image_features"


class MemoryTrainee(nn.Module):
    """The model and its auxiliary head in one module, so that accelerate can wrap both."""

    def __init__(self, model: "MemoryForConditionalGeneration") -> None:
        super().__init__()
        self.model = model
        self.presence = PresenceHead(model.config.text_config)

    def forward(self, batch: dict[str, Tensor], presence_weight: float) -> dict[str, Tensor]:
        """Return the losses of one batch by name, and their weighted `total`.

        `image_features` (batch, image tokens, width) replace the images. `prediction` is the loss of the stores'
        predictors, which share no parameter with the rest.
        """
        ids = batch["input_ids"]
        words = self.model.get_input_embeddings()(ids)  # type: ignore[no-untyped-call]
        is_image = (ids == self.model.config.image_token_id)[..., None]
        outputs = self.model.model.text_model(
            inputs_embeds=words.masked_scatter(is_image, batch[FEATURES].to(words.dtype)),
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


class FeatureBatches:
    """The batch of every step, with image features instead of images. If a folder is given, it stores them."""

    def __init__(
        self, batches: Batches, look: Callable[[dict[str, Tensor]], Tensor], folder: Path | None
    ) -> None:
        """Take the batches, the vision encoder as a function of its inputs, and the folder."""
        self._batches, self._look, self._folder = batches, look, folder
        self._loaded: tuple[int, dict[str, Tensor]] | None = None

    def batch(self, step: int, rank: int = 0, world: int = 1) -> dict[str, Tensor]:
        """Return process `rank`'s share of a step's batch."""
        if self._folder is None:
            return self._make(step, rank, world)
        group, within = divmod(step, STEPS_PER_FILE)
        if self._loaded is None or self._loaded[0] != group:
            self._loaded = (group, self._read(self._folder, group, rank, world))
        prefix = f"{within}."
        return {
            name.removeprefix(prefix): tensor
            for name, tensor in self._loaded[1].items()
            if name.startswith(prefix)
        }

    def _read(self, folder: Path, group: int, rank: int, world: int) -> dict[str, Tensor]:
        path = folder / f"{group:05d}-{rank}-of-{world}.safetensors"
        if not path.exists():
            first = group * STEPS_PER_FILE
            steps = range(first, min(first + STEPS_PER_FILE, self._batches.steps))
            tensors = {
                f"{step - first}.{name}": tensor
                for step in steps
                for name, tensor in self._make(step, rank, world).items()
            }
            folder.mkdir(parents=True, exist_ok=True)
            # Concurrent trainings may both write the file, with the same bytes.
            fresh = path.with_suffix(f".{os.getpid()}")
            save_file(tensors, fresh)
            os.replace(fresh, path)
        return load_file(path)

    def _make(self, step: int, rank: int, world: int) -> dict[str, Tensor]:
        batch = self._batches.batch(step, rank, world)
        images = {name: batch.pop(name) for name in ("pixel_values", "pixel_attention_mask")}
        del batch["cells"]
        return {**batch, FEATURES: self._look(images)}


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
    """Train `model` in place on `samples(phase, index)` with `train_loop`. All phases must be of dialogues.

    `batches` is the folder that stores the batches. It must belong to these samples, their order and this vision
    encoder.
    """

    @torch.no_grad()
    def look(images: dict[str, Tensor]) -> Tensor:
        device = model.device
        moved = {name: tensor.to(device) for name, tensor in images.items()}
        features: Any = model.model.get_image_features(**moved)
        return features.pooler_output.float().cpu()  # type: ignore[no-any-return]

    def arguments(step: int) -> Sequence[float]:
        return (config.phases[config.locate(step)[0]].presence_weight,)

    report = train_loop(
        MemoryTrainee(model),
        FeatureBatches(Batches(config, samples, Collator(processor)), look, batches).batch,
        config,
        folder,
        arguments=arguments,
        stop_at=stop_at,
        on_step=on_step,
        identity=identity,
    )
    return replace(report, parameters=sum(p.numel() for p in model.parameters()))
