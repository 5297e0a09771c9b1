"""The state of a model of memory blocks, in the form that transformers' `generate` uses."""

from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import Cache

from eidolon.models.memory.layout import FADING, Memory, Symbol
from eidolon.models.memory.state import BlockState


class LayerCache:
    """The state of one layer."""

    is_compileable = False
    is_croppable = False
    supports_early_init = False

    def __init__(self) -> None:
        self.state: BlockState | None = None

    def get_max_length(self) -> int:
        """Return -1: there is no limit."""
        return -1

    def reset(self) -> None:
        """Remove the state."""
        self.state = None

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Select rows of the batch; a row may be selected twice."""
        self.batch_select_indices(beam_idx)

    def batch_select_indices(self, indices: Tensor) -> None:
        """Select rows of the batch."""
        self.state = each_tensor(self.state, lambda tensor: tensor.index_select(0, indices.to(tensor.device)))

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeat every row."""
        self.state = each_tensor(self.state, lambda tensor: tensor.repeat_interleave(repeats, dim=0))


class FadingLayerCache(LayerCache):
    """The state of a layer that has a fading memory."""

    @property
    def recurrent_states(self) -> dict[int, Tensor]:
        """The fading memory's states by number, as in transformers' own layers; without the convolution's."""
        if self.state is None:
            return {}
        names = [field.name for field in fields(self.state.recurrent)]  # type: ignore[arg-type]
        return {
            number: getattr(self.state.recurrent, name)
            for number, name in enumerate(name for name in names if name != "convolution")
        }


class MemoryCache(Cache):
    """The states of all layers."""

    cut_anywhere = True
    """The states do not depend, up to rounding, on how a text is split into calls. `MemoryBlock` guarantees it."""

    def __init__(self, memory: Memory) -> None:
        self.memories = [_layer(symbol) for symbol in memory.layout]
        layers: Any = self.memories  # not transformers' classes, whose states have other forms
        super().__init__(layers=layers)
        self.columns = 0
        """Tokens read so far, padding included: the columns of an attention mask."""

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Return the number of columns read so far, padding included. It is the same for all layers."""
        return self.columns

    def get_mask_sizes(self, query_length: int, layer_idx: int = 0) -> tuple[int, int]:
        """Return the length of a mask over the columns read so far and the next ones, and its offset."""
        return self.columns + query_length, 0

    def reset(self) -> None:
        """Remove the state."""
        super().reset()  # type: ignore[no-untyped-call]
        self.columns = 0

    def bytes_per_sequence(self) -> int:
        """Return the size in bytes of the states of one row of the batch."""
        return sum(
            tensor[0].numel() * tensor.element_size()
            for layer in self.memories
            for tensor in tensors_of(layer.state)
        )


def _layer(symbol: Symbol) -> LayerCache:
    return FadingLayerCache() if symbol in (*FADING, "BMF", "BM") else LayerCache()


def each_tensor(state: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Return the state, a tree of data classes, with `change` applied to every tensor."""
    if isinstance(state, Tensor):
        return change(state)
    if is_dataclass(state) and not isinstance(state, type):
        return type(state)(*(each_tensor(getattr(state, field.name), change) for field in fields(state)))
    return state


def tensors_of(state: Any) -> Iterator[Tensor]:
    """Yield the tensors of a state."""
    if isinstance(state, torch.Tensor):
        yield state
    elif is_dataclass(state) and not isinstance(state, type):
        for field in fields(state):
            yield from tensors_of(getattr(state, field.name))
