"""Step-by-step reading with a decoder-only transformers model, by the same steps as its own `generate`."""

import copy
from collections.abc import Mapping
from typing import Any

import torch

JOINED = ("attention_mask", "position_ids")
"""The inputs that two joined readers continue with."""
PROMPT_ONLY = (
    "pixel_values",
    "pixel_attention_mask",
    "image_sizes",
    "image_grid_thw",
    "mm_token_type_ids",
    "inputs_embeds",
    "use_cache",
)
"""Inputs that only the reading of the prompt needs."""


class TokenReader:
    """Feeds tokens to a model and returns logits, with the positions, mask and cache that `generate` would use.

    Several readers of one model may take turns: all state is in the reader.
    """

    def __init__(self, model: Any, inputs: Mapping[str, torch.Tensor]) -> None:
        """Take the model and its inputs: `input_ids` and `attention_mask`, padded on the left, and the image's."""
        self._model = model
        self._ids = inputs["input_ids"]
        self._kwargs: dict[str, Any] = {k: v for k, v in inputs.items() if k != "input_ids"}
        # The reader keeps the positions: models that count image positions separately would store them in themselves.
        self._kwargs["position_ids"] = model._prepare_position_ids_for_generation(self._ids, self._kwargs)
        self._kwargs["use_cache"] = True
        self._outputs: Any = None  # of the last forward pass; the next one continues its cache
        self.one_by_one = False
        """Whether `read` must get one token at a time. Set by `read_prompt`."""
        self.with_attention = False
        """Whether the next calls return attention weights too. The model must compute them (eager attention)."""

    @property
    def cache(self) -> Any:
        """The model's cache of everything read so far; None before the prompt."""
        return getattr(self._outputs, "past_key_values", None)

    @property
    def attentions(self) -> Any:
        """The attention weights of the last call by layer, (batch, heads, width, columns) each; None without any."""
        return getattr(self._outputs, "attentions", None)

    @property
    def device(self) -> torch.device:
        """The device of the tokens."""
        return self._ids.device

    @torch.inference_mode()
    def branch(self) -> "TokenReader":
        """Return a reader with a copy of this one's cache, which continues independently."""
        other = copy.copy(self)
        other._kwargs = {name: value for name, value in self._kwargs.items() if name != "past_key_values"}
        other._outputs = copy.copy(self._outputs)
        other._outputs.past_key_values = copy.deepcopy(self.cache)
        return other

    @property
    def may_join(self) -> bool:
        """Whether nothing in the inputs rules out that `join` succeeds."""
        return self._kwargs.keys() <= {*JOINED, *PROMPT_ONLY, "past_key_values"}

    @torch.inference_mode()
    def join(self, other: "TokenReader") -> "TokenReader | None":
        """Return a reader of the rows of both, this one's first, after their prompts; None if they cannot join.

        The shorter prompts are padded on the left. Plain keys and values alone can be padded: a recurrent state, a
        sliding window or further inputs of the model cannot.
        """
        from transformers.cache_utils import DynamicCache, DynamicLayer

        readers = (self, other)
        if any(one.one_by_one or not one.may_join or type(one.cache) is not DynamicCache for one in readers):
            return None
        if any(type(layer) is not DynamicLayer for one in readers for layer in one.cache.layers):
            return None
        masks = [one._kwargs["attention_mask"] for one in readers]
        if any(
            mask.shape[-1] != one.cache.get_seq_length() for mask, one in zip(masks, readers, strict=True)
        ):
            return None
        width = max(mask.shape[-1] for mask in masks)
        cache = copy.copy(self.cache)
        cache.layers = [copy.copy(layer) for layer in cache.layers]
        for mine, theirs in zip(cache.layers, other.cache.layers, strict=True):
            mine.keys = torch.cat([_pad_left(mine.keys, width, -2), _pad_left(theirs.keys, width, -2)])
            mine.values = torch.cat([_pad_left(mine.values, width, -2), _pad_left(theirs.values, width, -2)])
        positions = [_pad_left(one._kwargs["position_ids"], width, -1) for one in readers]
        joined = copy.copy(self)
        joined._kwargs = {
            "attention_mask": torch.cat([_pad_left(mask, width, -1) for mask in masks]),
            "position_ids": torch.cat(positions, dim=-2),
            "use_cache": True,
        }
        joined._outputs = copy.copy(self._outputs)
        joined._outputs.past_key_values = cache
        return joined

    @torch.inference_mode()
    def read_prompt(self) -> torch.Tensor:
        """Return the logits after the prompt: (batch, 1, vocabulary), float32."""
        keep = {"logits_to_keep": 1} if self._model._supports_logits_to_keep() else {}
        prepared = self._model.prepare_inputs_for_generation(
            self._ids, is_first_iteration=True, **self._kwargs, **keep
        )
        logits = self._call(prepared)[:, -1:]
        self.one_by_one = self._must_read_one_by_one()
        return logits

    @torch.inference_mode()
    def read(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return the logits after each of (batch, width) further tokens: (batch, width, vocabulary), float32."""
        count = tokens.shape[1]
        # Models that override the update of positions accept no number but 1.
        several = {"num_new_tokens": count} if count > 1 else {}
        self._kwargs = self._model._update_model_kwargs_for_generation(
            self._outputs, self._kwargs, is_encoder_decoder=False, **several
        )
        prepared = self._model.prepare_inputs_for_generation(
            tokens, next_sequence_length=count, is_first_iteration=False, **self._kwargs
        )
        return self._call(prepared)

    def _call(self, prepared: Mapping[str, Any]) -> torch.Tensor:
        more = {"output_attentions": True} if self.with_attention else {}
        outputs = self._model(**prepared, **more, return_dict=True)
        logits: torch.Tensor = outputs.logits.float()
        outputs.logits = None  # free the chunk's logits as soon as the caller drops them
        self._outputs = outputs
        return logits

    def _must_read_one_by_one(self) -> bool:
        """Whether reading several tokens at once computes something else than `generate` does, token after token.

        Recurrent layers add up in another order. Models that override the update of their inputs (such as Mllama's
        image masks) may rely on one token per step. A cache with a true `cut_anywhere` is exact for any split.
        """
        from transformers import GenerationMixin

        if getattr(self.cache, "cut_anywhere", False):
            return False
        update = type(self._model)._update_model_kwargs_for_generation
        return (
            update is not GenerationMixin._update_model_kwargs_for_generation
            or bool(getattr(self._model, "_is_stateful", False))
            or any(hasattr(layer, "recurrent_states") for layer in getattr(self.cache, "layers", ()))
        )


def _pad_left(values: torch.Tensor, width: int, dim: int) -> torch.Tensor:
    """Return values with zeros before them, `width` long in a dimension."""
    missing = list(values.shape)
    missing[dim] = width - values.shape[dim]
    return torch.cat([values.new_zeros(missing), values], dim=dim)
