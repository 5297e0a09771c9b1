"""Random checkpoints of many architectures, small enough to be made for a test.

Each is saved as its authors would save one: weights, configuration, tokenizer, processor and, where the original has
one, a chat template. What they say is noise, but noise that depends on all of the picture and of the prompt.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PAD, BEGIN, END = "<pad>", "<s>", "</s>"
SIDE = 28
"""Side in pixels of the image of a fixed-size vision tower, with patches of 7."""
TEXT = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "max_position_embeddings": 4096}
HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2}
VISION = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "image_size": SIDE,
    "patch_size": 7,
}
PATCHES = (SIDE // 7) ** 2
SPREAD = 0.2
"""Standard deviation of the weights. With 0.02, as before training, an image changes little."""


@dataclass(frozen=True)
class Architecture:
    """How to make a checkpoint, and what the backend should find in it."""

    name: str
    make: Callable[[Path], None]
    class_name: str
    torchvision: bool = False
    """Its processor does not load without torchvision."""
    chat_template: bool = True
    encoder_decoder: bool = False


def template(image: str, thinks: bool = False) -> str:
    """Return a chat template of the ChatML family that puts `image` in place of an image.

    One that `thinks` opens a thinking block, and closes it at once where `enable_thinking` is false.
    """
    closed = "{% if not enable_thinking | default(true) %}</think>\n{% endif %}"
    return (
        "{% for message in messages %}<|im_start|>{{ message.role }}\n"
        "{% for part in message.content %}"
        "{% if part.type == 'image' %}" + image + "{% else %}{{ part.text }}{% endif %}"
        "{% endfor %}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n"
        + (f"<think>\n{closed}" if thinks else "")
        + "{% endif %}"
    )


def make_tokenizer(*special: str, begins: bool = False, **named: str) -> Any:
    """Train a byte-level tokenizer on a few words; `special` and `named` tokens are single tokens."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    whole = [PAD, BEGIN, END, "<|im_start|>", "<|im_end|>", *special, *named.values()]
    whole = list(dict.fromkeys(whole))
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=[AddedToken(token, special=True, normalized=False) for token in whole],
        show_progress=False,
    )
    tokenizer.train_from_iterator(
        ["Describe this image in detail. What is in the image? user assistant"], trainer
    )
    if begins:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{BEGIN} $A", special_tokens=[(BEGIN, tokenizer.token_to_id(BEGIN))]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        bos_token=BEGIN,
        eos_token=END,
        extra_special_tokens=named or None,
    )


def ids(tokenizer: Any) -> dict[str, int]:
    """Return the token fields of a language model's configuration."""
    return {
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }


def image_processor(name: str, **settings: Any) -> Any:
    """Make an image processor, the one without torchvision if there is one."""
    import transformers

    kind = getattr(transformers, f"{name}Pil", None) or getattr(transformers, name)
    return kind(**settings)


def save(folder: Path, kind: str, config: Any, processor: Any) -> None:
    """Save a model of seeded random weights with its processor."""
    import torch
    import transformers

    transformers.set_seed(7)
    model = getattr(transformers, kind)(config)
    with torch.no_grad():
        for name, parameter in sorted(model.named_parameters()):
            if parameter.dim() > 1:
                parameter.normal_(0, SPREAD)
            elif "gate" in name.rsplit(".", 2)[-1]:  # Mllama's image gate starts closed
                parameter.fill_(1.0)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)


def square(name: str, **settings: Any) -> Any:
    """Make an image processor that gives SIDE x SIDE pixels."""
    return image_processor(name, size={"height": SIDE, "width": SIDE}, **settings)


def make_llava(folder: Path) -> None:
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaProcessor

    tokenizer = make_tokenizer("<image>", begins=True)
    processor = LlavaProcessor(
        image_processor(
            "CLIPImageProcessor", size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}
        ),
        tokenizer,
        patch_size=7,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=template("<image>\n"),
    )
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**VISION, projection_dim=32),
        text_config=LlamaConfig(**TEXT, **HEADS, **ids(tokenizer)),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_seq_length=PATCHES,
        vision_feature_layer=-2,
    )
    save(folder, "LlavaForConditionalGeneration", config, processor)


IDEFICS_TOKENS = (
    "<image>",
    "<fake_token_around_image>",
    "<global-img>",
    "<end_of_utterance>",
    *(f"<row_{row}_col_{column}>" for row in range(1, 5) for column in range(1, 5)),
)


def make_idefics3(folder: Path) -> None:
    """With tiles: a large image takes more tokens than a small one."""
    from transformers import Idefics3Config, Idefics3Processor

    tokenizer = make_tokenizer(*IDEFICS_TOKENS)
    processor = Idefics3Processor(
        image_processor(
            "Idefics3ImageProcessor", size={"longest_edge": 2 * SIDE}, max_image_size={"longest_edge": SIDE}
        ),
        tokenizer,
        image_seq_len=PATCHES // 4,
        chat_template=template("<image>"),
    )
    config = Idefics3Config(
        vision_config=VISION,
        text_config={"model_type": "llama", **TEXT, **HEADS, **ids(tokenizer)},
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        pad_token_id=tokenizer.pad_token_id,
        scale_factor=2,
    )
    save(folder, "Idefics3ForConditionalGeneration", config, processor)


def make_smolvlm(folder: Path) -> None:
    from transformers import SmolVLMConfig, SmolVLMProcessor, SmolVLMVideoProcessor

    tokenizer = make_tokenizer(*IDEFICS_TOKENS, "<video>")
    size = {"size": {"longest_edge": 2 * SIDE}, "max_image_size": {"longest_edge": SIDE}}
    processor = SmolVLMProcessor(
        image_processor("SmolVLMImageProcessor", **size),
        tokenizer,
        SmolVLMVideoProcessor(size={"longest_edge": SIDE}, max_image_size={"longest_edge": SIDE}),
        image_seq_len=PATCHES // 4,
        chat_template=template("<image>"),
    )
    config = SmolVLMConfig(
        vision_config=VISION,
        text_config={"model_type": "llama", **TEXT, **HEADS, **ids(tokenizer)},
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        pad_token_id=tokenizer.pad_token_id,
        scale_factor=2,
    )
    save(folder, "SmolVLMForConditionalGeneration", config, processor)


QWEN_TOKENS = {
    "image_token": "<|image_pad|>",
    "video_token": "<|video_pad|>",
    "vision_start_token": "<|vision_start|>",
    "vision_end_token": "<|vision_end|>",
}
QWEN_IMAGE = "<|vision_start|><|image_pad|><|vision_end|>"


def qwen_ids(tokenizer: Any) -> dict[str, int]:
    """Return the ids of the tokens around images."""
    return {f"{name}_id": tokenizer.convert_tokens_to_ids(token) for name, token in QWEN_TOKENS.items()}


def qwen_images(patch: int) -> Any:
    """Make Qwen's image processor: between 4 and 64 image tokens, by the image's size."""
    side = 2 * patch
    return image_processor(
        "Qwen2VLImageProcessor",
        patch_size=patch,
        merge_size=2,
        temporal_patch_size=2,
        size={"shortest_edge": 4 * side**2, "longest_edge": 64 * side**2},
    )


def make_qwen2_5_vl(folder: Path) -> None:
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLProcessor, Qwen2VLVideoProcessor

    tokenizer = make_tokenizer(**QWEN_TOKENS)
    processor = Qwen2_5_VLProcessor(
        qwen_images(7), tokenizer, Qwen2VLVideoProcessor(patch_size=7), chat_template=template(QWEN_IMAGE)
    )
    config = Qwen2_5_VLConfig(
        vision_config={
            "depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 4, "patch_size": 7,
            "out_hidden_size": 32, "window_size": 28, "fullatt_block_indexes": [1],
        },
        text_config={
            **TEXT, **HEADS, **ids(tokenizer),
            "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0},
        },
        **qwen_ids(tokenizer),
    )  # fmt: skip
    save(folder, "Qwen2_5_VLForConditionalGeneration", config, processor)


def make_qwen3_vl(folder: Path) -> None:
    from transformers import Qwen3VLConfig, Qwen3VLProcessor, Qwen3VLVideoProcessor

    tokenizer = make_tokenizer(**QWEN_TOKENS)
    processor = Qwen3VLProcessor(
        qwen_images(8), tokenizer, Qwen3VLVideoProcessor(patch_size=8), chat_template=template(QWEN_IMAGE)
    )
    config = Qwen3VLConfig(
        vision_config={
            "depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 4, "patch_size": 8,
            "out_hidden_size": 32, "num_position_embeddings": 64, "deepstack_visual_indexes": [0],
        },
        text_config={
            **TEXT, **HEADS, **ids(tokenizer), "head_dim": 8,
            "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0},
        },
        **qwen_ids(tokenizer),
    )  # fmt: skip
    save(folder, "Qwen3VLForConditionalGeneration", config, processor)


QWEN_VISION = {
    "depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 4, "patch_size": 8,
    "out_hidden_size": 32, "num_position_embeddings": 64,
}  # fmt: skip


def qwen_thinking_processor() -> tuple[Any, Any]:
    """Return tokenizer and processor of Qwen's hybrids, whose template has a thinking mode."""
    from transformers import Qwen3VLProcessor, Qwen3VLVideoProcessor

    tokenizer = make_tokenizer("<think>", "</think>", **QWEN_TOKENS)
    processor = Qwen3VLProcessor(
        qwen_images(8),
        tokenizer,
        Qwen3VLVideoProcessor(patch_size=8),
        chat_template=template(QWEN_IMAGE, thinks=True),
    )
    return tokenizer, processor


def make_qwen3_5(folder: Path) -> None:
    """Hybrid: three of four layers hold a recurrent state; its template has a thinking mode, on by default."""
    from transformers import Qwen3_5Config

    tokenizer, processor = qwen_thinking_processor()
    config = Qwen3_5Config(
        vision_config=QWEN_VISION,
        text_config={
            **TEXT, **HEADS, **ids(tokenizer), "head_dim": 8, "num_hidden_layers": 4,
            "linear_key_head_dim": 8, "linear_value_head_dim": 8,
            "linear_num_key_heads": 2, "linear_num_value_heads": 4,
            "rope_parameters": {
                "rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0,
                "partial_rotary_factor": 1.0, "mrope_interleaved": True,
            },
        },
        **qwen_ids(tokenizer),
    )  # fmt: skip
    save(folder, "Qwen3_5ForConditionalGeneration", config, processor)


def make_paligemma(folder: Path) -> None:
    """No chat template; prefix attention over image and prompt."""
    from transformers import PaliGemmaConfig, PaliGemmaProcessor

    tokenizer = make_tokenizer(image_token="<image>")
    processor = PaliGemmaProcessor(square("SiglipImageProcessor", image_seq_length=PATCHES), tokenizer)
    config = PaliGemmaConfig(
        vision_config={"model_type": "siglip_vision_model", **VISION, "vision_use_head": False},
        text_config={"model_type": "gemma", **TEXT, **HEADS, **ids(tokenizer), "head_dim": 8},
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        projection_dim=32,
        hidden_size=32,
    )
    save(folder, "PaliGemmaForConditionalGeneration", config, processor)


def make_gemma3(folder: Path) -> None:
    """Layers of sliding-window and of full attention in turn."""
    from transformers import Gemma3Config, Gemma3Processor

    tokenizer = make_tokenizer(
        image_token="<image_soft_token>", boi_token="<start_of_image>", eoi_token="<end_of_image>"
    )
    processor = Gemma3Processor(
        square("Gemma3ImageProcessor"),
        tokenizer,
        chat_template=template("<start_of_image>"),
        image_seq_length=4,
    )
    config = Gemma3Config(
        vision_config={**VISION, "vision_use_head": False},
        text_config={
            **TEXT, **HEADS, **ids(tokenizer), "head_dim": 8, "query_pre_attn_scalar": 8, "sliding_window": 8,
            "layer_types": ["sliding_attention", "full_attention"],
        },
        mm_tokens_per_image=4,
        image_token_index=tokenizer.convert_tokens_to_ids("<image_soft_token>"),
        boi_token_index=tokenizer.convert_tokens_to_ids("<start_of_image>"),
        eoi_token_index=tokenizer.convert_tokens_to_ids("<end_of_image>"),
    )  # fmt: skip
    save(folder, "Gemma3ForConditionalGeneration", config, processor)


def make_internvl(folder: Path) -> None:
    from transformers import InternVLConfig, InternVLProcessor, InternVLVideoProcessor

    tokenizer = make_tokenizer(
        start_image_token="<img>",
        end_image_token="</img>",
        context_image_token="<IMG_CONTEXT>",
        video_token="<video>",
    )
    images = {"size": {"height": SIDE, "width": SIDE}}
    processor = InternVLProcessor(
        image_processor(
            "GotOcr2ImageProcessor", **images, crop_to_patches=True, min_patches=1, max_patches=4
        ),
        tokenizer,
        InternVLVideoProcessor(**images),
        image_seq_length=PATCHES // 4,
        chat_template=template("<IMG_CONTEXT>\n"),
    )
    config = InternVLConfig(
        vision_config={**VISION, "image_size": [SIDE, SIDE], "patch_size": [7, 7]},
        text_config={"model_type": "qwen2", **TEXT, **HEADS, **ids(tokenizer)},
        image_token_id=tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=PATCHES // 4,
    )
    save(folder, "InternVLForConditionalGeneration", config, processor)


def make_lfm2_vl(folder: Path) -> None:
    """Hybrid: short convolutions and attention in turn."""
    from transformers import Lfm2VlConfig, Lfm2VlProcessor

    tiles = [f"<|img_row_{row}_col_{column}|>" for row in range(1, 5) for column in range(1, 5)]
    tokenizer = make_tokenizer(
        *tiles,
        image_token="<image>",
        image_start_token="<|image_start|>",
        image_end_token="<|image_end|>",
        image_thumbnail_token="<|img_thumbnail|>",
    )
    processor = Lfm2VlProcessor(
        image_processor(
            "Lfm2VlImageProcessor",
            encoder_patch_size=8,
            tile_size=32,
            min_image_tokens=1,
            max_image_tokens=4,
            max_tiles=4,
        ),
        tokenizer,
        chat_template=template("<image>"),
    )
    vision = {**VISION, "patch_size": 8, "num_patches": 16}
    del vision["image_size"]
    config = Lfm2VlConfig(
        vision_config={"model_type": "siglip2_vision_model", **vision, "vision_use_head": False},
        text_config={
            "model_type": "lfm2", **TEXT, **HEADS, **ids(tokenizer), "num_hidden_layers": 3,
            "layer_types": ["conv", "full_attention", "conv"], "block_multiple_of": 8,
        },
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        projector_hidden_size=32,
    )  # fmt: skip
    save(folder, "Lfm2VlForConditionalGeneration", config, processor)


def blip_parts() -> dict[str, Any]:
    """Return the vision tower and the bridge that the BLIP-2 family shares."""
    return {
        "vision_config": VISION,
        "qformer_config": {
            "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
            "encoder_hidden_size": 32, "vocab_size": 400, "hidden_dropout_prob": 0.0,
        },
        "num_query_tokens": 4,
    }  # fmt: skip


def opt(tokenizer: Any) -> dict[str, Any]:
    """Return the configuration of BLIP-2's decoder-only language model."""
    return {
        "model_type": "opt", **ids(tokenizer), "hidden_size": 32, "ffn_dim": 64, "num_hidden_layers": 2,
        "num_attention_heads": 4, "word_embed_proj_dim": 32, "max_position_embeddings": 512,
    }  # fmt: skip


def make_blip_2(folder: Path) -> None:
    """No chat template; its `generate` calls the language model's."""
    from transformers import Blip2Config, Blip2Processor

    tokenizer = make_tokenizer("<image>", begins=True)
    processor = Blip2Processor(square("BlipImageProcessor"), tokenizer, num_query_tokens=4)
    config = Blip2Config(
        **blip_parts(),
        text_config=opt(tokenizer),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
    )
    save(folder, "Blip2ForConditionalGeneration", config, processor)


def make_blip_2_t5(folder: Path) -> None:
    """As `make_blip_2`, with an encoder-decoder."""
    from transformers import Blip2Config, Blip2Processor

    tokenizer = make_tokenizer("<image>")
    processor = Blip2Processor(square("BlipImageProcessor"), tokenizer, num_query_tokens=4)
    config = Blip2Config(
        **blip_parts(),
        text_config={
            "model_type": "t5", **ids(tokenizer), "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2,
            "num_heads": 4, "decoder_start_token_id": tokenizer.pad_token_id,
        },
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
    )  # fmt: skip
    save(folder, "Blip2ForConditionalGeneration", config, processor)


def make_instructblip(folder: Path) -> None:
    """No chat template; its bridge reads the prompt too, with another tokenizer."""
    from transformers import InstructBlipConfig, InstructBlipProcessor

    tokenizer = make_tokenizer("<image>", begins=True)
    processor = InstructBlipProcessor(
        square("BlipImageProcessor"), tokenizer, make_tokenizer(), num_query_tokens=4
    )
    config = InstructBlipConfig(
        **blip_parts(),
        text_config=opt(tokenizer),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
    )
    save(folder, "InstructBlipForConditionalGeneration", config, processor)


def make_mllama(folder: Path) -> None:
    """Images are read by cross-attention, not as tokens."""
    from transformers import MllamaConfig, MllamaProcessor

    tokenizer = make_tokenizer("<|image|>", "<|python_tag|>")
    processor = MllamaProcessor(
        square("MllamaImageProcessor", max_image_tiles=4), tokenizer, chat_template=template("<|image|>")
    )
    config = MllamaConfig(
        vision_config={
            "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_global_layers": 1,
            "attention_heads": 4, "image_size": SIDE, "patch_size": 7, "max_num_tiles": 4,
            "intermediate_layers_indices": [0], "vision_output_dim": 64,
        },
        text_config={
            **TEXT, **HEADS, **ids(tokenizer), "num_hidden_layers": 3, "cross_attention_layers": [1],
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
        },
        image_token_index=tokenizer.convert_tokens_to_ids("<|image|>"),
    )  # fmt: skip
    save(folder, "MllamaForConditionalGeneration", config, processor)


def make_florence2(folder: Path) -> None:
    """Encoder-decoder; no chat template."""
    from transformers import Florence2Config, Florence2Processor

    tokenizer = make_tokenizer(image_token="<image>")
    processor = Florence2Processor(
        image_processor(
            "CLIPImageProcessor", size={"height": 64, "width": 64}, do_center_crop=False, image_seq_length=5
        ),
        tokenizer,
    )
    config = Florence2Config(
        vision_config={
            "depths": [1, 1, 1, 1], "embed_dim": [8, 16, 16, 32], "num_heads": [1, 2, 2, 4], "num_groups": [1, 2, 2, 4],
            "window_size": 4, "projection_dim": 32, "drop_path_rate": 0.0,
        },
        text_config={
            "model_type": "bart", **ids(tokenizer), "d_model": 32, "encoder_layers": 2, "decoder_layers": 2,
            "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "encoder_attention_heads": 4, "decoder_attention_heads": 4,
            "max_position_embeddings": 512, "decoder_start_token_id": tokenizer.eos_token_id,
        },
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        **{name: value for name, value in ids(tokenizer).items() if name != "vocab_size"},
    )  # fmt: skip
    save(folder, "Florence2ForConditionalGeneration", config, processor)


ARCHITECTURES = (
    Architecture("llava", make_llava, "LlavaForConditionalGeneration"),
    Architecture("idefics3", make_idefics3, "Idefics3ForConditionalGeneration"),
    Architecture("smolvlm", make_smolvlm, "SmolVLMForConditionalGeneration", torchvision=True),
    Architecture("qwen2_5_vl", make_qwen2_5_vl, "Qwen2_5_VLForConditionalGeneration", torchvision=True),
    Architecture("qwen3_vl", make_qwen3_vl, "Qwen3VLForConditionalGeneration", torchvision=True),
    Architecture("qwen3_5", make_qwen3_5, "Qwen3_5ForConditionalGeneration", torchvision=True),
    Architecture("paligemma", make_paligemma, "PaliGemmaForConditionalGeneration", chat_template=False),
    Architecture("gemma3", make_gemma3, "Gemma3ForConditionalGeneration"),
    Architecture("internvl", make_internvl, "InternVLForConditionalGeneration", torchvision=True),
    Architecture("lfm2_vl", make_lfm2_vl, "Lfm2VlForConditionalGeneration", torchvision=True),
    Architecture("blip_2", make_blip_2, "Blip2ForConditionalGeneration", chat_template=False),
    Architecture(
        "blip_2_t5",
        make_blip_2_t5,
        "Blip2ForConditionalGeneration",
        chat_template=False,
        encoder_decoder=True,
    ),
    Architecture(
        "instructblip", make_instructblip, "InstructBlipForConditionalGeneration", chat_template=False
    ),
    Architecture("mllama", make_mllama, "MllamaForConditionalGeneration"),
    Architecture(
        "florence2",
        make_florence2,
        "Florence2ForConditionalGeneration",
        chat_template=False,
        encoder_decoder=True,
    ),
)
BY_NAME = {architecture.name: architecture for architecture in ARCHITECTURES}
