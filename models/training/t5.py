"""Tiny T5 models from scratch that answer questions about a text.

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
"""The auxiliary heads: what each predicts for a token of the text."""


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
    """A prompt, the answer to learn, and the parts of the prompt behind it. Spans are characters (start, end)."""

    prompt: str
    answer: str
    text: tuple[int, int]
    """The span of the text that the question is about."""
    claims: Sequence[tuple[int, int]] = ()
    """Spans where the text names something that it claims, whether or not the question is about it."""
    evidence: Sequence[tuple[int, int]] = ()
    """The claims that answer the question."""


def make_tokenizer(texts: Iterable[str], vocabulary: int) -> "PreTrainedTokenizerFast":
    """Return a trained tokenizer that appends the end token to every text, as T5 expects."""
    return train_bpe(texts, vocabulary, pad=PAD, end=END, padding_side="right", append_end=True)


def make_t5(
    architecture: T5Architecture, tokenizer: "PreTrainedTokenizerFast", seed: int
) -> "T5ForConditionalGeneration":
    """Return the model with seeded random weights."""
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
            # Equal tokens attend to each other from the start, because a question must find its word in the text.
            attention.k.weight.copy_(attention.q.weight * config.d_kv**0.5)
    return model


class QuestionTrainee(nn.Module):
    """The model and two auxiliary heads, which learn what each token of the text does for the answer.

    An answer takes three steps: separate what the text claims from what it only names, find what the question names,
    and carry the result to the answer. Learned together they take very long. So in the middle of the encoder a linear
    classifier learns which tokens name something that is claimed. At its end another one learns which of them answer
    the question. Neither is part of the checkpoint.
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
        claims = self._head_loss("claims", halfway, batch["claims"])
        evidence = self._head_loss("evidence", outputs.encoder_last_hidden_state, batch["evidence"])
        answer = outputs.loss.float()
        total = answer + claims_weight * claims + evidence_weight * evidence
        return {"answer": answer, "claims": claims, "evidence": evidence, "total": total}

    def _head_loss(self, head: str, hidden: Tensor, targets: Tensor) -> Tensor:
        logits = self.heads[head](nn.functional.layer_norm(hidden.float(), hidden.shape[-1:])).squeeze(-1)
        losses = nn.functional.binary_cross_entropy_with_logits(
            logits, targets.clamp(min=0).float(), reduction="none"
        )
        # Few tokens are positive. A mean over all tokens would make their gradient vanish, so sum over a text.
        return (losses * (targets != IGNORED)).sum(-1).mean()


def collate(tokenizer: "PreTrainedTokenizerFast", samples: Sequence[ReadingSample]) -> dict[str, Tensor]:
    """Return samples as tensors, padded on the right: inputs, `labels`, and a target per token for each head."""
    prompts = tokenizer(
        [s.prompt for s in samples], padding=True, return_offsets_mapping=True, return_tensors="pt"
    )
    starts, ends = prompts["offset_mapping"].unbind(-1)
    targets = {name: torch.full(starts.shape, IGNORED) for name in HEADS}
    for row, sample in enumerate(samples):
        for name, spans in (("claims", sample.claims), ("evidence", sample.evidence)):
            for value, marked in ((0, [sample.text]), (1, spans)):
                for start, end in marked:
                    # By overlap, because a token may start with the space before its word.
                    targets[name][row, (starts[row] < end) & (ends[row] > start)] = value
    labels = tokenizer([s.answer for s in samples], padding=True, return_tensors="pt")
    return {
        "input_ids": prompts["input_ids"],
        "attention_mask": prompts["attention_mask"],
        "labels": labels["input_ids"].masked_fill(labels["attention_mask"] == 0, IGNORED),
        **targets,
    }
