"""Models of memory blocks for transformers: a language model, and a VL model around it.

Call `register` before loading one of them by transformers' Auto classes.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    GenerationMixin,
    Idefics3ForConditionalGeneration,
    PreTrainedModel,
)
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast

from eidolon.models.memory.block import MemoryBlock
from eidolon.models.memory.cache import MemoryCache
from eidolon.models.memory.configuration import MemoryConfig, MemoryTextConfig
from eidolon.models.memory.parts import RMSNorm


class Layer(nn.Module):
    """A memory block and a gated feed-forward layer, each with a norm before it and a residual connection."""

    def __init__(self, config: MemoryTextConfig, index: int) -> None:
        super().__init__()
        memory = config.memory
        self.memory_norm = RMSNorm(config.hidden_size)
        self.memory = MemoryBlock(config.hidden_size, memory, memory.layout[index], index)
        self.inner_norm = RMSNorm(config.hidden_size)
        self.gate_up = nn.Linear(config.hidden_size, 2 * config.intermediate_size, bias=False)
        self.down = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, hidden: Tensor, mask: Tensor | None, state: Any) -> tuple[Tensor, Any, Tensor | None]:
        """Return (batch, T, width), the memory's state and its predictor's loss."""
        mixed = self.memory(self.memory_norm(hidden), mask, state)
        hidden = hidden + mixed.output
        gate, up = self.gate_up(self.inner_norm(hidden)).chunk(2, dim=-1)
        return hidden + self.down(functional.silu(gate) * up), mixed.state, mixed.prediction_loss


class MemoryPreTrainedModel(PreTrainedModel):
    """Base of the models."""

    config_class = MemoryTextConfig
    base_model_prefix = "model"
    _is_stateful = True
    _no_split_modules = ["Layer"]  # noqa: RUF012
    _supports_sdpa = True

    @classmethod
    def _supports_default_dynamic_cache(cls) -> bool:
        return False

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        # Parameters of the memories that are no matrices have been drawn by their own constructors.
        if isinstance(module, nn.Linear | nn.Embedding):
            module.weight.normal_(0.0, self.config.get_text_config().initializer_range)


class MemoryTextModel(MemoryPreTrainedModel):
    """Embeddings, layers of memory blocks, and a norm."""

    def __init__(self, config: MemoryTextConfig) -> None:
        super().__init__(config)
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size, config.pad_token_id)
        self.layers = nn.ModuleList([Layer(config, index) for index in range(config.num_hidden_layers)])
        self.norm = RMSNorm(config.hidden_size)
        # `Idefics3Model.forward` reads it of its text model in training mode.
        self.gradient_checkpointing = False
        self.post_init()  # type: ignore[no-untyped-call]

    def get_input_embeddings(self) -> nn.Module:
        return self.embed_tokens

    def set_input_embeddings(self, value: Any) -> None:
        self.embed_tokens = value

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        past_key_values: Any = None,
        inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        output_hidden_states: bool | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPast:
        """Return the hidden states of (batch, T) token ids, or of their embeddings.

        `attention_mask`, (batch, length), may cover earlier tokens too; only its last T columns are used. It is False
        on padding. Positions count the tokens without padding. `past_key_values` is a `MemoryCache`; another, empty
        cache is replaced by one. The output has an attribute `prediction_loss`: the sum of the predictors' losses over
        the layers, None without stores.

        Raises:
            TypeError: `past_key_values` is a cache of another class that is not empty.
        """
        hidden = self.embed_tokens(input_ids) if inputs_embeds is None else inputs_embeds
        if use_cache is None:
            use_cache = self.config.use_cache and not self.training
        cache = past_key_values if isinstance(past_key_values, MemoryCache) else None
        if cache is None and past_key_values is not None and past_key_values.get_seq_length():
            raise TypeError(f"past_key_values is a {type(past_key_values).__name__}, not a MemoryCache")
        if cache is None and use_cache:
            cache = MemoryCache(self.config.memory)
        mask = None if attention_mask is None else attention_mask[:, -hidden.shape[1] :].bool()
        if mask is not None and mask.all():
            mask = None
        seen: list[Tensor] = []
        losses: list[Tensor] = []
        for index, layer in enumerate(self.layers):
            seen.append(hidden)
            memory = None if cache is None else cache.memories[index]
            hidden, state, loss = layer(hidden, mask, None if memory is None else memory.state)
            if memory is not None:
                memory.state = state
            if loss is not None:
                losses.append(loss)
        if cache is not None:
            cache.columns += hidden.shape[1]
        hidden = self.norm(hidden)
        states: Any = (*seen, hidden) if output_hidden_states else None
        output = BaseModelOutputWithPast(
            last_hidden_state=hidden, past_key_values=cache, hidden_states=states
        )
        output.prediction_loss = torch.stack(losses).sum() if losses else None
        return output


class MemoryForCausalLM(MemoryPreTrainedModel, GenerationMixin):
    """A language model of memory blocks."""

    _tied_weights_keys = {"lm_head.weight": "model.embed_tokens.weight"}  # noqa: RUF012

    def __init__(self, config: MemoryTextConfig) -> None:
        super().__init__(config)
        self.model = MemoryTextModel(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.post_init()  # type: ignore[no-untyped-call]

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        past_key_values: Any = None,
        inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int = 0,
        labels: Tensor | None = None,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """Return logits (batch, T, vocabulary); with `logits_to_keep`, of that number of last tokens only.

        With `labels`, (batch, T), `loss` is their mean negative log-likelihood in nats, without labels of -100.
        """
        outputs = self.model(input_ids, attention_mask, past_key_values, inputs_embeds, use_cache, **kwargs)
        logits = self.lm_head(outputs.last_hidden_state[:, -logits_to_keep:])
        loss = None
        if labels is not None:
            loss = self.loss_function(logits, labels, vocab_size=self.config.vocab_size)
        return CausalLMOutputWithPast(
            loss=loss,
            logits=logits,
            past_key_values=outputs.past_key_values,
            hidden_states=outputs.hidden_states,
        )


class MemoryForConditionalGeneration(Idefics3ForConditionalGeneration):
    """A VL model of memory blocks: Idefics3 with a language model of this family."""

    config_class = MemoryConfig
    _is_stateful = True

    @classmethod
    def _supports_default_dynamic_cache(cls) -> bool:
        return False


def register() -> None:
    """Register the models with transformers' Auto classes. It may be called again."""
    AutoConfig.register(MemoryTextConfig.model_type, MemoryTextConfig, exist_ok=True)
    AutoConfig.register(MemoryConfig.model_type, MemoryConfig, exist_ok=True)
    AutoModel.register(MemoryTextConfig, MemoryTextModel, exist_ok=True)
    AutoModelForCausalLM.register(MemoryTextConfig, MemoryForCausalLM, exist_ok=True)
    AutoModelForImageTextToText.register(MemoryConfig, MemoryForConditionalGeneration, exist_ok=True)
