"""The first token of a T5 model's answers, without the keys and values of its cross-attention.

An answer's first token needs one query per prompt. Because q·(W_k h) = (W_kᵀ q)·h, the query is projected to the width
of the encoder, and the encoder's states are not projected to keys and values. In a T5 with equally many layers on both
sides this saves about a seventh of all multiplications. The result is the model's own, up to the last bits of
floating-point sums.
"""

from typing import Any

import torch
from torch import nn

FUSED_DTYPE = torch.float32
"""In other precisions the fused kernels would round at other places."""


def has_short_first_step(model: Any) -> bool:
    """Tell whether `first_tokens` computes what this model does: T5, but not in float16, where it clamps infinities."""
    from transformers import T5ForConditionalGeneration

    return type(model) is T5ForConditionalGeneration and model.dtype != torch.float16


def fuse(model: nn.Module) -> None:
    """Replace activations and norms of a float32 model by kernels that pass over memory fewer times."""
    from transformers.activations import NewGELUActivation
    from transformers.models.t5.modeling_t5 import T5LayerNorm

    if getattr(model, "dtype", None) != FUSED_DTYPE:
        return
    for module in [*model.modules()]:
        for name, child in [*module.named_children()]:
            if type(child) is NewGELUActivation:
                setattr(module, name, nn.GELU(approximate="tanh"))
            elif type(child) is T5LayerNorm:
                setattr(module, name, _RootMeanSquareNorm(child.weight, child.variance_epsilon))


class _RootMeanSquareNorm(nn.Module):
    """T5's norm, x / √(mean x² + ε) · weight, with one buffer of the size of x."""

    def __init__(self, weight: nn.Parameter, epsilon: float) -> None:
        super().__init__()
        self.weight, self._epsilon = weight, epsilon

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        norm = torch.linalg.vector_norm(states, dim=-1, keepdim=True)
        scale = norm.square_().div_(states.shape[-1]).add_(self._epsilon).rsqrt_()
        normed: torch.Tensor = (states * scale).mul_(self.weight)
        return normed


def first_tokens(model: Any, encoded: torch.Tensor, mask: torch.Tensor | None, start: int) -> torch.Tensor:
    """Return the ids of the most probable first tokens, shape (batch,).

    `encoded` are the encoder's states (batch, length, width), `mask` (batch, length) is 1 at tokens and 0 at padding,
    and `start` is the id of the decoder's start token.
    """
    decoder, rows = model.decoder, len(encoded)
    state = decoder.embed_tokens(encoded.new_full((rows,), start, dtype=torch.long))
    ignored = None if mask is None or bool(mask.all()) else (mask == 0)[:, None]
    for block in decoder.block:
        own, cross, feed_forward = block.layer
        # Attention over one token returns its value.
        attention = own.SelfAttention
        state = state + attention.o(attention.v(own.layer_norm(state)))
        state = state + _attend(cross.EncDecAttention, cross.layer_norm(state), encoded, ignored)
        state = feed_forward(state[:, None])[:, 0]
    state = decoder.final_layer_norm(state)
    if model.config.scale_decoder_outputs:
        state = state * model.model_dim**-0.5
    tokens: torch.Tensor = model.lm_head(state).float().argmax(dim=-1)
    return tokens


def _attend(
    attention: Any, state: torch.Tensor, encoded: torch.Tensor, ignored: torch.Tensor | None
) -> torch.Tensor:
    """Return the cross-attention of one query per row, (batch, width), of states (batch, width)."""
    heads, size = attention.n_heads, attention.key_value_proj_dim
    width = encoded.shape[-1]
    queries = attention.q(state).view(-1, heads, size)
    keys, values = (layer.weight.view(heads, size, width) for layer in (attention.k, attention.v))
    projected = torch.einsum("bhs,hsw->bhw", queries, keys)
    scores = torch.matmul(projected, encoded.transpose(1, 2))
    if ignored is not None:
        scores = scores.masked_fill(ignored, torch.finfo(scores.dtype).min)
    mixed = torch.matmul(scores.softmax(dim=-1), encoded)
    heard = torch.einsum("bhw,hsw->bhs", mixed, values)
    result: torch.Tensor = attention.o(heard.reshape(len(state), heads * size))
    return result
