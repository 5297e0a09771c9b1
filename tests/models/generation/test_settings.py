"""Generation settings depend on the run, not on the checkpoint."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import GenerationConfig

from eidolon.models.backends.registry import load_model
from eidolon.models.generation.settings import KEPT_IDS, NEUTRAL, neutral_settings
from tests.models.architecture_checks import requests
from tests.models.tiny_checkpoints import make_blip_2, make_blip_2_t5, make_llava

ADVERSE: dict[str, Any] = {
    "max_length": 30, "min_length": 200, "min_new_tokens": 11, "early_stopping": True, "max_time": 0.001,
    "stop_strings": ["a", "e"], "do_sample": True, "num_beams": 3, "num_return_sequences": 1, "penalty_alpha": 0.6,
    "dola_layers": "low", "diversity_penalty": 0.5, "length_penalty": 4.0, "temperature": 7.0, "top_k": 3,
    "top_p": 0.2, "min_p": 0.3, "top_h": 0.3, "typical_p": 0.4, "epsilon_cutoff": 0.2, "eta_cutoff": 0.2,
    "repetition_penalty": 8.0, "encoder_repetition_penalty": 6.0, "no_repeat_ngram_size": 1,
    "encoder_no_repeat_ngram_size": 1, "bad_words_ids": [[300], [301]], "renormalize_logits": True,
    "forced_bos_token_id": 305, "forced_eos_token_id": 306, "remove_invalid_values": True,
    "exponential_decay_length_penalty": [2, 9.0], "suppress_tokens": [*range(20, 280)],
    "begin_suppress_tokens": [*range(280, 300)], "sequence_bias": [[[310], 50.0]], "token_healing": True,
    "guidance_scale": 3.0, "watermarking_config": {"greenlist_ratio": 0.3, "bias": 9.0}, "use_cache": False,
    "cache_implementation": "static", "max_cache_len": 64, "low_memory": True, "prefill_chunk_size": 4,
    "prompt_lookup_num_tokens": 3, "max_matching_ngram_size": 2, "is_assistant": True, "num_assistant_tokens": 3,
    "assistant_early_exit": 1, "output_scores": True, "output_logits": True, "output_attentions": True,
    "output_hidden_states": True, "return_dict_in_generate": True,
}  # fmt: skip
"""Nearly every field, with a value that changes the answer, fails, or returns another form."""
OLD = (
    "num_beams",
    "no_repeat_ngram_size",
    "min_length",
    "repetition_penalty",
    "suppress_tokens",
    "temperature",
)
"""Settings in the config.json of older checkpoints."""


def test_every_field_is_decided() -> None:
    """A new field of transformers needs a decision."""
    own = {name for name in vars(GenerationConfig()) if not name.startswith("_")}
    known = {*NEUTRAL, *KEPT_IDS, "max_new_tokens", "transformers_version"}
    assert own - known == set()


def test_neutral_values_are_the_defaults_of_transformers() -> None:
    """Each value is the library's default, except that compilation is turned off."""
    defaults = GenerationConfig._get_default_generation_params()
    differing = {
        name: value
        for name, value in NEUTRAL.items()
        if value != defaults.get(name) and value not in (None, False)
    }
    assert differing == {"disable_compile": True}
    assert vars(neutral_settings(7, {"eos_token_id": [2]}))["max_new_tokens"] == 7


@pytest.mark.parametrize("make", [make_llava, make_blip_2, make_blip_2_t5])
def test_a_checkpoint_cannot_change_the_settings(make: Any, tmp_path: Path) -> None:
    """Neither by generation_config.json, nor by config.json, nor by those of the inner language model."""
    make(tmp_path)
    plain: Any = load_model(f"transformers/{tmp_path}", {"logprobs": "true"})
    expected = list(plain.generate(requests()))
    settings = tmp_path / "generation_config.json"
    own = json.loads(settings.read_text())
    settings.write_text(json.dumps(own | ADVERSE))
    config = json.loads((tmp_path / "config.json").read_text())
    old = {name: ADVERSE[name] for name in OLD}
    (tmp_path / "config.json").write_text(json.dumps({**config, "text_config": config["text_config"] | old}))
    odd: Any = load_model(f"transformers/{tmp_path}", {"logprobs": "true"})
    found = list(odd.generate(requests()))
    assert odd.usage() == {}
    assert found == expected
    aside = odd.describe()["settings_set_aside"]
    assert aside["repetition_penalty"] == 8.0
    assert aside["suppress_tokens"] == ADVERSE["suppress_tokens"]
    assert "temperature" not in aside


def test_an_adverse_setting_has_an_effect_without_the_neutral_ones(tmp_path: Path) -> None:
    """So the test above can fail: without the neutral settings the checkpoint answers something else."""
    make_llava(tmp_path)
    model: Any = load_model(f"transformers/{tmp_path}")
    inputs = model.prepare(requests())
    width = inputs["input_ids"].shape[1]
    asked = neutral_settings(12, model._ids)
    for name, value in ADVERSE.items():
        if name in ("repetition_penalty", "no_repeat_ngram_size", "suppress_tokens", "num_beams"):
            changed = neutral_settings(12, model._ids, **{name: value})
            with torch.inference_mode():
                plain, odd = (model.model.generate(**inputs, generation_config=c) for c in (asked, changed))
            assert plain[:, width:].tolist() != odd[:, width:].tolist(), name
