"""Tiny T5 models: the collator's targets, learning, and loading with plain transformers."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer, PreTrainedTokenizerFast

from eidolon.models.training.t5 import (
    IGNORED,
    QuestionTrainee,
    ReadingSample,
    T5Architecture,
    collate,
    make_t5,
    make_tokenizer,
)

TINY = T5Architecture(width=32, inner=32, encoder_layers=1, vocabulary=300)
TEXT = "Text: I see a cat and a cup.\n\nIs there a cat?"
YES = ReadingSample(TEXT, "yes", (6, 28), [(14, 17), (24, 27)], [(14, 17)])
NO = ReadingSample("Text: I see a cup.\n\nIs there a cat?", "no", (6, 18), [(14, 17)])


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return make_tokenizer([YES.prompt, NO.prompt, "yes", "no"] * 4, TINY.vocabulary)


def test_claims_and_evidence_are_marked_at_the_named_tokens_of_the_text(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    batch = collate(tokenizer, [YES, NO])

    def marked(name: str, row: int) -> dict[int, str]:
        ids = batch["input_ids"][row]
        return {value: tokenizer.decode(ids[batch[name][row] == value]).strip() for value in (1, 0, IGNORED)}

    assert marked("claims", 0)[1].split() == ["cat", "cup"]
    assert marked("evidence", 0)[1] == "cat"
    assert marked("evidence", 0)[0] == "I see a and a cup."
    assert "Is there a cat?" in marked("evidence", 0)[IGNORED]
    assert (marked("claims", 1)[1], marked("evidence", 1)[1]) == ("cup", "")
    assert [tokenizer.decode(row[row != IGNORED]) for row in batch["labels"]] == ["yes</s>", "no</s>"]


def test_padding_changes_no_loss(tokenizer: PreTrainedTokenizerFast) -> None:
    reader = QuestionTrainee(make_t5(TINY, tokenizer, seed=0))
    one, two = (reader(collate(tokenizer, [s]), 0.5, 2.0) for s in (YES, NO))
    both = reader(collate(tokenizer, [YES, NO]), 0.5, 2.0)
    for name in ("claims", "evidence"):
        assert both[name].item() == pytest.approx((one[name] + two[name]).item() / 2, rel=1e-4)
    total = both["answer"] + 0.5 * both["claims"] + 2.0 * both["evidence"]
    assert both["total"].item() == pytest.approx(total.item(), rel=1e-6)


def test_it_learns_to_distinguish_two_texts_and_loads_with_plain_transformers(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    model = make_t5(TINY, tokenizer, seed=0)
    reader = QuestionTrainee(model)
    optimizer = torch.optim.Adam(reader.parameters(), lr=3e-3)
    batch = collate(tokenizer, [YES, NO])
    for _ in range(200):
        optimizer.zero_grad()
        reader(batch, 0.1, 0.3)["total"].backward()
        optimizer.step()
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoModelForSeq2SeqLM.from_pretrained(tmp_path).eval()
    words = AutoTokenizer.from_pretrained(tmp_path)
    answers = [
        words.decode(
            loaded.generate(**words(s.prompt, return_tensors="pt"), max_new_tokens=5)[0],
            skip_special_tokens=True,
        )
        for s in (YES, NO)
    ]
    assert answers == ["yes", "no"]


def test_keys_start_equal_to_the_queries(tokenizer: PreTrainedTokenizerFast) -> None:
    model = make_t5(TINY, tokenizer, seed=3)
    attention = model.encoder.block[0].layer[0].SelfAttention
    assert torch.allclose(attention.k.weight, attention.q.weight * 32**0.5)
    again = make_t5(TINY, tokenizer, seed=3)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
