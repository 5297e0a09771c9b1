import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from eidolon.models.generation.generated_text import split_reasoning, token_ends


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<end>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["a red cup and a red clock"] * 3, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>")


@pytest.mark.parametrize("text", ["a red cup", "", " a clock 🐈 on a café's wall", "日本語"])
def test_each_token_ends_where_its_characters_end(tokenizer: PreTrainedTokenizerFast, text: str) -> None:
    tokens = tokenizer(text)["input_ids"]
    ends = token_ends(tokenizer, tokens, text)
    assert ends is not None
    assert list(ends) == sorted(ends)
    for i in range(len(tokens)):
        whole = tokenizer.decode(tokens[: i + 1])
        if "\ufffd" not in whole:  # the naive twin: decode every prefix with whole characters
            assert ends[i] == len(whole)


def test_a_special_token_has_the_offset_of_the_token_before(tokenizer: PreTrainedTokenizerFast) -> None:
    tokens = [*tokenizer("a cup")["input_ids"], tokenizer.eos_token_id]
    ends = token_ends(tokenizer, tokens, "a cup")
    assert ends is not None
    assert ends[-1] == ends[-2] == 5


def test_ends_are_unknown_for_another_text(tokenizer: PreTrainedTokenizerFast) -> None:
    assert token_ends(tokenizer, tokenizer("a cup")["input_ids"], "two cups") is None


@pytest.mark.parametrize(
    ("generated", "answer", "reasoning"),
    [
        (" A cup. ", "A cup.", None),
        ("<think>Is it a cup?</think>\n\nA cup.", "A cup.", "Is it a cup?"),
        ("Is it a cup?\n</think>A cup.", "A cup.", "Is it a cup?"),
        ("<think>Is it a", "", "Is it a"),
        ("<think></think>", "", ""),
        ("", "", None),
    ],
)
def test_thinking_is_kept_apart(generated: str, answer: str, reasoning: str | None) -> None:
    split = split_reasoning(generated)
    assert (split.text, split.reasoning) == (answer, reasoning)
    assert generated[split.start : split.start + len(split.text)] == split.text


@pytest.mark.parametrize(
    ("generated", "answer", "reasoning"),
    [
        ("Is it a cup?\n</think>A cup.", "A cup.", "Is it a cup?"),
        ("Is it a cup, or", "", "Is it a cup, or"),
        ("", "", ""),
    ],
)
def test_the_prompt_may_have_opened_the_thinking(generated: str, answer: str, reasoning: str) -> None:
    split = split_reasoning(generated, opened=True)
    assert (split.text, split.reasoning) == (answer, reasoning)
    assert generated[split.start : split.start + len(split.text)] == split.text


def test_token_ends_move_with_the_answer() -> None:
    split = split_reasoning("<think>hm</think> A cup.")
    assert split.start == 18
    assert split.shift([9, 17, 19, 23, 24]) == (0, 0, 1, 5, 6)
