"""The fast paths of language models as judges, each against plain transformers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from eidolon.models.backends.text_encoder import first_tokens, fuse, has_short_first_step
from eidolon.models.backends.text_models import language_models
from eidolon.models.backends.text_prefixes import PrefixReader, can_share
from eidolon.models.base.shipped import shipped_judges
from eidolon.scorers.core.language_model import StoppingLanguageModel
from eidolon.scorers.judges.throne_questions import FORMATS, prompt, question
from eidolon.scorers.judges.votes import cannot_become_yes, is_yes
from tests.language_models import CATEGORIES, CHAT_TEMPLATE, save_llama, save_tokenizer, texts


def load(path: Path, **options: str) -> StoppingLanguageModel:
    (model,) = language_models(f"transformers/{path}", options)
    assert isinstance(model, StoppingLanguageModel)
    return model


def plain_t5(path: Path) -> tuple[Any, Any]:
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    return AutoTokenizer.from_pretrained(path), AutoModelForSeq2SeqLM.from_pretrained(path).eval()


def questions(n: int, seed: int = 4) -> list[str]:
    return [prompt(text, question(f, c)) for text in texts(n, seed) for f in FORMATS for c in CATEGORIES]


class RowCounter:
    """Counts the rows and tokens that a network reads."""

    def __init__(self, network: Any) -> None:
        self.rows = self.tokens = 0
        network.register_forward_pre_hook(self._count, with_kwargs=True)

    def _count(self, _: Any, __: Any, named: dict[str, Any]) -> None:
        self.rows += len(named["input_ids"])
        self.tokens += named["input_ids"].numel()


# Where an answer may end


@given(st.text("yesYESno .\n\t", max_size=6), st.text("yesYESno .\n\t", max_size=6))
def test_what_cannot_become_yes_never_does(start: str, rest: str) -> None:
    if is_yes(start + rest):
        assert not cannot_become_yes(start)


@pytest.mark.parametrize("start", ["", " ", "y", "Ye", "yes", "YES ", "\tyes\n"])
def test_what_may_become_yes_is_left_open(start: str) -> None:
    assert not cannot_become_yes(start)
    assert any(is_yes(start + rest) for rest in ("", "s", "es", "yes"))


@pytest.mark.parametrize("start", ["no", "yes.", "n", "yesterday", "a", "it is"])
def test_what_is_decided(start: str) -> None:
    assert cannot_become_yes(start)


# Encoder-decoder models


@pytest.fixture(params=["tiny-one", "judge-base"])
def t5(request: pytest.FixtureRequest, tiny_judges: dict[str, Path]) -> Path:
    return {**tiny_judges, **shipped_judges()}[request.param]


def test_votes_are_those_of_whole_answers(t5: Path) -> None:
    tokenizer, model = plain_t5(t5)
    asked = questions(3)
    whole = []
    for text in asked:
        output = model.generate(**tokenizer(text, return_tensors="pt"), do_sample=False, max_new_tokens=15)
        whole.append(tokenizer.decode(output[0], skip_special_tokens=True))
    found = load(t5).reply_until(asked, cannot_become_yes, max_new_tokens=15)
    assert [is_yes(reply.text or "") for reply in found] == [is_yes(answer) for answer in whole]
    assert all(answer.startswith(reply.text or "") for reply, answer in zip(found, whole, strict=True))
    assert 0 < sum(map(is_yes, whole)) < len(whole)
    assert [reply.text for reply in load(t5).reply(asked, max_new_tokens=15)] == whole


@pytest.mark.parametrize("padded", [False, True])
def test_first_tokens_are_those_of_the_model(t5: Path, padded: bool) -> None:
    tokenizer, model = plain_t5(t5)
    assert has_short_first_step(model)
    asked = sorted(questions(4), key=len)[:: 9 if padded else 1]
    asked = (
        asked if padded else [text for text in asked if len(tokenizer(text)["input_ids"]) == 40] or asked[:1]
    )
    encoded = tokenizer(asked, padding=True, return_tensors="pt")
    assert bool((encoded["attention_mask"] == 0).any()) is padded
    start = torch.zeros((len(asked), 1), dtype=torch.long)
    with torch.inference_mode():
        states = model.encoder(**encoded).last_hidden_state
        expected = model(**encoded, decoder_input_ids=start).logits[:, -1].argmax(-1)
        found = first_tokens(model, states, encoded["attention_mask"], 0)
    assert found.tolist() == expected.tolist()


def test_fused_kernels_compute_the_same(t5: Path) -> None:
    tokenizer, model = plain_t5(t5)
    encoded = tokenizer(questions(1)[:4], padding=True, return_tensors="pt")
    names = [type(module).__name__ for module in model.modules()]
    with torch.inference_mode():
        before = model.encoder(**encoded).last_hidden_state
        fuse(model)
        after = model.encoder(**encoded).last_hidden_state
    assert "T5LayerNorm" in names
    assert not any(
        type(module).__name__ in ("T5LayerNorm", "NewGELUActivation") for module in model.modules()
    )
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-5 * float(before.abs().max()))


def test_other_precisions_keep_their_own_kernels(t5: Path) -> None:
    _, model = plain_t5(t5)
    model = model.to(torch.bfloat16)
    fuse(model)
    assert any(type(module).__name__ == "T5LayerNorm" for module in model.modules())
    assert not has_short_first_step(model.to(torch.float16))


def test_an_equal_prompt_is_read_once(tiny_judges: dict[str, Path]) -> None:
    model: Any = load(tiny_judges["tiny-one"])
    asked = questions(1)[:6]
    model.reply(asked[:1], max_new_tokens=2)
    counter = RowCounter(model._loaded.model.encoder)
    replies = model.reply([*asked, *asked[::-1]], max_new_tokens=15)
    assert counter.rows == len(asked)
    assert replies[: len(asked)] == replies[len(asked) :][::-1]


def test_pieces_keep_the_order(tiny_judges: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    asked = questions(2)
    whole = load(tiny_judges["tiny-one"]).reply(asked, max_new_tokens=15)
    monkeypatch.setattr("eidolon.models.backends.text_loaded.PIECE", 7)
    assert load(tiny_judges["tiny-one"]).reply(asked, max_new_tokens=15) == whole
    assert len({reply.text for reply in whole}) > 1


# Causal models


def one_by_one(path: Path, asked: Sequence[str], tokens: int, chat: bool) -> list[str]:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(path), AutoModelForCausalLM.from_pretrained(path)
    found = []
    for text in asked:
        encoded = tokenizer(f"user: {text}\nassistant: " if chat else text, return_tensors="pt")
        output = model.generate(**encoded, do_sample=False, max_new_tokens=tokens)
        found.append(tokenizer.decode(output[0, encoded["input_ids"].shape[1] :], skip_special_tokens=True))
    return found


@pytest.mark.parametrize("chat", [True, False])
@pytest.mark.parametrize("batch_size", ["3", "64"])
def test_a_shared_prefix_changes_no_answer(chat: bool, batch_size: str, tmp_path: Path) -> None:
    path = save_llama(tmp_path, chat=chat)
    asked = questions(3)
    model: Any = load(path, batch_size=batch_size)
    found = model.reply(asked, max_new_tokens=6)
    assert [reply.text for reply in found] == one_by_one(path, asked, 6, chat)
    assert model._loaded._shares
    assert len({reply.text for reply in found}) > 3


def test_a_response_is_read_once_for_all_questions(tmp_path: Path) -> None:
    model: Any = load(save_llama(tmp_path))
    asked = [prompt("A dog stands on the grass. " * 20, question(f, c)) for f in FORMATS for c in CATEGORIES]
    model.reply(asked[:1], max_new_tokens=1)
    whole = sum(map(len, model._loaded._tokenise(asked)))
    counter = RowCounter(model._loaded.model)
    model.reply_until(asked, lambda _: True, max_new_tokens=15)
    assert counter.tokens * 8 < whole


def test_a_reply_ends_where_it_is_decided(tmp_path: Path) -> None:
    model: Any = load(save_llama(tmp_path))
    asked = questions(2)
    whole = model.reply(asked, max_new_tokens=6)
    cut = model.reply_until(asked, lambda text: len(text.split()) >= 2, max_new_tokens=6)
    assert all((a.text or "").startswith(b.text or "") for a, b in zip(whole, cut, strict=True))
    assert max(len((reply.text or "").split()) for reply in cut) == 2
    assert max(len((reply.text or "").split()) for reply in whole) > 2


def test_a_model_that_may_think_is_not_cut(tmp_path: Path) -> None:
    path = save_llama(tmp_path)
    save_tokenizer(path, "{# may think #}" + CHAT_TEMPLATE, end=False)
    asked = questions(1)[:5]
    whole = load(path).reply(asked, max_new_tokens=6)
    assert load(path).reply_until(asked, lambda _: True, max_new_tokens=6) == whole
    assert any(len((reply.text or "").split()) > 1 for reply in whole)


def save_mistral(folder: Path, window: int) -> Path:
    from transformers import MistralConfig, MistralForCausalLM

    torch.manual_seed(0)
    save_tokenizer(folder, None, end=False)
    config = MistralConfig(
        vocab_size=60, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, sliding_window=window, pad_token_id=0, bos_token_id=None, eos_token_id=1,
        initializer_range=0.4,
    )  # fmt: skip
    MistralForCausalLM(config).eval().save_pretrained(folder)
    return folder


def save_mamba(folder: Path) -> Path:
    from transformers import MambaConfig, MambaForCausalLM

    torch.manual_seed(0)
    save_tokenizer(folder, None, end=False)
    config = MambaConfig(
        vocab_size=60, hidden_size=32, state_size=4, num_hidden_layers=2, pad_token_id=0, bos_token_id=None,
        eos_token_id=1, initializer_range=0.4,
    )  # fmt: skip
    MambaForCausalLM(config).eval().save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    "save", [lambda folder: save_mistral(folder, 8), save_mamba], ids=["window", "mamba"]
)
def test_other_caches_are_not_shared(save: Any, tmp_path: Path) -> None:
    path = save(tmp_path)
    asked = questions(1)[:9]
    model: Any = load(path, batch_size="1")
    found = model.reply(asked, max_new_tokens=5)
    assert [reply.text for reply in found] == one_by_one(path, asked, 5, chat=False)
    assert model._loaded._shares is False


def test_a_model_that_reads_ahead_is_not_shared(tmp_path: Path) -> None:
    """Its first tokens depend on later ones, so that what was read of a prefix alone is not what a prompt gives."""
    model: Any = load(save_llama(tmp_path, chat=False))
    model.reply(["a dog"], max_new_tokens=1)
    network = model._loaded.model
    row = model._loaded._tokenise(["the dog stands on the grass and the cat"])[0]
    assert can_share(network, row)
    embed = network.model.embed_tokens
    embed.register_forward_hook(lambda _, __, output: output + output.mean(dim=1, keepdim=True))
    assert not can_share(network, row)


def test_prompts_of_any_shape_share_what_they_can(tmp_path: Path) -> None:
    """Equal rows, a row that begins another, and rows that share nothing."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(save_llama(tmp_path, chat=False)).eval()
    long = [5 + i % 30 for i in range(70)]
    rows = [long, long, long[:69], [*long, 7, 8], [9], [10, 11, 12], [*long[:40], 3], [*long[:40], 4], [9]]
    found = PrefixReader(model, [1], 2).answers(rows, 4, lambda _: False)
    for row, answer in zip(rows, found, strict=True):
        output = model.generate(torch.tensor([row]), do_sample=False, max_new_tokens=4)
        assert output[0, len(row) :].tolist() == answer
