"""Tiny T5 models from scratch that read a text and answer questions about it.

The result is an ordinary transformers checkpoint: `AutoTokenizer` and `AutoModelForSeq2SeqLM` load it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from eidolon.models.training.tokenizer import train_bpe

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast, T5ForConditionalGeneration

PAD, END = "<pad>", "</s>"
IGNORED = -100
HEADS = ("claims", "evidence")
"""What the scaffolding tells of each token."""


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
    """A prompt, the answer to be learned, and what in the prompt it rests on; spans are characters (start, end)."""

    prompt: str
    answer: str
    text: tuple[int, int]
    """Where the text stands that is asked about."""
    claims: Sequence[tuple[int, int]] = ()
    """Where it names what it claims, asked about or not."""
    evidence: Sequence[tuple[int, int]] = ()
    """Those of the claims that answer the question."""


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
    """The model and its scaffolding: told of each token of the text what it does for the answer.

    An answer takes three steps: tell what the text claims from what it only names, find in it what the question
    names, and carry what was found to the answer. Learned together they take very long. Halfway up the encoder
    a linear classifier must tell which tokens name something claimed, whatever is asked, and at its end another
    which of them answer the question. Neither is part of the checkpoint.
    """

    def __init__(self, model: "T5ForConditionalGeneration") -> None:
        super().__init__()
        self.model = model
        self.heads = nn.ModuleDict()
        for name in HEADS:
            head = nn.Linear(model.config.d_model, 1)
            nn.init.zeros_(head.weight)
            nn.init.constant_(head.bias, -3.0)
            self.heads[name] = head
        self.claims_layer = (model.config.num_layers + 1) // 2

    def forward(
        self, batch: dict[str, Tensor], claims_weight: float, evidence_weight: float
    ) -> dict[str, Tensor]:
        """Return the losses of one batch: `answer`, `claims`, `evidence` and their weighted `total`."""
        outputs = self.model(
            input_ids=batch["input_ids"],
            attention_mask=batch["attention_mask"],
            labels=batch["labels"],
            use_cache=False,
            output_hidden_states=True,
        )
        halfway = outputs.encoder_hidden_states[self.claims_layer]
        claims = self._told("claims", halfway, batch["claims"])
        evidence = self._told("evidence", outputs.encoder_last_hidden_state, batch["evidence"])
        answer = outputs.loss.float()
        total = answer + claims_weight * claims + evidence_weight * evidence
        return {"answer": answer, "claims": claims, "evidence": evidence, "total": total}

    def _told(self, head: str, hidden: Tensor, targets: Tensor) -> Tensor:
        logits = self.heads[head](nn.functional.layer_norm(hidden.float(), hidden.shape[-1:])).squeeze(-1)
        losses = nn.functional.binary_cross_entropy_with_logits(
            logits, targets.clamp(min=0).float(), reduction="none"
        )
        # Few tokens are what is looked for: the sum over a text keeps the gradient from vanishing in the zeros.
        return (losses * (targets != IGNORED)).sum(-1).mean()


def collate(tokenizer: "PreTrainedTokenizerFast", samples: Sequence[ReadingSample]) -> dict[str, Tensor]:
    """Turn samples into tensors, padded on the right."""
    asked = tokenizer(
        [s.prompt for s in samples], padding=True, return_offsets_mapping=True, return_tensors="pt"
    )
    starts, ends = asked["offset_mapping"].unbind(-1)
    told = {name: torch.full(starts.shape, IGNORED) for name in HEADS}
    for row, sample in enumerate(samples):
        for name, spans in (("claims", sample.claims), ("evidence", sample.evidence)):
            for value, marked in ((0, [sample.text]), (1, spans)):
                for start, end in marked:
                    # By overlap: a token may begin with the space before its word.
                    told[name][row, (starts[row] < end) & (ends[row] > start)] = value
    labels = tokenizer([s.answer for s in samples], padding=True, return_tensors="pt")
    return {
        "input_ids": asked["input_ids"],
        "attention_mask": asked["attention_mask"],
        "labels": labels["input_ids"].masked_fill(labels["attention_mask"] == 0, IGNORED),
        **told,
    }
