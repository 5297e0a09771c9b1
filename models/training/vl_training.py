"""Trains a small VL model on samples that are handed to it.

Each phase either trains the picture side alone (every image token must tell what is drawn in its cell) or the
whole model on dialogues, with the same cell loss beside the language loss. The cell classifier is scaffolding:
it is not part of the checkpoint.
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
"""Batches are cut from so many batches' worth of samples sorted by length, so that little is padding."""
IGNORED = -100


@dataclass(frozen=True, slots=True)
class TrainingTurn:
    """A question, the answer to be learned, and how much each part of the answer weighs in the loss."""

    ask: str
    answer: str
    weight: float = 1.0
    emphasis: Sequence[tuple[int, int, float]] = ()
    """(start, end, weight) of character spans of the answer that weigh differently."""
    looked_for: Sequence[tuple[int, bool]] = ()
    """Where in the question each thing that it asks about has been named (a character offset: the end of its
    name), and whether it is in the picture."""


@dataclass(frozen=True, slots=True)
class TrainingSample:
    """A picture, a dialogue about it, and what each cell of the picture shows.

    `cells` is bool, (grid, grid, labels); `image` draws the picture when called.
    """

    image: Callable[[], Image.Image]
    turns: Sequence[TrainingTurn]
    cells: NDArray[np.bool_]


class Phase(BaseModel):
    """A stretch of training with one kind of sample."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    kind: Literal["cells", "dialogue"]
    steps: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    """Samples a step, over all processes."""
    presence_weight: float = Field(0.0, ge=0)
    """Weight of the presence loss beside the language loss."""


class TrainingConfig(Schedule):
    """Everything that determines the weights, beside the samples."""

    phases: tuple[Phase, ...]
    order: int | None = None
    """Seed of the order of the batches within every `CHUNK` steps; null: that of the weights."""
    cell_weight: float = Field(0.5, ge=0)
    """Weight of the cell loss beside the language loss."""

    @property
    def steps(self) -> int:
        return sum(phase.steps for phase in self.phases)

    def locate(self, step: int) -> tuple[int, int]:
        """Return (phase, step within it) of a step counted from the start of training."""
        for number, phase in enumerate(self.phases):
            if step < phase.steps:
                return number, step
            step -= phase.steps
        raise IndexError(step)


class CellClassifier(nn.Module):
    """Tells what is drawn in an image token's cell, by its likeness to the words for it.

    A label's logit is the image token's dot product with the label's own word embeddings (their mean), scaled.
    So image tokens come to lie where the language model keeps the words, and naming what is in the picture, or
    finding in the picture what a question names, is a matter of likeness.
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
    """Tells, halfway up and at the word itself, whether what a question names is in the picture.

    An answer is two steps: find the named thing in the picture, and carry what was found to the end of the
    question. Learned together they take very long; this teaches the first by itself. It is scaffolding too.
    """

    def __init__(self, text_config: Any) -> None:
        super().__init__()
        self.layer = text_config.num_hidden_layers // 2
        self.score = nn.Linear(text_config.hidden_size, 1)
        nn.init.zeros_(self.score.weight)
        nn.init.zeros_(self.score.bias)

    def forward(self, hidden_states: Sequence[Tensor], targets: Tensor) -> Tensor:
        """Return the loss, given the hidden states of all layers and (batch, T) targets."""
        asked = targets != IGNORED
        logits = self.score(hidden_states[self.layer][asked].float()).squeeze(-1)
        losses = nn.functional.binary_cross_entropy_with_logits(
            logits, targets[asked].float(), reduction="sum"
        )
        return losses / asked.sum().clamp(min=1)


def language_loss(hidden: Tensor, head: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """Return the weighted mean loss of the learned tokens, nats; `hidden` is the last layer's, (batch, T, width)."""
    targets, weights = batch["labels"][:, 1:], batch["weights"][:, 1:]
    learned = targets != IGNORED
    # Logits are made for learned positions only: the vocabulary is the widest layer.
    logits = head(hidden[:, :-1][learned])
    losses = nn.functional.cross_entropy(logits.float(), targets[learned], reduction="none")
    return (losses * weights[learned]).sum() / weights[learned].sum()


class Trainee(nn.Module):
    """The model and its scaffolding under one forward, so that accelerate can wrap both."""

    def __init__(self, model: "Idefics3ForConditionalGeneration", labels: Sequence[Sequence[int]]) -> None:
        super().__init__()
        self.model = model
        self.cells = CellClassifier(labels)
        text_config: Any = model.config.text_config
        self.presence = PresenceHead(text_config)

    def forward(
        self, batch: dict[str, Tensor], cell_weight: float, presence_weight: float
    ) -> dict[str, Tensor]:
        """Return the losses of one batch: `cells`, and with `input_ids` also `language` and, where a question
        looks for something, `presence`; and their weighted `total`."""
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
        # Few cells hold any one category: the sum over labels keeps the gradient from vanishing in the zeros.
        losses = nn.functional.binary_cross_entropy_with_logits(logits.float(), targets, reduction="none")
        return losses.sum(-1).mean()


@dataclass(frozen=True, slots=True)
class EncodedDialogue:
    """A dialogue as lists of equal length, an entry a token."""

    ids: list[int]
    labels: list[int]
    """The token to be learned here, or IGNORED."""
    weights: list[float]
    presence: list[int]
    """1 or 0 where a question has just named something that is in the picture or not, else IGNORED."""


class Collator:
    """Turns training samples into tensors, in exactly the form that the processor gives at generation."""

    def __init__(self, processor: "Idefics3Processor") -> None:
        self._processor = processor
        tokenizer = processor.tokenizer
        self._pad = tokenizer.pad_token_id
        image = processor.image_token * processor.image_seq_len
        fake, tag = processor.fake_image_token, processor.global_image_tag
        self._expanded_image = f"{fake}{tag}{image}{fake}"
        self._end = tokenizer.eos_token

    def encode(self, sample: TrainingSample) -> EncodedDialogue:
        """Turn a sample's dialogue into tokens; only answers are learned."""
        encoded = EncodedDialogue([], [], [], [])
        for number, turn in enumerate(sample.turns):
            image = self._expanded_image if number == 0 else ""
            before = f"User:{image} " if number == 0 else "\nUser: "
            asked, asked_ends = self._tokens(f"{before}{turn.ask}{self._end}\nAssistant:")
            told, ends = self._tokens(f" {turn.answer}{self._end}")
            encoded.ids.extend(asked + told)
            encoded.labels.extend([IGNORED] * len(asked) + told)
            encoded.weights.extend([0.0] * len(asked) + [self._weight(turn, end - 1) for end in ends])
            presence = [IGNORED] * (len(asked) + len(told))
            for end, present in turn.looked_for:
                presence[asked_ends.index(len(before) + end)] = int(present)
            encoded.presence.extend(presence)
        return encoded

    @staticmethod
    def _weight(turn: TrainingTurn, end: int) -> float:
        """Return the weight of the token that ends at a character of the answer."""
        return next((weight for start, stop, weight in turn.emphasis if start < end <= stop), turn.weight)

    def _tokens(self, text: str) -> tuple[list[int], list[int]]:
        """Return token ids, and the offset at which each token ends."""
        encoded = self._processor.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        return encoded["input_ids"], [end for _, end in encoded["offset_mapping"]]

    def pictures(self, samples: Sequence[TrainingSample]) -> dict[str, Tensor]:
        """Return pixel values and cell targets."""
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
        """Return the whole batch, padded on the right."""
        longest = max(len(dialogue.ids) for dialogue in encoded)

        def padded(rows: list[Any], value: float) -> Tensor:
            return torch.tensor([row + [value] * (longest - len(row)) for row in rows])

        return {
            **self.pictures(samples),
            "input_ids": padded([dialogue.ids for dialogue in encoded], self._pad),
            "labels": padded([dialogue.labels for dialogue in encoded], IGNORED),
            "weights": padded([dialogue.weights for dialogue in encoded], 0.0),
            "presence": padded([dialogue.presence for dialogue in encoded], IGNORED),
            "attention_mask": padded([[1] * len(dialogue.ids) for dialogue in encoded], 0),
        }


class Batches:
    """The batch of every step, a function of the step alone, so that a resumed training sees what it would have."""

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
            return self._collator.pictures([self._samples(number, i) for i in indices])
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
    """Train `model` in place on `samples(phase, index)`, as `train_loop` does.

    `labels` are the words that a sample's cells may be marked with, in the order of their last axis.
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
