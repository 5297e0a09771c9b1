"""The models in transformers: saving and loading, generation with their own cache, also with beams."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModel, AutoModelForCausalLM, AutoModelForImageTextToText, DynamicCache

from eidolon.models.memory.building import MemoryArchitecture, layers_size, make_memory_model
from eidolon.models.memory.cache import MemoryCache
from eidolon.models.memory.configuration import MemoryTextConfig
from eidolon.models.memory.layout import SYMBOLS, Memory
from eidolon.models.memory.modeling import MemoryForCausalLM, MemoryForConditionalGeneration, register
from tests.models.memory.tiny import SIZES, WIDTH, save_eye, save_memory

VOCABULARY = 60
LAYOUTS = (*(f"{symbol}-{symbol}" for symbol in SYMBOLS), "GDN-*-BM")


def build(layout: str) -> Any:
    config = MemoryTextConfig(
        vocab_size=VOCABULARY, hidden_size=16, intermediate_size=24, layout=layout, window=5, store=3,
        num_attention_heads=2, head_dim=8, chunk=7, pad_token_id=0, eos_token_id=1,
    )  # fmt: skip
    torch.manual_seed(0)
    model = MemoryForCausalLM(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 0.35)
    return model


def prompts() -> tuple[Tensor, Tensor]:
    """Return ids and mask. The first row has padding on the left, and every row has one padded column."""
    ids = torch.randint(2, VOCABULARY, (2, 14), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    mask[0, :6], mask[1, :1] = 0, 0
    return ids * mask, mask


def step_by_step(model: Any, ids: Tensor, count: int) -> list[int]:
    """Decode one row greedily; the whole text is read again for every token."""
    found: list[int] = []
    for _ in range(count):
        logits = model(torch.cat([ids, torch.tensor(found, dtype=torch.int64)])[None], use_cache=False).logits
        found.append(int(logits[0, -1].argmax()))
        if found[-1] == 1:
            break
    return found


@pytest.mark.parametrize("layout", LAYOUTS)
def test_cached_generation_equals_reading_the_whole_text(layout: str) -> None:
    model = build(layout)
    ids, mask = prompts()
    with torch.inference_mode():
        rows = model.generate(ids, attention_mask=mask, max_new_tokens=18, do_sample=False)[:, 14:].tolist()
        for row in range(2):
            expected = step_by_step(model, ids[row, mask[row].bool()], 18)
            assert rows[row][: len(expected)] == expected


@pytest.mark.parametrize("layout", LAYOUTS)
def test_generation_continues_from_a_cache(layout: str) -> None:
    """Also if all rows are padded: transformers counts columns."""
    model = build(layout)
    ids, mask = prompts()
    with torch.inference_mode():
        whole = model.generate(ids, attention_mask=mask, max_new_tokens=8, do_sample=False, eos_token_id=None)
        cache = model(ids[:, :9], mask[:, :9], use_cache=True).past_key_values
        assert cache.get_seq_length() == 9
        spare = copy.deepcopy(cache)
        for past in (cache, spare):
            again = model.generate(
                ids,
                attention_mask=mask,
                past_key_values=past,
                max_new_tokens=8,
                do_sample=False,
                eos_token_id=None,
            )
            assert torch.equal(again, whole)
        assert cache.get_seq_length() == 14 + 7


@pytest.mark.parametrize("layout", LAYOUTS)
def test_beams_and_several_answers_keep_their_states(layout: str) -> None:
    """The score that beam search reports equals that of reading the sequence again."""
    model = build(layout)
    ids, mask = prompts()
    with torch.inference_mode():
        found = model.generate(
            ids, attention_mask=mask, max_new_tokens=9, num_beams=4, num_return_sequences=3, do_sample=False,
            eos_token_id=None, length_penalty=0.0, return_dict_in_generate=True, output_scores=True,
        )  # fmt: skip
        for index, sequence in enumerate(found.sequences):
            kept = mask[index // 3].bool()
            whole = torch.cat([sequence[:14][kept], sequence[14:]])
            logits = model(whole[None], use_cache=False).logits[0, :-1].log_softmax(-1)
            total = logits.gather(1, whole[1:, None])[-9:].sum()
            torch.testing.assert_close(found.sequences_scores[index], total, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_caches_are_selected_repeated_and_reset(layout: str) -> None:
    model = build(layout)
    ids, mask = prompts()
    more = torch.tensor([[7], [9]])
    with torch.inference_mode():
        expected = model(ids, mask, use_cache=True)
        cache = expected.past_key_values
        assert isinstance(cache, MemoryCache)
        wide = copy.deepcopy(cache)
        wide.batch_repeat_interleave(2)
        one = copy.deepcopy(cache)
        one.batch_select_indices(torch.tensor([1]))
        logits = model(more, past_key_values=cache).logits
        twice = model(more.repeat_interleave(2, 0), past_key_values=wide).logits
        torch.testing.assert_close(twice, logits.repeat_interleave(2, 0), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(
            model(more[1:], past_key_values=one).logits, logits[1:], rtol=1e-5, atol=1e-5
        )
        cache.reset()
        assert cache.get_seq_length() == 0
        assert cache.bytes_per_sequence() == 0
        again = model(ids, mask, past_key_values=cache).logits
        torch.testing.assert_close(again, expected.logits, rtol=1e-5, atol=1e-5)


def test_a_cache_of_another_class_is_refused_unless_empty() -> None:
    model = build("GDN")
    foreign = DynamicCache()
    model(prompts()[0], past_key_values=foreign)
    foreign.update(torch.zeros(2, 1, 3, 4), torch.zeros(2, 1, 3, 4), 0)
    with pytest.raises(TypeError, match="DynamicCache"):
        model(prompts()[0], past_key_values=foreign)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_saved_weights_are_loaded_unchanged(layout: str, tmp_path: Path) -> None:
    """Loading does not initialise any weight."""
    register()
    model = build(layout)
    model.save_pretrained(tmp_path)
    for dtype in (torch.float32, torch.bfloat16):
        loaded = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=dtype)
        assert type(loaded) is MemoryForCausalLM
        weights = loaded.state_dict()
        assert {weight.dtype for weight in weights.values()} == {dtype}
        for name, weight in model.state_dict().items():
            assert torch.equal(weights[name], weight.to(dtype)), name
        assert loaded.lm_head.weight is loaded.model.embed_tokens.weight
    ids, mask = prompts()
    with torch.inference_mode():
        same = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)(ids, mask).logits
        assert torch.equal(same, model(ids, mask).logits)
        bare = AutoModel.from_pretrained(tmp_path, dtype=torch.float32)
        torch.testing.assert_close(
            bare(ids, mask).last_hidden_state, model.model(ids, mask).last_hidden_state
        )


def test_a_vl_model_is_loaded_with_its_vision_side(tmp_path: Path) -> None:
    eye = save_eye(tmp_path / "eye")
    folder = save_memory(tmp_path / "memory", eye, "GDN-BM")
    loaded: Any = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
    assert type(loaded) is MemoryForConditionalGeneration
    seeing: Any = AutoModelForImageTextToText.from_pretrained(eye, dtype=torch.float32)
    for part in ("vision_model", "connector"):
        expected = getattr(seeing.model, part).state_dict()
        found = getattr(loaded.model, part).state_dict()
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[name], weight) for name, weight in expected.items())
    assert loaded.config.text_config.memory.layout == ("GDN", "BM")


def test_models_start_by_their_seed_with_a_frozen_vision_side(tmp_path: Path) -> None:
    eye = save_eye(tmp_path)
    memory = Memory.model_validate({"layout": "*-GDN-BM", **SIZES})
    made = [make_memory_model(MemoryArchitecture(memory=memory, width=WIDTH, layer_parameters=12_000), eye, seed)[0]
            for seed in (0, 0, 1)]  # fmt: skip
    first, same, other = (dict(model.named_parameters()) for model in made)
    assert all(torch.equal(weight, same[name]) for name, weight in first.items())
    assert not torch.equal(*(m["model.text_model.layers.0.memory.query.weight"] for m in (first, other)))
    trained = {name for name, weight in first.items() if weight.requires_grad}
    assert trained == {name for name in first if name.startswith(("model.text_model.", "lm_head."))}


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_layers_have_the_configured_number_of_parameters(symbol: str) -> None:
    """Within 3 %, by the width of the feed-forward layers."""
    architecture = MemoryArchitecture(memory=Memory.model_validate({"layout": f"{symbol}-{symbol}"}))
    memory = architecture.memory
    size = layers_size(memory.layout, architecture.width, memory, architecture.inner)
    assert size == pytest.approx(2 * architecture.layer_parameters, rel=0.015)


def test_memories_too_large_for_a_layer_are_refused() -> None:
    architecture = MemoryArchitecture(memory=Memory.model_validate({"layout": "BM"}), layer_parameters=20_000)
    with pytest.raises(ValueError, match="layer_parameters=20000"):
        _ = architecture.inner


def test_labels_give_the_loss() -> None:
    memory = Memory.model_validate({"layout": "GDN-*", **SIZES})
    torch.manual_seed(0)
    model = MemoryForCausalLM(
        MemoryTextConfig.of(memory, hidden_size=WIDTH, intermediate_size=16, vocab_size=50)
    ).eval()
    tokens = torch.randint(50, (2, 9))
    labels = tokens.clone()
    labels[0, :5] = -100
    found = model(tokens, labels=labels)
    log_p = found.logits[:, :-1].log_softmax(-1).gather(-1, tokens[:, 1:, None])[..., 0]
    counted = labels[:, 1:] != -100
    assert found.loss.item() == pytest.approx(-log_p[counted].mean().item(), rel=1e-5)
    assert model(tokens).loss is None
