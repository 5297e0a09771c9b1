"""Teacher forcing: the logits of a transformers model at every token of a given text.

The prompt, with its image, is read once. The texts then go through the model in chunks of positions, with the cache
that generation itself uses, and each chunk is yielded before the next is computed. Memory therefore holds the logits
of one chunk, batch x width x vocabulary, regardless of the length of the texts.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from eidolon.models.base.model import Request, WhiteBoxModel
from eidolon.models.generation.token_reader import TokenReader
from eidolon.scorers.core.errors import UserError

WIDTH = 32
"""Positions per chunk: for 8 rows and a vocabulary of 150,000 the logits take 150 MB."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive positions of the continuations of a batch. Rows that have ended are padded."""

    start: int
    """Index in the continuations of the first position."""
    tokens: torch.Tensor
    """(batch, width), int64: the token ids of the texts."""
    mask: torch.Tensor
    """(batch, width), bool: true at the tokens of the texts, false at padding, where the other values are undefined."""
    logits: torch.Tensor
    """(batch, width, vocabulary), float32: the logits of each token, given all tokens before it."""

    def log_probabilities(self) -> torch.Tensor:
        """Return the log-probabilities of the tokens, in nats: (batch, width), 0 at padding."""
        chosen = self.logits.gather(-1, self.tokens[..., None])[..., 0]
        return (chosen - self.logits.logsumexp(dim=-1)).masked_fill(~self.mask, 0.0)

    def top(self, k: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the ids and log-probabilities of the k likeliest tokens, likeliest first: (batch, width, k) each."""
        values, tokens = self.logits.topk(min(k, self.logits.shape[-1]), dim=-1)
        return tokens, values - self.logits.logsumexp(dim=-1, keepdim=True)


def teacher_force(
    model: WhiteBoxModel,
    requests: Sequence[Request],
    continuations: Sequence[Sequence[int]],
    *,
    width: int = WIDTH,
) -> Iterator[Chunk]:
    """Return an iterator over the chunks of each request's continuation, given as token ids.

    A continuation that ends has the end token as its last token.

    Raises:
        UserError: the model's texts cannot be forced (`check_forcing`).
    """
    check_forcing(model)
    return force(model.model, model.prepare(requests), continuations, width=width, pad=model.pad_id)


def check_forcing(model: WhiteBoxModel) -> None:
    """Check that the model is a decoder that generates with transformers' own `generate`.

    Raises:
        UserError: it is not.
    """
    from transformers import GenerationMixin

    kind = type(model.model)
    if getattr(model.model.config, "is_encoder_decoder", False):
        raise UserError(
            f"model {model.name!r}: {kind.__name__} is an encoder-decoder model; log-probabilities of given texts "
            "need a decoder-only model"
        )
    if kind.generate is not GenerationMixin.generate:
        raise UserError(
            f"model {model.name!r}: {kind.__name__} has its own generate method; log-probabilities of given texts "
            "need a model that uses the one of transformers"
        )


def force(
    model: Any,
    inputs: Mapping[str, torch.Tensor],
    continuations: Sequence[Sequence[int]],
    *,
    width: int = WIDTH,
    pad: int = 0,
) -> Iterator[Chunk]:
    """Yield the chunks of continuations of prepared inputs.

    `model` is the torch module, `inputs` has `input_ids` and `attention_mask` padded on the left. Several such
    iterators over one model may run side by side: the model keeps no state.

    Raises:
        ValueError: `width` is below 1, or there is not one continuation per prompt.
    """
    if width < 1:
        raise ValueError(f"width={width}: must be at least 1")
    if len(continuations) != len(inputs["input_ids"]):
        raise ValueError(f"{len(continuations)} continuations of {len(inputs['input_ids'])} prompts")
    longest = max(map(len, continuations), default=0)
    device = inputs["input_ids"].device
    tokens = torch.full((len(continuations), longest), pad, dtype=torch.int64)
    mask = torch.zeros_like(tokens, dtype=torch.bool)
    for row, ids in enumerate(continuations):
        tokens[row, : len(ids)] = torch.tensor(ids, dtype=torch.int64)
        mask[row, : len(ids)] = True
    tokens, mask = tokens.to(device), mask.to(device)
    if not longest:
        return
    reader = TokenReader(model, inputs)
    last = reader.read_prompt()
    for start in range(0, longest, width):
        end = min(start + width, longest)
        if start:
            last = reader.read(tokens[:, start - 1 : start])
        rest = [reader.read(piece) for piece in _pieces(tokens[:, start : end - 1], reader.one_by_one)]
        logits = torch.cat([last, *rest], dim=1)
        yield Chunk(start, tokens[:, start:end], mask[:, start:end], logits)
        del logits, rest


def recurrent_states(cache: Any) -> list[torch.Tensor]:
    """Return the recurrent states in a transformers cache: those of hybrid layers, not the keys and values."""
    found: list[torch.Tensor] = []
    for layer in getattr(cache, "layers", ()):
        states = getattr(layer, "recurrent_states", None)
        values = states.values() if isinstance(states, dict) else [states]
        found += [state for state in values if isinstance(state, torch.Tensor)]
    return found


def prompt_cache(model: WhiteBoxModel, requests: Sequence[Request]) -> Any:
    """Return the model's cache after the prompts of a batch.

    Raises:
        UserError: the model's texts cannot be forced.
    """
    check_forcing(model)
    reader = TokenReader(model.model, model.prepare(requests))
    reader.read_prompt()
    return reader.cache


def leading_space(model: WhiteBoxModel, request: Request) -> str:
    """Return the white space at the start of the model's answer, which responses are stripped of.

    Raises:
        UserError: the model's texts cannot be forced.
    """
    chunk = next(teacher_force(model, [request], [[model.pad_id]]))
    first = int(chunk.logits[0, 0].argmax())
    text = model.tokenizer.decode([first], skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return str(text[: len(text) - len(text.lstrip())])


def _pieces(tokens: torch.Tensor, one_by_one: bool) -> Sequence[torch.Tensor]:
    if not tokens.shape[1]:
        return ()
    return torch.split(tokens, 1 if one_by_one else tokens.shape[1], dim=1)
