"""Tiny language models made on the spot: a T5 that says yes and no, and a random Llama with a template."""

from pathlib import Path
from random import Random

from eidolon.scorers.judges.throne_questions import FORMATS, prompt, question

WORDS = (
    "dog", "cat", "cup", "car", "apple", "bench", "skis", "necktie", "the", "a", "an", "and", "stands", "on",
    "grass", "text", "read", "answer", "question", "please", "yes", "or", "no", "is", "there", "are", "in",
    "this", "image", "does", "imply", "give", "evidence", "for", "being", "present", "explicitly", "mention",
    "user", "assistant", "unanswerable", ".", ":", "?", ",",
)  # fmt: skip
CATEGORIES = ("dog", "cat", "cup", "car", "apple", "bench", "skis", "tie")
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)


def save_tokenizer(folder: Path, chat_template: str | None = None, end: bool = True) -> None:
    """Save a tokenizer of whole words, everything else being unknown; `end` puts `</s>` after each text."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: i for i, word in enumerate(("<pad>", "</s>", "<unk>", *WORDS))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    if end:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="$A </s>", special_tokens=[("</s>", 1)]
        )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )
    fast.chat_template = chat_template
    fast.save_pretrained(folder)


def save_t5(folder: Path, *, width: int = 32, seed: int = 0) -> Path:
    """Save a random T5 that answers one word and stops.

    Where its first decoded state varies most between questions it says yes or no, and where it varies next most
    something else: sense it has none, but its answers depend on all of the prompt.
    """
    import torch
    from transformers import AutoTokenizer, T5Config, T5ForConditionalGeneration

    torch.manual_seed(seed)
    save_tokenizer(folder)
    config = T5Config(
        vocab_size=len(WORDS) + 3, d_model=width, d_kv=width // 2, d_ff=2 * width, num_layers=2,
        num_decoder_layers=2, num_heads=2, dropout_rate=0.0, decoder_start_token_id=0, pad_token_id=0,
        eos_token_id=1,
    )  # fmt: skip
    model = T5ForConditionalGeneration(config).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    words = ("yes", "no", "unanswerable")
    yes, no, other = (tokenizer.convert_tokens_to_ids(word) for word in words)
    prompts = [prompt(t, question(f, c)) for t in texts(8, seed) for f in FORMATS for c in CATEGORIES[::2]]
    encoded = tokenizer(prompts, padding=True, return_tensors="pt")
    start = torch.zeros((len(prompts), 1), dtype=torch.long)
    with torch.inference_mode():
        # The words are in the prompts too, so what they become moves the states a little.
        for _ in range(4):
            states = model(**encoded, decoder_input_ids=start, output_hidden_states=True)
            states = states.decoder_hidden_states[-1][:, 0]
            mean = states.mean(dim=0)
            main, second = torch.linalg.svd(states - mean, full_matrices=False).Vh[:2]
            main, second = (v - mean * (v @ mean) / (mean @ mean) for v in (main, second))
            # The input embedding is the output layer too; far from zero, these words are all it says.
            for word, direction in ((yes, main), (no, -main), (other, second)):
                model.shared.weight[word] = 1000 * direction
    model.generation_config.eos_token_id = [1, yes, no, other]
    model.save_pretrained(folder)
    return folder


def save_llama(folder: Path, *, chat: bool = True, seed: int = 0) -> Path:
    """Save a random Llama of 256 positions."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    save_tokenizer(folder, CHAT_TEMPLATE if chat else None, end=False)
    config = LlamaConfig(
        vocab_size=len(WORDS) + 3, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=2, max_position_embeddings=256, pad_token_id=0, bos_token_id=None, eos_token_id=1,
        initializer_range=0.4,
    )  # fmt: skip
    LlamaForCausalLM(config).eval().save_pretrained(folder)
    return folder


def texts(n: int, seed: int) -> list[str]:
    """Write texts of several lengths that name some of the objects."""
    rng = Random(seed)
    written = []
    for _ in range(n):
        named = rng.sample(
            ("dog", "cat", "cup", "car", "apple", "bench", "skis", "necktie"), rng.randint(1, 4)
        )
        written.append(" ".join(f"A {name} stands on the grass." for name in named))
    return written
