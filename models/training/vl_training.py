"""Training of a small VL model on samples from the caller.

A phase trains either the vision side alone or the whole model on dialogues. The vision side learns to predict from
every image token what is drawn in its cell. In dialogues this cell loss is added to the language loss. The cell
classifier is auxiliary: it is not part of the checkpoint.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from eidolon.models.training.loop import Schedule, TrainingReport, train_loop

if TYPE_CHECKING:
    from transformers import Idefics3ForConditionalGeneration, Idefics3Processor

CHUNK = 16
"""Batches whose samples are sorted by length together, so that there is little padding."""
IGNORED = -100


@dataclass(frozen=True, slots=True)
class TrainingTurn:
    """A question, the answer to learn, and the weights of the answer's parts in the loss."""

    ask: str
    answer: str
    weight: float = 1.0
    emphasis: Sequence[tuple[int, int, float]] = ()
    """(start, end, weight) of character spans of the answer with another weight."""
    presence: Sequence[tuple[int, bool]] = ()
    """For each thing that the question is about: the character offset in the question at which its name ends, and
    whether it is in the image."""


@dataclass(frozen=True, slots=True)
class TrainingSample:
    """An image, a dialogue about it, and the content of each cell of the image."""

    image: Callable[[], Image.Image]
    """Draws the image."""
    turns: Sequence[TrainingTurn]
    cells: NDArray[np.bool_]
    """(grid, grid, labels): whether the cell shows the label."""


class Phase(BaseModel):
    """A part of the training with one kind of sample."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    kind: Literal["cells", "dialogue"]
    steps: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    """Samples per step, over all processes."""
    presence_weight: float = Field(0.0, ge=0)
    """Weight of the presence loss beside the language loss."""


class TrainingConfig(Schedule):
    """Everything beside the samples that determines the weights."""

    phases: tuple[Phase, ...]
    order: int | None = None
    """Seed of the order of the batches within every `CHUNK` steps; null: the seed of the weights."""
    cell_weight: float = Field(0.5, ge=0)
    """Weight of the cell loss beside the language loss."""

    @property
    def steps(self) -> int:
        """Number of steps of all phases."""
        return sum(phase.steps for phase in self.phases)

    def locate(self, step: int) -> tuple[int, int]:
        """Return (phase, step within it) of a step, counted from the start of training."""
        for number, phase in enumerate(self.phases):
            if step < phase.steps:
                return number, step
            step -= phase.steps
        raise IndexError(step)


class CellClassifier(nn.Module):
    """Predicts what is drawn in an image token's cell, by similarity to word embeddings.

    A label's logit is the scaled dot product of the image token and the mean word embedding of the label. This places
    image tokens near the embeddings of their words. Naming what is in the image, and finding what a question names,
    then depend on similarity only.
    """

    def __init__(self, labels: Sequence[Sequence[int]]) -> None:
        """Take the token ids of each label's name."""
        super().__init__()
        self._labels = [torch.tensor(ids) for ids in labels]
        self.log_scale = nn.Parameter(torch.tensor(math.log(20.0)))
        self.bias = nn.Parameter(torch.full((len(labels),), -3.0))

    def forward(self, image_tokens: Tensor, embeddings: Tensor) -> Tensor:
        """Map (batch, cells, width) and the embedding matrix to logits (batch, cells, labels)."""
        words = torch.stack([embeddings[ids.to(embeddings.device)].mean(0) for ids in self._labels])
        logits: Tensor = image_tokens.float() @ words.T * self.log_scale.exp() + self.bias
        return logits


class PresenceHead(nn.Module):
    """Predicts in the middle layer, at the word itself, whether the thing that a question names is in the image.

    An answer takes two steps: find the named thing in the image, and carry the result to the end of the question.
    Learned together they take very long; this head teaches the first step. It is auxiliary too.
    """

    def __init__(self, text_config: Any) -> None:
        super().__init__()
        self.layer = text_config.num_hidden_layers // 2
        self.score = nn.Linear(text_config.hidden_size, 1)
        nn.init.zeros_(self.score.weight)
        nn.init.zeros_(self.score.bias)

    def forward(self, hidden_states: Sequence[Tensor], targets: Tensor) -> Tensor:
        """Return the loss from the hidden states of all layers and targets (batch, T): 1, 0 or IGNORED."""
        known = targets != IGNORED
        logits = self.score(hidden_states[self.layer][known].float()).squeeze(-1)
        losses = nn.functional.binary_cross_entropy_with_logits(
            logits, targets[known].float(), reduction="sum"
        )
        return losses / known.sum().clamp(min=1)


def language_loss(hidden: Tensor, head: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """Return the weighted mean loss of the learned tokens, in nats. `hidden` is the last layer's, (batch, T, width)."""
    targets, weights = batch["labels"][:, 1:], batch["weights"][:, 1:]
    learned = targets != IGNORED
    # Logits of learned positions only: the vocabulary is the widest layer.
    logits = head(hidden[:, :-1][learned])
    losses = nn.functional.cross_entropy(logits.float(), targets[learned], reduction="none")
    return (losses * weights[learned]).sum() / weights[learned].sum()


class Trainee(nn.Module):
    """The model and its auxiliary heads in one module, so that accelerate can wrap both."""

    def __init__(self, model: "Idefics3ForConditionalGeneration", labels: Sequence[Sequence[int]]) -> None:
        super().__init__()
        self.model = model
        self.cells = CellClassifier(labels)
        text_config: Any = model.config.text_config
        self.presence = PresenceHead(text_config)

    def forward(
        self, batch: dict[str, Tensor], cell_weight: float, presence_weight: float
    ) -> dict[str, Tensor]:
        """Return the losses of one batch and their weighted `total`.

        They are `cells`, and for a batch with `input_ids` also `language` and `presence`.
        """
        pixels, mask = batch["pixel_values"], batch["pixel_attention_mask"]
        if "input_ids" not in batch:
            features = self.model.model.get_image_features(pixels, mask).pooler_output
            cells = self._cell_loss(features, batch["cells"])
            return {"cells": cells, "total": cells}
        outputs = self.model.model(
            input_ids=batch["input_ids"],
            attention_mask=batch["attention_mask"],
            pixel_values=pixels,
            pixel_attention_mask=mask,
            use_cache=False,
            output_hidden_states=True,
        )
        cells = self._cell_loss(outputs.image_hidden_states, batch["cells"])
        language = language_loss(outputs.last_hidden_state, self.model.lm_head, batch)
        presence = self.presence(outputs.hidden_states, batch["presence"])
        total = language + cell_weight * cells + presence_weight * presence
        return {"cells": cells, "language": language, "presence": presence, "total": total}

    def _cell_loss(self, features: Tensor, targets: Tensor) -> Tensor:
        image_tokens = features.reshape(targets.shape[0], -1, features.shape[-1])
        logits = self.cells(image_tokens, self.model.get_input_embeddings().weight)
        # Few cells show a label. A mean over labels would make their gradient vanish, so sum over labels.
        losses = nn.functional.binary_cross_entropy_with_logits(logits.float(), targets, reduction="none")
        return losses.sum(-1).mean()


@dataclass(frozen=True, slots=True)
class EncodedDialogue:
    """A dialogue as lists of equal length, one entry per token."""

    ids: list[int]
    labels: list[int]
    """The token to learn here, or IGNORED."""
    weights: list[float]
    presence: list[int]
    """1 or 0 at the end of a name in a question, if the thing is in the image or not; elsewhere IGNORED."""


class Collator:
    """Turns training samples into tensors, in the same form as the processor's at generation."""

    def __init__(self, processor: "Idefics3Processor") -> None:
        self._processor = processor
        tokenizer = processor.tokenizer
        self._pad = tokenizer.pad_token_id
        image = processor.image_token * processor.image_seq_len
        fake, tag = processor.fake_image_token, processor.global_image_tag
        self._expanded_image = f"{fake}{tag}{image}{fake}"
        self._end = tokenizer.eos_token

    def encode(self, sample: TrainingSample) -> EncodedDialogue:
        """Return a sample's dialogue as tokens; only answers are learned."""
        encoded = EncodedDialogue([], [], [], [])
        for number, turn in enumerate(sample.turns):
            image = self._expanded_image if number == 0 else ""
            before = f"User:{image} " if number == 0 else "\nUser: "
            question, question_ends = self._tokens(f"{before}{turn.ask}{self._end}\nAssistant:")
            answer, ends = self._tokens(f" {turn.answer}{self._end}")
            encoded.ids.extend(question + answer)
            encoded.labels.extend([IGNORED] * len(question) + answer)
            encoded.weights.extend([0.0] * len(question) + [self._weight(turn, end - 1) for end in ends])
            targets = [IGNORED] * (len(question) + len(answer))
            for end, present in turn.presence:
                targets[question_ends.index(len(before) + end)] = int(present)
            encoded.presence.extend(targets)
        return encoded

    @staticmethod
    def _weight(turn: TrainingTurn, end: int) -> float:
        """Return the weight of the token that ends at character offset `end` of the answer."""
        return next((weight for start, stop, weight in turn.emphasis if start < end <= stop), turn.weight)

    def _tokens(self, text: str) -> tuple[list[int], list[int]]:
        """Return token ids, and the character offset at which each token ends."""
        encoded = self._processor.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        return encoded["input_ids"], [end for _, end in encoded["offset_mapping"]]

    def images(self, samples: Sequence[TrainingSample]) -> dict[str, Tensor]:
        """Return pixel values, their mask, and cell targets (batch, cells, labels)."""
        inputs = self._processor.image_processor(
            images=[[sample.image()] for sample in samples], return_tensors="pt"
        )
        cells = np.stack([sample.cells.reshape(-1, sample.cells.shape[-1]) for sample in samples])
        return {
            "pixel_values": inputs["pixel_values"],
            "pixel_attention_mask": inputs["pixel_attention_mask"],
            "cells": torch.from_numpy(cells.astype(np.float32)),
        }

    def dialogues(
        self, samples: Sequence[TrainingSample], encoded: Sequence[EncodedDialogue]
    ) -> dict[str, Tensor]:
        """Return the whole batch, (batch, T) per entry of `EncodedDialogue`, padded on the right."""
        longest = max(len(dialogue.ids) for dialogue in encoded)

        def padded(rows: list[Any], value: float) -> Tensor:
            return torch.tensor([row + [value] * (longest - len(row)) for row in rows])

        return {
            **self.images(samples),
            "input_ids": padded([dialogue.ids for dialogue in encoded], self._pad),
            "labels": padded([dialogue.labels for dialogue in encoded], IGNORED),
            "weights": padded([dialogue.weights for dialogue in encoded], 0.0),
            "presence": padded([dialogue.presence for dialogue in encoded], IGNORED),
            "attention_mask": padded([[1] * len(dialogue.ids) for dialogue in encoded], 0),
        }


class Batches:
    """The batch of every step. It depends on the step only, so that a resumed training gets the same batches."""

    def __init__(
        self, config: TrainingConfig, samples: Callable[[int, int], TrainingSample], collator: Collator
    ) -> None:
        self._config = config
        self._samples = samples
        self._collator = collator
        self.steps = config.steps
        self._chunk: tuple[int, int] | None = None
        self._cut: list[list[tuple[TrainingSample, EncodedDialogue]]] = []

    def batch(self, step: int, rank: int = 0, world: int = 1) -> dict[str, Tensor]:
        """Return process `rank`'s share of a step's batch."""
        number, within = self._config.locate(step)
        phase = self._config.phases[number]
        if phase.kind == "cells":
            indices = range(within * phase.batch_size, (within + 1) * phase.batch_size)[rank::world]
            return self._collator.images([self._samples(number, i) for i in indices])
        if self._chunk != (number, within // CHUNK):
            self._cut_chunk(number, within // CHUNK)
        pairs = self._cut[within % CHUNK][rank::world]
        return self._collator.dialogues([s for s, _ in pairs], [e for _, e in pairs])

    def _cut_chunk(self, number: int, chunk: int) -> None:
        size = self._config.phases[number].batch_size
        samples = [self._samples(number, i) for i in range(chunk * CHUNK * size, (chunk + 1) * CHUNK * size)]
        pairs = sorted(((s, self._collator.encode(s)) for s in samples), key=lambda pair: len(pair[1].ids))
        seed = self._config.seed if self._config.order is None else self._config.order
        order = np.random.default_rng([seed, number, chunk]).permutation(CHUNK)
        self._cut = [pairs[k * size : (k + 1) * size] for k in order]
        self._chunk = (number, chunk)


def train(
    model: "Idefics3ForConditionalGeneration",
    processor: "Idefics3Processor",
    samples: Callable[[int, int], TrainingSample],
    labels: Sequence[str],
    config: TrainingConfig,
    folder: Path,
    *,
    stop_at: int | None = None,
    on_step: Callable[[int, dict[str, float]], None] = lambda step, losses: None,
    identity: Mapping[str, Any] | None = None,
) -> TrainingReport:
    """Train `model` in place on `samples(phase, index)` with `train_loop`.

    `labels` are the words for the labels of a sample's cells, in the order of their last axis.
    """
    names = [processor.tokenizer(f" {label}", add_special_tokens=False)["input_ids"] for label in labels]

    def weights(step: int) -> tuple[float, float]:
        return config.cell_weight, config.phases[config.locate(step)[0]].presence_weight

    report = train_loop(
        Trainee(model, names),
        Batches(config, samples, Collator(processor)).batch,
        config,
        folder,
        arguments=weights,
        reported="language" if any(phase.kind == "dialogue" for phase in config.phases) else "cells",
        stop_at=stop_at,
        on_step=on_step,
        identity=identity,
    )
    return replace(report, parameters=sum(p.numel() for p in model.parameters()))
