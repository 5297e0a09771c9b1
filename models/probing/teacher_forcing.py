"""What a model of transformers thinks of a text that is already there: its logits at every token of it.

The prompt, with its picture, is read once; the continuations are then fed in chunks of positions through the cache
that generation itself uses, and each chunk is handed out before the next is computed. So memory holds the logits of
one chunk, batch x width x vocabulary, however long the texts are.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from eidolon.models.backends.transformers import TransformersModel
from eidolon.models.base.model import Request
from eidolon.models.probing.token_reader import Reader
from eidolon.scorers.core.errors import UserError

WIDTH = 32
"""Positions of a chunk: 8 rows of a vocabulary of 150,000 are 150 MB."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive positions of the continuations of a batch. Rows that have ended are padded."""

    start: int
    """Index in the continuations of the first position."""
    tokens: torch.Tensor
    """(batch, width), int64: the token that is there."""
    alive: torch.Tensor
    """(batch, width), bool: where the row has a token; elsewhere nothing below means anything."""
    logits: torch.Tensor
    """(batch, width, vocabulary), float32: what the model expects there, having read all tokens before."""

    def log_probabilities(self) -> torch.Tensor:
        """Return those of the tokens, in nats: (batch, width), 0 where the row has ended."""
        chosen = self.logits.gather(-1, self.tokens[..., None])[..., 0]
        return (chosen - self.logits.logsumexp(dim=-1)).masked_fill(~self.alive, 0.0)

    def top(self, k: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the k likeliest tokens and their log-probabilities, likeliest first: (batch, width, k) each."""
        values, tokens = self.logits.topk(min(k, self.logits.shape[-1]), dim=-1)
        return tokens, values - self.logits.logsumexp(dim=-1, keepdim=True)


def teacher_force(
    model: TransformersModel,
    requests: Sequence[Request],
    continuations: Sequence[Sequence[int]],
    *,
    width: int = WIDTH,
) -> Iterator[Chunk]:
    """Yield the chunks of each request's continuation, given as token ids; one that ends says so by its last token.

    Raises:
        UserError: the model generates in a way that cannot be followed token by token from here.
    """
    check(model)
    return force(model.model, model.prepare(requests), continuations, width=width, pad=model.pad_id)


def check(model: TransformersModel) -> None:
    """Raise a UserError for a model whose texts cannot be forced."""
    from transformers import GenerationMixin

    kind = type(model.model)
    if getattr(model.model.config, "is_encoder_decoder", False):
        raise UserError(
            f"model {model.name!r}: {kind.__name__} is an encoder-decoder model; log-probabilities of given texts "
            "are for decoder-only models"
        )
    if kind.generate is not GenerationMixin.generate:
        raise UserError(
            f"model {model.name!r}: {kind.__name__} generates in a way of its own; log-probabilities of given "
            "texts are for models that generate as transformers does"
        )


def force(
    model: Any,
    inputs: Mapping[str, torch.Tensor],
    continuations: Sequence[Sequence[int]],
    *,
    width: int = WIDTH,
    pad: int = 0,
) -> Iterator[Chunk]:
    """Yield the chunks of continuations of prepared inputs: `input_ids` and `attention_mask` padded on the left.

    Several such iterators over one model may run side by side: nothing of one is kept in the model.
    """
    if width < 1:
        raise ValueError(f"width={width}: must be at least 1")
    if len(continuations) != len(inputs["input_ids"]):
        raise ValueError(f"{len(continuations)} continuations of {len(inputs['input_ids'])} prompts")
    longest = max(map(len, continuations), default=0)
    device = inputs["input_ids"].device
    tokens = torch.full((len(continuations), longest), pad, dtype=torch.int64)
    alive = torch.zeros_like(tokens, dtype=torch.bool)
    for row, ids in enumerate(continuations):
        tokens[row, : len(ids)] = torch.tensor(ids, dtype=torch.int64)
        alive[row, : len(ids)] = True
    tokens, alive = tokens.to(device), alive.to(device)
    if not longest:
        return
    reader = Reader(model, inputs)
    last = reader.read_prompt()
    for start in range(0, longest, width):
        end = min(start + width, longest)
        if start:
            last = reader.read(tokens[:, start - 1 : start])
        rest = [reader.read(piece) for piece in _pieces(tokens[:, start : end - 1], reader.one_by_one)]
        logits = torch.cat([last, *rest], dim=1)
        yield Chunk(start, tokens[:, start:end], alive[:, start:end], logits)
        del logits, rest


def recurrent_states(cache: Any) -> list[torch.Tensor]:
    """Return the states, other than stored tokens, that a cache of transformers holds: those of a hybrid's layers."""
    found: list[torch.Tensor] = []
    for layer in getattr(cache, "layers", ()):
        states = getattr(layer, "recurrent_states", None)
        values = states.values() if isinstance(states, dict) else [states]
        found += [state for state in values if isinstance(state, torch.Tensor)]
    return found


def prompt_cache(model: TransformersModel, requests: Sequence[Request]) -> Any:
    """Return the cache as it is after the prompts."""
    check(model)
    reader = Reader(model.model, model.prepare(requests))
    reader.read_prompt()
    return reader.cache


def leading_space(model: TransformersModel, request: Request) -> str:
    """Return the white space with which the model would begin its answer, and which responses are stripped of."""
    chunk = next(teacher_force(model, [request], [[model.pad_id]]))
    first = int(chunk.logits[0, 0].argmax())
    text = model.tokenizer.decode([first], skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return str(text[: len(text) - len(text.lstrip())])


def _pieces(tokens: torch.Tensor, one_by_one: bool) -> Sequence[torch.Tensor]:
    if not tokens.shape[1]:
        return ()
    return torch.split(tokens, 1 if one_by_one else tokens.shape[1], dim=1)
