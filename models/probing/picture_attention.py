"""How much of its attention a model spends on the picture, and how spread it is, along a given text.

The prompt is read as always. The text is then read a few tokens at a time with attention weights, which only the eager
attention of transformers returns; the usual one is restored afterwards. Memory holds the weights of one piece.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from eidolon.models.base.model import Failure, PictureAttention, Request, WhiteBoxModel
from eidolon.models.generation.image_ablation import image_token_mask
from eidolon.models.generation.recovery import in_parts
from eidolon.models.generation.token_reader import TokenReader
from eidolon.models.probing.teacher_forcing import check_forcing
from eidolon.scorers.core.errors import UserError

WIDTH = 16
"""Tokens per piece."""


@dataclass(slots=True)
class _Row:
    mass: list[list[float]]
    """By token, then by layer."""
    entropy: list[list[float]]


def read_attention(
    model: WhiteBoxModel, requests: Sequence[Request], texts: Sequence[Sequence[int]]
) -> list[PictureAttention | Failure]:
    """Return the attention along each text, given as token ids, or the reason why a request failed.

    Raises:
        UserError: the model offers no attention weights, or its picture has no tokens of its own.
    """
    check_forcing(model)

    def read(rows: Sequence[int]) -> list[PictureAttention | Failure]:
        return list(_read(model, [requests[row] for row in rows], [texts[row] for row in rows]))

    with eager_attention(model):
        return list(in_parts(read, range(len(requests)), model.counts, lambda _, failure: failure))


@contextmanager
def eager_attention(model: WhiteBoxModel) -> Iterator[None]:
    """Let the model compute attention weights for as long as the context lasts.

    Raises:
        UserError: the model has no such form of attention.
    """
    network = model.model
    before = getattr(network.config, "_attn_implementation", None)
    try:
        network.set_attn_implementation("eager")
    except Exception as error:  # each architecture has a reason of its own
        raise UserError(f"{type(network).__name__} offers no attention weights: {error}") from error
    try:
        yield
    finally:
        if before is not None:
            network.set_attn_implementation(before)


@torch.inference_mode()
def _read(
    model: WhiteBoxModel, requests: Sequence[Request], texts: Sequence[Sequence[int]]
) -> Iterator[PictureAttention]:
    inputs = model.prepare(requests)
    picture = image_token_mask(model.model, inputs["input_ids"])
    name = type(model.model).__name__
    if not bool(picture.any(dim=1).all()):
        raise UserError(f"{name}: its picture has no tokens among those of the prompt")
    reader = TokenReader(model.model, inputs)
    reader.read_prompt()
    longest = max(map(len, texts))
    tokens = torch.full((len(texts), longest), model.pad_id, dtype=torch.int64, device=reader.device)
    for row, ids in enumerate(texts):
        tokens[row, : len(ids)] = torch.tensor(list(ids), dtype=torch.int64)
    found = [_Row([], []) for _ in texts]
    reader.with_attention = True
    width = 1 if reader.one_by_one else WIDTH
    for start in range(0, longest, width):
        reader.read(tokens[:, start : start + width])
        weights = [layer for layer in reader.attentions or () if isinstance(layer, torch.Tensor)]
        if not weights:
            raise UserError(f"{name} offers no attention weights")
        columns = picture.shape[1] + min(start + width, longest)
        if any(layer.shape[-1] != columns for layer in weights):
            raise UserError(f"{name}: its attention does not reach over the whole text")
        mass, entropy = _summaries(weights, picture)
        for row, ids in enumerate(texts):
            inside = max(min(len(ids) - start, width), 0)
            found[row].mass += mass[row, :inside].tolist()
            found[row].entropy += entropy[row, :inside].tolist()
    sizes = picture.sum(dim=1).tolist(), inputs["attention_mask"].sum(dim=1).tolist()
    for one, seen, prompt in zip(found, *sizes, strict=True):
        yield PictureAttention(_columns(one.mass), _columns(one.entropy), seen, prompt)


def _summaries(weights: Sequence[torch.Tensor], picture: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the mass on the picture and the entropy in nats, (batch, width, layers) each, means over heads.

    `weights` are (batch, heads, width, columns) by layer, `picture` is (batch, columns of the prompt).
    """
    masses, entropies = [], []
    for layer in weights:
        wide = layer.float()
        seen = wide[..., : picture.shape[1]] * picture[:, None, None]
        masses.append(seen.sum(dim=-1).mean(dim=1))
        entropies.append(-torch.xlogy(wide, wide).sum(dim=-1).mean(dim=1))
    return torch.stack(masses, dim=-1), torch.stack(entropies, dim=-1)


def _columns(rows: Sequence[Sequence[float]]) -> tuple[tuple[float, ...], ...]:
    """Return the numbers by layer, then by token."""
    return tuple(tuple(column) for column in zip(*rows, strict=True))
