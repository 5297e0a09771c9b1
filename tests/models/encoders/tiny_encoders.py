"""Tiny checkpoints with random weights of the encoders and detectors that annotate."""

from pathlib import Path
from typing import Any

from eidolon.models.training.tokenizer import train_bpe

TEXTS = ("a photo of a cup.", "a picture with a red ball.", "there is a dog in the scene.")
SIDE = 32


def _tokenizer() -> Any:
    tokenizer = train_bpe(TEXTS, 300, pad="<pad>", end="</s>", padding_side="right", append_end=True)
    tokenizer.model_max_length = 40
    return tokenizer


def _vision(**more: Any) -> dict[str, Any]:
    return {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": SIDE,
        "patch_size": 8,
        **more,
    }


def _text(tokenizer: Any, **more: Any) -> dict[str, Any]:
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "max_position_embeddings": 40,
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "bos_token_id": tokenizer.eos_token_id,
        **more,
    }


def save_clip(folder: Path) -> None:
    """Write a CLIP checkpoint with its processor."""
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel, CLIPProcessor, set_seed

    tokenizer = _tokenizer()
    set_seed(0)
    CLIPModel(
        CLIPConfig(
            text_config=_text(tokenizer, projection_dim=12),
            vision_config=_vision(projection_dim=12),
            projection_dim=12,
        )
    ).save_pretrained(folder)
    size = {"height": SIDE, "width": SIDE}
    CLIPProcessor(CLIPImageProcessorPil(size=size, crop_size=size), tokenizer).save_pretrained(folder)


def save_siglip(folder: Path) -> None:
    """Write a SigLIP checkpoint with its processor."""
    from transformers import SiglipConfig, SiglipImageProcessorPil, SiglipModel, SiglipProcessor, set_seed

    tokenizer = _tokenizer()
    set_seed(0)
    SiglipModel(
        SiglipConfig(text_config=_text(tokenizer, projection_size=16), vision_config=_vision())
    ).save_pretrained(folder)
    size = {"height": SIDE, "width": SIDE}
    SiglipProcessor(SiglipImageProcessorPil(size=size), tokenizer).save_pretrained(folder)


def save_owlv2(folder: Path) -> None:
    """Write an OWLv2 checkpoint with its processor."""
    from transformers import (
        Owlv2Config,
        Owlv2ForObjectDetection,
        Owlv2ImageProcessorPil,
        Owlv2Processor,
        set_seed,
    )

    tokenizer = _tokenizer()
    tokenizer.model_max_length = 16
    set_seed(0)
    Owlv2ForObjectDetection(
        Owlv2Config(
            text_config=_text(tokenizer, max_position_embeddings=16),
            vision_config=_vision(),
            projection_dim=16,
        )
    ).save_pretrained(folder)
    size = {"height": SIDE, "width": SIDE}
    Owlv2Processor(Owlv2ImageProcessorPil(size=size), tokenizer).save_pretrained(folder)


def save_grounding_dino(folder: Path) -> None:
    """Write a Grounding DINO checkpoint with its processor."""
    from transformers import (
        BertConfig,
        GroundingDinoConfig,
        GroundingDinoForObjectDetection,
        GroundingDinoImageProcessorPil,
        GroundingDinoProcessor,
        SwinConfig,
        set_seed,
    )

    tokenizer = bert_tokenizer()
    set_seed(0)
    GroundingDinoForObjectDetection(
        GroundingDinoConfig(
            backbone_config=SwinConfig(
                embed_dim=8,
                depths=[1, 1, 1, 1],
                num_heads=[1, 1, 1, 1],
                window_size=2,
                image_size=64,
                out_features=["stage2", "stage3", "stage4"],
            ),
            text_config=BertConfig(
                vocab_size=len(tokenizer),
                hidden_size=16,
                num_hidden_layers=1,
                num_attention_heads=2,
                intermediate_size=32,
                max_position_embeddings=64,
            ),
            d_model=32,
            encoder_layers=1,
            decoder_layers=2,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            encoder_ffn_dim=32,
            decoder_ffn_dim=32,
            num_queries=8,
            max_text_len=24,
            num_feature_levels=3,
        )
    ).save_pretrained(folder)
    GroundingDinoProcessor(
        GroundingDinoImageProcessorPil(size={"shortest_edge": 64, "longest_edge": 96}), tokenizer
    ).save_pretrained(folder)


def bert_tokenizer() -> Any:
    """Return a word-piece tokenizer of single letters and a few words."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)]
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", ".", "?", "cup", "ball", "red", "dog", *letters]
    words += [f"##{letter}" for letter in letters]
    tokenizer = Tokenizer(models.WordPiece({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=64,
    )
