"""Step-by-step reading with a decoder-only transformers model, by the same steps as its own `generate`."""

import copy
from collections.abc import Mapping
from typing import Any

import torch


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

    @property
    def cache(self) -> Any:
        """The model's cache of everything read so far; None before the prompt."""
        return getattr(self._outputs, "past_key_values", None)

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
        outputs = self._model(**prepared, return_dict=True)
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
