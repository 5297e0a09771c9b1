"""Tiny T5 models from scratch that read a text and answer questions about it.

The result is an ordinary transformers checkpoint: `AutoTokenizer` and `AutoModelForSeq2SeqLM` load it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from eidolon.models.tokenizer import train_bpe

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast, T5ForConditionalGeneration

PAD, END = "<pad>", "</s>"
IGNORED = -100


class T5Architecture(BaseModel):
    """Sizes of a tiny T5; attention heads are 32 wide."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    width: int = Field(ge=32, multiple_of=32)
    inner: int = Field(ge=32)
    """Width of the gated feed-forward layer."""
    encoder_layers: int = Field(ge=1)
    decoder_layers: int = Field(1, ge=1)
    vocabulary: int = Field(1024, ge=300)


@dataclass(frozen=True, slots=True)
class ReadingSample:
    """A prompt, the answer to be learned, and which characters of the prompt the answer rests on."""

    prompt: str
    answer: str
    text: tuple[int, int]
    """Where in the prompt the text stands that is asked about (start, end)."""
    evidence: Sequence[tuple[int, int]] = ()


def make_tokenizer(texts: Iterable[str], vocabulary: int) -> "PreTrainedTokenizerFast":
    """Train a tokenizer that ends every text as T5 wants it."""
    return train_bpe(texts, vocabulary, pad=PAD, end=END, padding_side="right", append_end=True)


def make_t5(
    architecture: T5Architecture, tokenizer: "PreTrainedTokenizerFast", seed: int
) -> "T5ForConditionalGeneration":
    """Build the model with seeded random weights."""
    from transformers import T5Config, T5ForConditionalGeneration, set_seed

    set_seed(seed)
    # Fields of every configuration, which T5Config's own signature does not list.
    inherited: dict[str, Any] = {
        "tie_word_embeddings": True,
        "decoder_start_token_id": tokenizer.pad_token_id,
    }
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=architecture.width,
        d_kv=32,
        num_heads=architecture.width // 32,
        d_ff=architecture.inner,
        num_layers=architecture.encoder_layers,
        num_decoder_layers=architecture.decoder_layers,
        feed_forward_proj="gated-gelu",
        dropout_rate=0.0,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        **inherited,
    )
    model = T5ForConditionalGeneration(config)
    with torch.no_grad():
        blocks: Any = model.encoder.block
        for block in blocks:
            attention = block.layer[0].SelfAttention
            # Like attends to like from the start: what a question names must find its namesakes in the text.
            attention.k.weight.copy_(attention.q.weight * config.d_kv**0.5)
    return model


class Reader(nn.Module):
    """The model and its scaffolding: told, for each token of the text, whether the answer rests on it.

    An answer is two steps: find in the text what the question names, and carry what was found to the answer.
    Learned together they take very long; this teaches the first by itself. It is not part of the checkpoint.
    """

    def __init__(self, model: "T5ForConditionalGeneration") -> None:
        super().__init__()
        self.model = model
        self.evidence = nn.Linear(model.config.d_model, 1)
        nn.init.zeros_(self.evidence.weight)
        nn.init.constant_(self.evidence.bias, -3.0)

    def forward(self, batch: dict[str, Tensor], evidence_weight: float) -> dict[str, Tensor]:
        """Return the losses of one batch: `answer`, `evidence` and their weighted `total`."""
        outputs = self.model(
            input_ids=batch["input_ids"],
            attention_mask=batch["attention_mask"],
            labels=batch["labels"],
            use_cache=False,
        )
        told = batch["evidence"]
        logits = self.evidence(outputs.encoder_last_hidden_state.float()).squeeze(-1)
        losses = nn.functional.binary_cross_entropy_with_logits(
            logits, told.clamp(min=0).float(), reduction="none"
        )
        # Few tokens are evidence: the sum over a text keeps the gradient from vanishing in the zeros.
        evidence = (losses * (told != IGNORED)).sum(-1).mean()
        answer = outputs.loss.float()
        return {"answer": answer, "evidence": evidence, "total": answer + evidence_weight * evidence}


def collate(tokenizer: "PreTrainedTokenizerFast", samples: Sequence[ReadingSample]) -> dict[str, Tensor]:
    """Turn samples into tensors, padded on the right."""
    asked = tokenizer(
        [s.prompt for s in samples], padding=True, return_offsets_mapping=True, return_tensors="pt"
    )
    starts, ends = asked["offset_mapping"].unbind(-1)
    evidence = torch.full(starts.shape, IGNORED)
    for row, sample in enumerate(samples):
        for value, spans in ((0, [sample.text]), (1, sample.evidence)):
            for start, end in spans:
                # By overlap: a token may begin with the space before its word.
                evidence[row, (starts[row] < end) & (ends[row] > start)] = value
    labels = tokenizer([s.answer for s in samples], padding=True, return_tensors="pt")
    return {
        "input_ids": asked["input_ids"],
        "attention_mask": asked["attention_mask"],
        "labels": labels["input_ids"].masked_fill(labels["attention_mask"] == 0, IGNORED),
        "evidence": evidence,
    }
