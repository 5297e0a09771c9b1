"""Times language models as judges against the published loop: batches of 32 prompts in order, all tokens of an answer.

    OMP_NUM_THREADS=1 python bench/judge_speed.py [--responses 4] [--pairs 5] [--json FILE] [--only t5-small]

Each model answers the questions of THRONE's three default formats on the 80 categories of COCO about each response.
The shipped judges are trained; their votes are compared. `t5-small` and `llama` are random models, the first of that
shape, the second narrow. They get two tokens for an answer, as many as a trained model needs: a word and its end. Their
texts are compared.
"""

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from pairs import PAIRS, compare, show

from eidolon.benchmark.study.training.judge_evaluation import description_questions
from eidolon.models.backends.text_models import language_models
from eidolon.models.base.shipped import shipped_judges
from eidolon.scorers.core.language_model import StoppingLanguageModel
from eidolon.scorers.judges.throne_questions import ANSWER_TOKENS, DEFAULT_FORMATS, prompt, question
from eidolon.scorers.judges.votes import cannot_become_yes, is_yes
from eidolon.scorers.text.lexicon import load_lexicon

BATCH = 32
WORD_AND_END = 2
T5_SMALL = {
    "d_model": 512, "d_kv": 64, "d_ff": 1024, "num_layers": 8, "num_decoder_layers": 8, "num_heads": 6,
    "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False, "decoder_start_token_id": 0,
    "vocab_size": 32128,
}  # fmt: skip
LLAMA = {
    "hidden_size": 384, "intermediate_size": 1024, "num_hidden_layers": 8, "num_attention_heads": 6,
    "vocab_size": 32000, "max_position_embeddings": 2048, "pad_token_id": 0, "eos_token_id": 1,
}  # fmt: skip


def prompts_about(responses: int) -> list[str]:
    """Return the questions about the longest of 300 descriptions of Scenes, response by response."""
    texts = sorted(dict.fromkeys(asked.text for asked in description_questions(300, 1)), key=len)
    categories = load_lexicon("coco80").vocabulary
    return [
        prompt(text, question(f, category))
        for text in texts[-responses:]
        for f in DEFAULT_FORMATS
        for category in categories
    ]


def published(tokenizer: Any, model: Any, prompts: Sequence[str], new_tokens: int) -> list[str]:
    """Answer as the published loop does."""
    answers: list[str] = []
    for start in range(0, len(prompts), BATCH):
        encoded = tokenizer(list(prompts[start : start + BATCH]), padding=True, return_tensors="pt")
        with torch.no_grad():
            output = model.generate(
                input_ids=encoded["input_ids"],
                attention_mask=encoded["attention_mask"],
                do_sample=False,
                max_new_tokens=new_tokens,
            )
        skip = 1 if model.config.is_encoder_decoder else encoded["input_ids"].shape[1]
        answers += tokenizer.batch_decode(output[:, skip:], skip_special_tokens=True)
    return answers


def random_model(kind: str, folder: Path) -> Path:
    """Save a random model with a shipped judge's tokenizer."""
    from transformers import (
        AutoTokenizer,
        LlamaConfig,
        LlamaForCausalLM,
        T5Config,
        T5ForConditionalGeneration,
    )

    torch.manual_seed(0)
    AutoTokenizer.from_pretrained(next(iter(shipped_judges().values()))).save_pretrained(folder)
    model: Any = (
        T5ForConditionalGeneration(T5Config(**T5_SMALL))
        if kind == "t5-small"
        else LlamaForCausalLM(LlamaConfig(**LLAMA))
    )
    model.eval().save_pretrained(folder)
    return folder


def measure(name: str, path: Path, responses: int, pairs: int, least: float) -> dict[str, Any]:
    """Return the comparison of one model."""
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, AutoTokenizer
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    (ours,) = language_models(f"transformers/{path}", {})
    assert isinstance(ours, StoppingLanguageModel)
    tokenizer = AutoTokenizer.from_pretrained(path, padding_side="left" if name == "llama" else "right")
    loader: Any = AutoModelForCausalLM if name == "llama" else AutoModelForSeq2SeqLM
    theirs = loader.from_pretrained(path).eval()
    prompts = prompts_about(responses)
    trained = name not in ("t5-small", "llama")
    tokens = ANSWER_TOKENS if trained else WORD_AND_END
    if name == "llama":

        def fast() -> list[Any]:
            return [reply.text for reply in ours.reply(prompts, max_new_tokens=tokens)]
    elif trained:

        def fast() -> list[Any]:
            found = ours.reply_until(prompts, cannot_become_yes, max_new_tokens=tokens)
            return [is_yes(reply.text or "") for reply in found]
    else:  # each first token settles the vote

        def fast() -> list[Any]:
            return [reply.text for reply in ours.reply_until(prompts, lambda _: True, max_new_tokens=tokens)]

    def plain() -> list[Any]:
        found = published(tokenizer, theirs, prompts, tokens)
        return [is_yes(answer) for answer in found] if trained else found

    def same(a: list[Any], b: list[Any]) -> bool:
        return all(x.startswith(y) for x, y in zip(a, b, strict=True)) if name == "t5-small" else a == b

    found = compare(f"{name}, {len(prompts)} questions", plain, fast, pairs=pairs, same=same, least=least)
    found["questions"] = len(prompts)
    return found


def main() -> None:
    """Print a line for each model."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--responses", type=int, default=4, help="about which a shipped judge is asked")
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", help="one model: a shipped judge, t5-small or llama")
    given = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in (*shipped_judges(), "t5-small", "llama"):
            if given.only in (None, name):
                path = shipped_judges().get(name) or random_model(name, Path(folder) / name)
                responses = 1 if name in ("t5-small", "llama") else given.responses
                rows.append(measure(name, path, responses, given.pairs, 8.0 if name == "llama" else 1.5))
    show(rows, given.json)


if __name__ == "__main__":
    main()
