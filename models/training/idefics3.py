"""Tiny Idefics3 models from scratch: configuration, tokenizer and processor.

The result is an ordinary transformers checkpoint: `AutoProcessor` and `AutoModelForImageTextToText` load it.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from eidolon.models.training.tokenizer import train_bpe

if TYPE_CHECKING:
    from transformers import Idefics3ForConditionalGeneration, Idefics3Processor, PreTrainedTokenizerFast

PAD, IMAGE, FAKE_IMAGE, GLOBAL_IMAGE, END = (
    "<pad>",
    "<image>",
    "<fake_token_around_image>",
    "<global-img>",
    "<end_of_utterance>",
)
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] | capitalize }}:"
    "{% if message['content'] is string %}{{ ' ' + message['content'] }}{% else %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<image>' }}{% else %}{{ ' ' + part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}{{ '<end_of_utterance>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)


class Architecture(BaseModel):
    """Sizes of a tiny Idefics3. Attention heads are 32 wide, the least that vLLM's CPU kernels support."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    image_size: int = Field(96, ge=16)
    patch_size: int = Field(8, ge=2)
    pixel_shuffle: int = Field(2, ge=1)
    """Side of the square of patches that the connector merges into one image token."""
    vision_width: int = Field(96, ge=32, multiple_of=32)
    vision_layers: int = Field(4, ge=1)
    text_width: int = Field(160, ge=32, multiple_of=32)
    text_layers: int = Field(4, ge=1)
    text_inner: int = Field(448, ge=32)
    """Width of the text model's gated feed-forward layer."""
    vocabulary: int = Field(1024, ge=300)
    max_positions: int = Field(4096, ge=64)

    @model_validator(mode="after")
    def _divisible(self) -> "Architecture":
        if self.image_size % (self.patch_size * self.pixel_shuffle):
            raise ValueError(
                f"image_size={self.image_size} is not a multiple of patch_size*pixel_shuffle="
                f"{self.patch_size * self.pixel_shuffle}"
            )
        return self

    @property
    def grid(self) -> int:
        """Image tokens per side."""
        return self.image_size // (self.patch_size * self.pixel_shuffle)


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> "PreTrainedTokenizerFast":
    """Return a trained tokenizer with the special tokens of Idefics3 and padding on the left, for generation."""
    return train_bpe(
        texts, vocabulary, pad=PAD, end=END, others=(IMAGE, FAKE_IMAGE, GLOBAL_IMAGE), padding_side="left"
    )


def make_processor(architecture: Architecture, tokenizer: "PreTrainedTokenizerFast") -> "Idefics3Processor":
    """Return the processor: one square view per image, no tiling."""
    from transformers import Idefics3ImageProcessorPil, Idefics3Processor

    side = {"longest_edge": architecture.image_size}
    image_processor = Idefics3ImageProcessorPil(
        size=side,
        max_image_size=side,
        do_image_splitting=False,
        do_resize=True,
        do_normalize=True,
        image_mean=[0.5, 0.5, 0.5],
        image_std=[0.5, 0.5, 0.5],
    )
    return Idefics3Processor(
        image_processor,
        tokenizer,
        image_seq_len=architecture.grid**2,
        chat_template=CHAT_TEMPLATE,
    )


def make_model(
    architecture: Architecture, tokenizer: "PreTrainedTokenizerFast", seed: int
) -> "Idefics3ForConditionalGeneration":
    """Return the model with seeded random weights."""
    from transformers import Idefics3Config, Idefics3ForConditionalGeneration, set_seed

    def id_of(token: str) -> Any:
        return tokenizer.convert_tokens_to_ids(token)

    set_seed(seed)
    config = Idefics3Config(
        image_token_id=id_of(IMAGE),
        pad_token_id=id_of(PAD),
        tie_word_embeddings=True,
        scale_factor=architecture.pixel_shuffle,
        vision_config={
            "hidden_size": architecture.vision_width,
            "intermediate_size": 3 * architecture.vision_width,
            "num_hidden_layers": architecture.vision_layers,
            "num_attention_heads": architecture.vision_width // 32,
            "image_size": architecture.image_size,
            "patch_size": architecture.patch_size,
        },
        text_config={
            "model_type": "llama",
            "vocab_size": len(tokenizer),
            "hidden_size": architecture.text_width,
            "intermediate_size": architecture.text_inner,
            "num_hidden_layers": architecture.text_layers,
            "num_attention_heads": architecture.text_width // 32,
            "num_key_value_heads": architecture.text_width // 32,
            "head_dim": 32,
            "max_position_embeddings": architecture.max_positions,
            "pad_token_id": id_of(PAD),
            "bos_token_id": None,
            "eos_token_id": id_of(END),
            "tie_word_embeddings": True,
        },
    )
    model = Idefics3ForConditionalGeneration(config)
    model.generation_config.eos_token_id = id_of(END)
    model.generation_config.pad_token_id = id_of(PAD)
    return model
