"""Generation settings that depend on the run only: every field of transformers' `GenerationConfig` is set.

`generate` fills a field that is None from the model's own `generation_config`, which comes with the checkpoint (or,
in older ones, with `config.json`). A model that contains a language model may also call that model's `generate`, with
another configuration. So all fields are set here, and every configuration in the model is replaced by the same one.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch.nn import Module
    from transformers import GenerationConfig

KEPT_IDS = ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id")
"""The only fields that are taken from a model's own configuration: special tokens."""

NEUTRAL: Mapping[str, Any] = {
    # Length: `max_new_tokens` alone decides.
    "max_length": None,
    "min_length": 0,
    "min_new_tokens": None,
    "early_stopping": False,
    "max_time": None,
    "stop_strings": None,
    # Search: greedy. A run that samples uses `RowwiseSampling`, which leaves one token per row.
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
    # Not used by greedy search; set to values without an effect.
    "temperature": 1.0,
    "top_k": 50,
    "top_p": 1.0,
    "min_p": None,
    "top_h": None,
    "typical_p": 1.0,
    "epsilon_cutoff": 0.0,
    "eta_cutoff": 0.0,
    # Logits: unchanged; no token is forbidden, forced, preferred or watermarked.
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
    # Computation: the model's own cache, prompts in one piece, no compilation, no assistant model.
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
    # Output: token ids.
    "output_attentions": False,
    "output_hidden_states": False,
    "output_scores": False,
    "output_logits": False,
    "return_dict_in_generate": False,
}
"""Every field except the ids and `max_new_tokens`, with the value that has no effect."""

_SET_BY_RUN = frozenset({"temperature", "top_k", "top_p", "min_p", "top_h", "typical_p", "do_sample"})
"""Sampling settings, which are the run's own, so that a checkpoint's different ones need no report."""


def neutral_settings(max_new_tokens: int, ids: Mapping[str, Any], **others: Any) -> "GenerationConfig":
    """Return greedy settings with every field set. `ids` are the special tokens, `others` replace `NEUTRAL` values."""
    from transformers import GenerationConfig

    known = {name: value for name, value in ids.items() if value not in (None, [])}
    return GenerationConfig(max_new_tokens=max_new_tokens, **{**NEUTRAL, **known, **others})


def replace_settings(model: "Module", config: "GenerationConfig") -> None:
    """Replace the generation configuration of a model and of every model in it."""
    for module in model.modules():
        if getattr(module, "generation_config", None) is not None:
            module.generation_config = config  # type: ignore[assignment]


def own_ids(model: "Module") -> dict[str, Any]:
    """Return the ids of `KEPT_IDS`, each from the first configuration that has it: the model's, then inner models'."""
    found: dict[str, Any] = dict.fromkeys(KEPT_IDS)
    for module in model.modules():
        own = getattr(module, "generation_config", None)
        for name in KEPT_IDS:
            if found[name] is None:
                found[name] = getattr(own, name, None)
    return found


def ignored_settings(model: "Module") -> dict[str, Any]:
    """Return the settings, other than sampling, of a model's own configuration that have no effect on a run."""
    own = getattr(model, "generation_config", None)
    own_values = {name: getattr(own, name, None) for name in NEUTRAL if name not in _SET_BY_RUN}
    return {name: value for name, value in own_values.items() if value is not None and value != NEUTRAL[name]}
