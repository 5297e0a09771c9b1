"""Random checkpoints of the hybrid families that the installed transformers has, beside those of `tiny_checkpoints`.

Their layers hold recurrent states (gated delta rule, Mamba2, linear attention), among layers of attention. All their
processors need torchvision.
"""

from pathlib import Path
from typing import Any

from tests.models.tiny_checkpoints import (
    ARCHITECTURES,
    HEADS,
    QWEN_VISION,
    SIDE,
    TEXT,
    Architecture,
    ids,
    image_processor,
    make_tokenizer,
    qwen_ids,
    qwen_thinking_processor,
    save,
    template,
)

DELTA = {
    "num_hidden_layers": 4,
    "head_dim": 8,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
}
"""Sizes of the gated delta rule in Qwen's hybrids: three layers of it, and one of attention."""
ROPE = {
    "rope_type": "default",
    "mrope_section": [1, 1, 2],
    "rope_theta": 10000.0,
    "partial_rotary_factor": 1.0,
    "mrope_interleaved": True,
}


def make_qwen4_exp(folder: Path) -> None:
    """Gated delta rule, experts, and several residual streams."""
    from transformers import Qwen4ExpConfig

    tokenizer, processor = qwen_thinking_processor()
    config = Qwen4ExpConfig(
        vision_config=QWEN_VISION,
        text_config={
            "hidden_size": 32, "max_position_embeddings": 4096, **HEADS, **ids(tokenizer), **DELTA,
            "rope_parameters": ROPE, "moe_intermediate_size": 32, "shared_expert_intermediate_size": 32,
            "num_experts": 4, "num_experts_per_tok": 2, "hc_count": 2, "hc_lowrank": 8,
            "indexer_n_heads": 2, "indexer_kv_heads": 1, "indexer_head_dim": 8, "indexer_budget": 256,
            "indexer_compress_ratio": 4,
        },
        **qwen_ids(tokenizer),
    )  # fmt: skip
    save(folder, "Qwen4ExpForConditionalGeneration", config, processor)


GLM_IMAGE = "<|begin_of_image|><|image|><|end_of_image|>"


def make_glm5_next(folder: Path) -> None:
    """Linear attention with a gate for each channel, and latent attention with an indexer."""
    from transformers import Glm5NextConfig, Glm5NextProcessor, Glm5NextVideoProcessor

    around = ("<|begin_of_image|>", "<|end_of_image|>", "<|begin_of_video|>", "<|end_of_video|>")
    tokenizer = make_tokenizer(*around, image_token="<|image|>", video_token="<|video|>")
    images = image_processor(
        "Glm5NextImageProcessor", patch_size=7, size={"shortest_edge": 4, "longest_edge": 64}
    )
    processor = Glm5NextProcessor(
        images, tokenizer, Glm5NextVideoProcessor(patch_size=7), chat_template=template(GLM_IMAGE)
    )
    names = ("image_start", "image_end", "video_start", "video_end")
    tokens = {
        f"{name}_token_id": tokenizer.convert_tokens_to_ids(token)
        for name, token in zip(names, around, strict=True)
    }
    config = Glm5NextConfig(
        vision_config={
            "depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 4, "patch_size": 7,
            "image_size": SIDE, "out_hidden_size": 32, "projection_intermediate_size": 64,
        },
        text_config={
            "hidden_size": 32, "intermediate_size": 64, "moe_intermediate_size": 32, "num_hidden_layers": 4,
            "num_attention_heads": 4, "num_key_value_heads": 4, "n_routed_experts": 4, "num_experts_per_tok": 2,
            "kv_lora_rank": 8, "q_lora_rank": 8, "qk_nope_head_dim": 8, "v_head_dim": 8,
            "index_topk": 256, "index_head_dim": 8, "index_n_heads": 2, "index_kpool": 4,
            "linear_head_dim": 8, "linear_num_heads": 4, "hc_mult": 2, "max_position_embeddings": 4096,
            **ids(tokenizer),
        },
        image_token_id=tokenizer.convert_tokens_to_ids("<|image|>"),
        video_token_id=tokenizer.convert_tokens_to_ids("<|video|>"),
        **tokens,
    )  # fmt: skip
    save(folder, "Glm5NextForConditionalGeneration", config, processor)


MINICPM_TOKENS = {
    "image_token": "<|image_pad|>",
    "video_token": "<|video_pad|>",
    "image_start_token": "<image>",
    "image_end_token": "</image>",
    "slice_start_token": "<slice>",
    "slice_end_token": "</slice>",
    "image_id_start_token": "<image_id>",
    "image_id_end_token": "</image_id>",
}


def minicpm(version: str) -> tuple[Any, Any, dict[str, Any]]:
    """Return tokenizer, processor and the fields of the configuration that both versions have."""
    import transformers

    tokenizer = make_tokenizer("\n", **MINICPM_TOKENS)
    images = image_processor("MiniCPMV4_6ImageProcessor", patch_size=8, scale_resolution=64, max_slice_nums=2)
    videos = transformers.MiniCPMV4_6VideoProcessor(patch_size=8, scale_resolution=64)
    kind = getattr(transformers, f"MiniCPMV{version}Processor")
    processor = kind(images, videos, tokenizer, chat_template=template("<|image_pad|>\n"))
    fields = {
        "vision_config": {
            "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
            "image_size": 64, "patch_size": 8,
        },
        "text_config": {
            "model_type": "qwen3_5_text", **TEXT, **HEADS, **ids(tokenizer), **DELTA, "rope_parameters": ROPE,
        },
        "insert_layer_id": 0,
        "image_size": 64,
        "image_token_id": tokenizer.convert_tokens_to_ids("<|image_pad|>"),
        "video_token_id": tokenizer.convert_tokens_to_ids("<|video_pad|>"),
    }  # fmt: skip
    return tokenizer, processor, fields


def make_minicpmv4_6(folder: Path) -> None:
    """The language model of Qwen3.5, with slices of the image."""
    from transformers import MiniCPMV4_6Config

    _, processor, fields = minicpm("4_6")
    save(folder, "MiniCPMV4_6ForConditionalGeneration", MiniCPMV4_6Config(**fields), processor)


def make_minicpmv4_7(folder: Path) -> None:
    """As 4.6, with positions on the canvas of the whole image."""
    from transformers import MiniCPMV4_7Config

    tokenizer, processor, fields = minicpm("4_7")
    around = {
        "image_start_id": "<image>", "image_end_id": "</image>", "slice_start_id": "<slice>",
        "slice_end_id": "</slice>", "newline_id": "\n",
    }  # fmt: skip
    tokens = {name: tokenizer.convert_tokens_to_ids(token) for name, token in around.items()}
    config = MiniCPMV4_7Config(**fields, **tokens)
    save(folder, "MiniCPMV4_7ForConditionalGeneration", config, processor)


def make_nemotron_h_omni(folder: Path) -> None:
    """Mamba2, attention and feed-forward layers."""
    from transformers import (
        NemotronH_Omni_Reasoning_V3_Config,
        NemotronH_Omni_Reasoning_V3ImageProcessor,
        NemotronH_Omni_Reasoning_V3Processor,
        NemotronH_Omni_Reasoning_V3VideoProcessor,
        ParakeetFeatureExtractor,
    )

    tokenizer = make_tokenizer(
        "<so_start>", "<so_end>", image_token="<image>", video_token="<video>", audio_token="<so_embedding>",
        image_start_token="<img>", image_end_token="</img>",
    )  # fmt: skip
    processor = NemotronH_Omni_Reasoning_V3Processor(
        NemotronH_Omni_Reasoning_V3ImageProcessor(patch_size=8, min_num_patches=16, max_num_patches=64),
        NemotronH_Omni_Reasoning_V3VideoProcessor(patch_size=8),
        tokenizer,
        ParakeetFeatureExtractor(),
        chat_template=template("<image>"),
    )
    config = NemotronH_Omni_Reasoning_V3_Config(
        vision_config={
            "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "patch_size": 8, "image_size": 64,
            "max_img_size": 128, "video_temporal_patch_size": 2,
        },
        text_config={
            "hidden_size": 32, "intermediate_size": 64, "layers_block_type": ["mamba", "attention", "mlp", "mamba"],
            **HEADS, **ids(tokenizer), "head_dim": 8, "mamba_num_heads": 4, "mamba_head_dim": 8, "ssm_state_size": 8,
            "n_groups": 2, "chunk_size": 16, "max_position_embeddings": 4096,
        },
        projector_hidden_size=32,
        vision_hidden_size=32,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_id=tokenizer.convert_tokens_to_ids("<video>"),
        audio_token_id=tokenizer.convert_tokens_to_ids("<so_embedding>"),
    )  # fmt: skip
    save(folder, "NemotronH_Omni_Reasoning_V3", config, processor)


INKLING_IMAGE = "<|content_image|><|unused_200054|>"


def make_inkling(folder: Path) -> None:
    """Short convolutions in every layer, among layers of full and of sliding attention."""
    from transformers import InklingConfig, InklingFeatureExtractor, InklingImageProcessor, InklingProcessor

    names = ("<|unused_200054|>", "<|unused_200053|>", "<|content_image|>", "<|content_audio_input|>")
    tokenizer = make_tokenizer(*names)
    processor = InklingProcessor(
        InklingFeatureExtractor(),
        InklingImageProcessor(size={"height": 16, "width": 16}),
        tokenizer,
        chat_template=template(INKLING_IMAGE),
    )
    fields = ("image_token_id", "audio_token_id", "image_bos_token_id", "audio_bos_token_id")
    config = InklingConfig(
        vision_config={"patch_size": 16, "num_hidden_layers": 3, "hidden_size": 32, "num_attention_heads": 4},
        audio_config={"n_mel_bins": 80, "mel_vocab_size": 16},
        text_config={
            "hidden_size": 32, "intermediate_size": 64, "moe_intermediate_size": 32, "num_hidden_layers": 3,
            **HEADS, "head_dim": 8, "swa_num_attention_heads": 4, "swa_num_key_value_heads": 2, "swa_head_dim": 8,
            "sliding_window_size": 64, "d_rel": 4, "rel_extent": 64, "local_layer_ids": [0, 1], "dense_mlp_idx": 1,
            "n_routed_experts": 4, "num_experts_per_tok": 2, "n_shared_experts": 1,
            "logits_mup_width_multiplier": 1.0, "max_position_embeddings": 4096, **ids(tokenizer),
        },
        **{field: tokenizer.convert_tokens_to_ids(token) for field, token in zip(fields, names, strict=True)},
    )  # fmt: skip
    save(folder, "InklingForConditionalGeneration", config, processor)


MORE_HYBRIDS = (
    Architecture("qwen4_exp", make_qwen4_exp, "Qwen4ExpForConditionalGeneration", torchvision=True),
    Architecture("glm5_next", make_glm5_next, "Glm5NextForConditionalGeneration", torchvision=True),
    Architecture("minicpmv4_6", make_minicpmv4_6, "MiniCPMV4_6ForConditionalGeneration", torchvision=True),
    Architecture("minicpmv4_7", make_minicpmv4_7, "MiniCPMV4_7ForConditionalGeneration", torchvision=True),
    Architecture("inkling", make_inkling, "InklingForConditionalGeneration", torchvision=True),
    Architecture("nemotron_h_omni", make_nemotron_h_omni, "NemotronH_Omni_Reasoning_V3", torchvision=True),
)
HYBRIDS = (*(one for one in ARCHITECTURES if one.name in ("qwen3_5", "lfm2_vl")), *MORE_HYBRIDS)
ALL_ARCHITECTURES = (*ARCHITECTURES, *MORE_HYBRIDS)
BY_NAME = {architecture.name: architecture for architecture in ALL_ARCHITECTURES}
