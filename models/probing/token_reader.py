"""Reading token after token with a decoder-only model of transformers, as its own `generate` would."""

import copy
from collections.abc import Mapping
from typing import Any

import torch


class Reader:
    """Reads tokens as `generate` would: the model's own positions, mask and cache.

    Several readers of one model may take turns: nothing of one is kept in the model.
    """

    def __init__(self, model: Any, inputs: Mapping[str, torch.Tensor]) -> None:
        """Take the model and its inputs: `input_ids` and `attention_mask` padded on the left, and the like."""
        self._model = model
        self._ids = inputs["input_ids"]
        self._kwargs: dict[str, Any] = {k: v for k, v in inputs.items() if k != "input_ids"}
        # Positions travel with the reader: models that count pictures apart would keep them in themselves.
        self._kwargs["position_ids"] = model._prepare_position_ids_for_generation(self._ids, self._kwargs)
        self._kwargs["use_cache"] = True
        self._outputs: Any = None
        """Of the last call of the model, whose cache the next one goes on with."""
        self.one_by_one = False
        """Whether `read` is to be given one token at a time; known once the prompt is read."""

    @property
    def cache(self) -> Any:
        """The cache of all that was read so far."""
        return getattr(self._outputs, "past_key_values", None)

    @property
    def device(self) -> torch.device:
        """Where the tokens are."""
        return self._ids.device

    @torch.inference_mode()
    def branch(self) -> "Reader":
        """Return a reader that has read the same and goes on by itself."""
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
        self.one_by_one = self._must_go_one_by_one()
        return logits

    @torch.inference_mode()
    def read(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return the logits after each of (batch, width) further tokens: (batch, width, vocabulary), float32."""
        count = tokens.shape[1]
        # Only what counts in one way for all models takes a number other than 1.
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
        outputs.logits = None  # a chunk's live only as long as the chunk
        self._outputs = outputs
        return logits

    def _must_go_one_by_one(self) -> bool:
        """Whether several tokens at once are another computation than one after the other, as generation goes.

        Recurrent layers sum in another order, and models that prepare each step in a way of their own (Mllama's
        masks of pictures) may count on one token a step. A cache whose layers give the same for any cutting of a
        text says so by its `cut_anywhere`.
        """
        from transformers import GenerationMixin

        if getattr(self.cache, "cut_anywhere", False):
            return False
        own_way = type(self._model)._update_model_kwargs_for_generation
        return (
            own_way is not GenerationMixin._update_model_kwargs_for_generation
            or bool(getattr(self._model, "_is_stateful", False))
            or any(hasattr(layer, "recurrent_states") for layer in getattr(self.cache, "layers", ()))
        )
