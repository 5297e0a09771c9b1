"""Generation settings that only the run decides: every field of transformers' `GenerationConfig` is said.

`generate` fills a field that is None from the model's own `generation_config`, which comes with the checkpoint (or,
in older ones, with `config.json`), and models that hold a language model call its `generate`, with a configuration
of its own. So the fields are set here, and every configuration in the model is replaced by the same one.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch.nn import Module
    from transformers import GenerationConfig

KEPT_IDS = ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id")
"""All that is taken over from a model's own configuration: its alphabet, not how it is asked."""

NEUTRAL: Mapping[str, Any] = {
    # How long: `max_new_tokens` alone says.
    "max_length": None,
    "min_length": 0,
    "min_new_tokens": None,
    "early_stopping": False,
    "max_time": None,
    "stop_strings": None,
    # Which search: greedy. Where a run samples, `RowwiseSampling` leaves it one token a row.
    "do_sample": False,
    "num_beams": 1,
    "num_return_sequences": 1,
    "penalty_alpha": None,
    "dola_layers": None,
    "diversity_penalty": 0.0,
    "num_beam_groups": 1,
    "length_penalty": 1.0,
    "constraints": None,
    "force_words_ids": None,
    # What greedy search does not read; the values are those that change nothing.
    "temperature": 1.0,
    "top_k": 50,
    "top_p": 1.0,
    "min_p": None,
    "top_h": None,
    "typical_p": 1.0,
    "epsilon_cutoff": 0.0,
    "eta_cutoff": 0.0,
    # The model's own probabilities, with nothing forbidden, forced, favoured or marked.
    "repetition_penalty": 1.0,
    "encoder_repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    "encoder_no_repeat_ngram_size": 0,
    "bad_words_ids": None,
    "renormalize_logits": False,
    "forced_bos_token_id": None,
    "forced_eos_token_id": None,
    "remove_invalid_values": False,
    "exponential_decay_length_penalty": None,
    "suppress_tokens": None,
    "begin_suppress_tokens": None,
    "sequence_bias": None,
    "token_healing": False,
    "guidance_scale": None,
    "watermarking_config": None,
    # How it is computed: the cache that belongs to the model, whole prompts, nothing compiled, no assistant.
    "use_cache": True,
    "cache_implementation": None,
    "cache_config": None,
    "max_cache_len": None,
    "low_memory": None,
    "prefill_chunk_size": None,
    "compile_config": None,
    "disable_compile": True,
    "continuous_batching_config": None,
    "use_mtp": False,
    "is_assistant": False,
    "num_assistant_tokens": 20,
    "num_assistant_tokens_schedule": "constant",
    "assistant_confidence_threshold": 0.4,
    "assistant_early_exit": None,
    "assistant_lookbehind": 10,
    "assistant_ensemble_weight": None,
    "prompt_lookup_num_tokens": None,
    "max_matching_ngram_size": None,
    "target_lookbehind": 10,
    "speculation_type": None,
    # What it returns: token ids.
    "output_attentions": False,
    "output_hidden_states": False,
    "output_scores": False,
    "output_logits": False,
    "return_dict_in_generate": False,
}
"""Every field but the ids and `max_new_tokens`, at the value that leaves the model's own word alone."""

_UNREAD = frozenset({"temperature", "top_k", "top_p", "min_p", "top_h", "typical_p", "do_sample"})
"""What a run says itself; that a checkpoint says something else is no news."""


def neutral_settings(max_new_tokens: int, ids: Mapping[str, Any], **others: Any) -> "GenerationConfig":
    """Return greedy settings with every field said; `others` are fields that a call needs differently."""
    from transformers import GenerationConfig

    said = {name: value for name, value in ids.items() if value not in (None, [])}
    return GenerationConfig(max_new_tokens=max_new_tokens, **{**NEUTRAL, **said, **others})


def replace_settings(model: "Module", config: "GenerationConfig") -> None:
    """Give a model, and every model in it, this configuration in the place of its own."""
    for module in model.modules():
        if getattr(module, "generation_config", None) is not None:
            module.generation_config = config  # type: ignore[assignment]


def own_ids(model: "Module") -> dict[str, Any]:
    """Return the token ids of `KEPT_IDS` that a model's configuration names, the outermost one's first."""
    found: dict[str, Any] = dict.fromkeys(KEPT_IDS)
    for module in model.modules():
        own = getattr(module, "generation_config", None)
        for name in KEPT_IDS:
            if found[name] is None:
                found[name] = getattr(own, name, None)
    return found


def set_aside(model: "Module") -> dict[str, Any]:
    """Return what a model's own configuration asks for beside sampling, and does not get: it is told, not obeyed."""
    own = getattr(model, "generation_config", None)
    asked = {name: getattr(own, name, None) for name in NEUTRAL if name not in _UNREAD}
    return {name: value for name, value in asked.items() if value is not None and value != NEUTRAL[name]}
