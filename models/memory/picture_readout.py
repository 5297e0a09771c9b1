"""How much of what fading memories give out, along a text, comes from what the picture wrote into their states.

A layer with a state of fixed size is run twice from the prompt on, with the same inputs: once as it is, and once with a
state into which the picture wrote nothing. Both states follow the same rule, so that their difference is what is
left of it. With y the output and y' that of the second run, a token's share is ‖y - y'‖ / ‖y‖.
"""

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from eidolon.models.base.model import Failure, PictureAttention, Request, WhiteBoxModel
from eidolon.models.generation.image_ablation import image_token_mask
from eidolon.models.generation.recovery import in_parts
from eidolon.models.generation.token_reader import TokenReader
from eidolon.models.memory.gated_delta import GatedDelta
from eidolon.models.memory.kalman import GatedKalmaNet
from eidolon.models.memory.mamba2 import Mamba2
from eidolon.models.probing.picture_attention import read_attention
from eidolon.models.probing.teacher_forcing import check_forcing
from eidolon.scorers.core.errors import UserError

LAYERS = (GatedDelta, GatedKalmaNet, Mamba2)
WIDTH = 32
"""Tokens per piece."""


def fading_layers(network: Any) -> list[torch.nn.Module]:
    """Return the layers with a fading memory of this package, in their order."""
    return [module for module in network.modules() if isinstance(module, LAYERS)]


def read_looking(
    model: WhiteBoxModel, requests: Sequence[Request], texts: Sequence[Sequence[int]]
) -> list[PictureAttention | Failure]:
    """Return the attention on the picture along each text; of a model with fading memories instead, their read-out.

    Raises:
        UserError: the model offers neither.
    """
    try:
        return read_attention(model, requests, texts)
    except UserError:
        if not fading_layers(model.model):
            raise
        return read_readout(model, requests, texts)


def read_readout(
    model: WhiteBoxModel, requests: Sequence[Request], texts: Sequence[Sequence[int]]
) -> list[PictureAttention | Failure]:
    """Return the picture's share of the read-out along each text, given as token ids, or why a request failed."""
    check_forcing(model)

    def read(rows: Sequence[int]) -> list[PictureAttention | Failure]:
        return list(_read(model, [requests[row] for row in rows], [texts[row] for row in rows]))

    return list(in_parts(read, range(len(requests)), model.counts, lambda _, failure: failure))


class _Twins:
    """The second run of every layer."""

    def __init__(self, picture: torch.Tensor) -> None:
        """Take where the prompt has the picture's tokens, (batch, columns)."""
        self._picture = picture
        self._states: dict[torch.nn.Module, object] = {}
        self._busy = False
        self.shares: list[torch.Tensor] = []
        """(batch, width) of each layer, of the last call."""

    def after(
        self, layer: torch.nn.Module, given: tuple[Any, ...], named: dict[str, Any], output: Any
    ) -> None:
        """Run a layer again with its other state. A forward hook of torch."""
        if self._busy:
            return
        bound = inspect.signature(layer.forward).bind(*given, **named)
        x, mask = bound.arguments["x"], bound.arguments.get("mask")
        self._busy = True
        if layer not in self._states:
            real = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device) if mask is None else mask.bool()
            _, self._states[layer] = layer(x, real & ~self._picture, None)
        else:
            other, self._states[layer] = layer(x, mask, self._states[layer])
            whole = output[0].float()
            apart = (whole - other.float()).norm(dim=-1)
            self.shares.append(apart / whole.norm(dim=-1).clamp_min(1e-12))
        self._busy = False


@contextmanager
def _watched(network: Any, twins: _Twins) -> Iterator[None]:
    handles = [layer.register_forward_hook(twins.after, with_kwargs=True) for layer in fading_layers(network)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@torch.inference_mode()
def _read(
    model: WhiteBoxModel, requests: Sequence[Request], texts: Sequence[Sequence[int]]
) -> Iterator[PictureAttention]:
    inputs = model.prepare(requests)
    picture = image_token_mask(model.model, inputs["input_ids"])
    reader = TokenReader(model.model, inputs)
    twins = _Twins(picture)
    longest = max(map(len, texts))
    tokens = torch.full((len(texts), longest), model.pad_id, dtype=torch.int64, device=reader.device)
    for row, ids in enumerate(texts):
        tokens[row, : len(ids)] = torch.tensor(list(ids), dtype=torch.int64)
    pieces = []
    with _watched(model.model, twins):
        reader.read_prompt()
        for start in range(0, longest, 1 if reader.one_by_one else WIDTH):
            twins.shares.clear()
            reader.read(tokens[:, start : start + (1 if reader.one_by_one else WIDTH)])
            pieces.append(torch.stack(twins.shares))
    shares = torch.cat(pieces, dim=2)
    sizes = picture.sum(dim=1).tolist(), inputs["attention_mask"].sum(dim=1).tolist()
    for row, (ids, seen, prompt) in enumerate(zip(texts, *sizes, strict=True)):
        readout = tuple(tuple(layer) for layer in shares[:, row, : len(ids)].tolist())
        yield PictureAttention((), (), seen, prompt, readout)
