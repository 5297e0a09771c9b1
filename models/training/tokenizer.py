"""Tokenizers for small models, trained on their own texts."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


def train_bpe(
    texts: Iterable[str],
    vocabulary: int,
    *,
    pad: str,
    end: str,
    others: Sequence[str] = (),
    padding_side: Literal["left", "right"],
    append_end: bool = False,
) -> "PreTrainedTokenizerFast":
    """Return a trained byte-level BPE tokenizer. It encodes any text; a word of the training texts is mostly one token.

    Special tokens get the first ids: `pad` 0, `end` 1, then `others`. `append_end` ends every encoded text.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[pad, end, *others],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    if append_end:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"$A {end}", special_tokens=[(end, tokenizer.token_to_id(end))]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=pad,
        eos_token=end,
        additional_special_tokens=list(others),
        padding_side=padding_side,
        clean_up_tokenization_spaces=False,
        model_max_length=10**9,
    )
