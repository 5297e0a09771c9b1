"""Tiny vision-language models with random weights, of other architectures than the shipped ones."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image

from eidolon.models.base.model import Request
from eidolon.models.training.tokenizer import train_bpe

IMAGE = "<image>"
TEXTS = ("Describe this image in detail.", "Is there a cup in the image?", "There is a cup. USER ASSISTANT:")
TEMPLATE = (
    "{% for message in messages %}USER: {% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}{% endfor %} {% endfor %}"
    "ASSISTANT:"
)


def save_llava(folder: Any) -> None:
    """Write a LLaVA checkpoint of 16 image tokens with its processor."""
    from transformers import (
        CLIPImageProcessorPil,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
        set_seed,
    )

    tokenizer = train_bpe(TEXTS, 400, pad="<pad>", end="</s>", others=(IMAGE,), padding_side="left")
    set_seed(0)
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            image_size=32,
            patch_size=8,
            projection_dim=32,
        ).to_dict(),
        text_config=LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            pad_token_id=0,
            bos_token_id=None,
            eos_token_id=1,
            initializer_range=0.3,
        ).to_dict(),
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE),
        image_seq_length=16,
    )
    model = LlavaForConditionalGeneration(config)
    model.generation_config.eos_token_id = 1
    model.generation_config.pad_token_id = 0
    model.save_pretrained(folder)
    side = {"height": 32, "width": 32}
    LlavaProcessor(
        CLIPImageProcessorPil(size=side, crop_size=side),
        tokenizer,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=TEMPLATE,
    ).save_pretrained(folder)


class Handmade(ABC):
    """A loaded model whose processor needs missing packages: it makes inputs by itself.

    A prompt is its words' lengths as tokens, after the image tokens; an image is its pixels.
    """

    processor = None

    def __init__(self, model: Any, image_tokens: int) -> None:
        self.model = model.eval()
        self._image_tokens = image_tokens

    def prepare(self, requests: Sequence[Request], *, images: bool = True) -> dict[str, torch.Tensor]:
        """Return the inputs, padded on the left with 0."""
        image = [self.model.config.image_token_id] * self._image_tokens if images else []
        rows = [[10, *image, *(20 + len(word) for word in r.prompt.split())] for r in requests]
        width = max(map(len, rows))
        ids = torch.tensor([[0] * (width - len(row)) + row for row in rows])
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
        inputs = {"input_ids": ids, "attention_mask": mask}
        if images:
            inputs |= self.picture_inputs([r.image for r in requests], ids)
        return inputs

    @abstractmethod
    def picture_inputs(self, images: Sequence[Image.Image], ids: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the model's inputs beside the ids."""


def pixels(image: Image.Image, side: int) -> torch.Tensor:
    """Return an image as (3, side, side), -1 to 1."""
    import numpy as np

    array = np.asarray(image.convert("RGB").resize((side, side)), dtype=np.float32)
    return torch.from_numpy(array).permute(2, 0, 1) / 127.5 - 1


class TinyQwen35(Handmade):
    """Qwen3.5: three of four layers are recurrent, and positions have three axes."""

    def __init__(self) -> None:
        from transformers import Qwen3_5Config, Qwen3_5ForConditionalGeneration, set_seed

        set_seed(0)
        config = Qwen3_5Config(
            text_config={
                "vocab_size": 200,
                "hidden_size": 32,
                "intermediate_size": 64,
                "num_hidden_layers": 4,
                "num_attention_heads": 2,
                "num_key_value_heads": 1,
                "head_dim": 16,
                "linear_num_key_heads": 2,
                "linear_num_value_heads": 2,
                "linear_key_head_dim": 16,
                "linear_value_head_dim": 16,
                "initializer_range": 0.3,
                "rope_parameters": {
                    "rope_type": "default",
                    "rope_theta": 10000.0,
                    "mrope_section": [1, 1, 0],
                    "partial_rotary_factor": 0.25,
                },
                "pad_token_id": 0,
                "eos_token_id": 1,
            },
            vision_config={
                "depth": 1,
                "hidden_size": 32,
                "intermediate_size": 64,
                "num_heads": 2,
                "patch_size": 8,
                "out_hidden_size": 32,
                "num_position_embeddings": 16,
            },
            image_token_id=150,
            video_token_id=151,
            vision_start_token_id=152,
            vision_end_token_id=153,
        )
        super().__init__(Qwen3_5ForConditionalGeneration(config), image_tokens=4)

    def picture_inputs(self, images: Sequence[Image.Image], ids: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the 16 patches of each image, 8 pixels a side and 2 frames deep; 4 make a token."""
        patches = []
        for image in images:
            grid = pixels(image, 32).reshape(3, 2, 2, 8, 2, 2, 8).permute(1, 4, 2, 5, 0, 3, 6)
            patches.append(grid.unsqueeze(5).expand(-1, -1, -1, -1, -1, 2, -1, -1).reshape(16, -1))
        return {
            "pixel_values": torch.cat(patches),
            "image_grid_thw": torch.tensor([[1, 4, 4]] * len(images)),
            "mm_token_type_ids": (ids == self.model.config.image_token_id).int(),
        }


class TinyMllama(Handmade):
    """Llama 3.2 Vision: images enter by cross-attention, not among the tokens."""

    def __init__(self) -> None:
        from transformers import MllamaConfig, MllamaForConditionalGeneration, set_seed

        set_seed(0)
        config = MllamaConfig(
            vision_config={
                "hidden_size": 32,
                "intermediate_size": 64,
                "num_hidden_layers": 1,
                "num_global_layers": 1,
                "attention_heads": 2,
                "image_size": 32,
                "patch_size": 8,
                "max_num_tiles": 1,
                "vision_output_dim": 64,
                "intermediate_layers_indices": [0],
                "supported_aspect_ratios": [[1, 1]],
            },
            text_config={
                "vocab_size": 200,
                "hidden_size": 32,
                "intermediate_size": 64,
                "num_hidden_layers": 3,
                "num_attention_heads": 2,
                "num_key_value_heads": 2,
                "cross_attention_layers": [1],
                "pad_token_id": 0,
                "eos_token_id": 1,
            },
            image_token_index=150,
        )
        super().__init__(MllamaForConditionalGeneration(config), image_tokens=1)

    def picture_inputs(self, images: Sequence[Image.Image], ids: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return one tile per image."""
        n = len(images)
        return {
            "pixel_values": torch.stack([pixels(image, 32) for image in images])[:, None, None],
            "aspect_ratio_ids": torch.ones((n, 1), dtype=torch.long),
            "aspect_ratio_mask": torch.ones((n, 1, 1), dtype=torch.long),
            "cross_attention_mask": torch.ones((n, ids.shape[1], 1, 1), dtype=torch.long),
        }
