"""A tiny random hybrid of recurrent layers and attention (Qwen3.5), with images, made for a test.

Its own processor needs torchvision, which a machine without a GPU may not be able to load. So the inputs are made
here, as that processor would make them.
"""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import torch
from PIL import Image

from eidolon.models.backends.transformers import TransformersModel
from eidolon.models.backends.transformers_loading import LoadedCheckpoint
from eidolon.models.base.model import Request
from eidolon.models.training.idefics3 import END, train_tokenizer

IMAGE, START, STOP = "<image>", "<fake_token_around_image>", "<global-img>"
SIDE = 32
"""Side of an image in pixels: 4 x 4 patches of 8, merged two by two into 4 tokens."""


class HybridModel(TransformersModel):
    """The transformers backend with a model that is not on disk."""

    def _load(self) -> LoadedCheckpoint:
        from transformers import Qwen2VLImageProcessorPil, Qwen3_5Config, Qwen3_5ForConditionalGeneration

        tokenizer = train_tokenizer(
            ["Describe this image in detail. What is in the image? User Assistant"], 300
        )
        ids = {name: tokenizer.convert_tokens_to_ids(name) for name in (IMAGE, START, STOP, END)}
        torch.manual_seed(3)
        config = Qwen3_5Config(
            text_config={
                "vocab_size": len(tokenizer), "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 4,
                "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 32, "linear_key_head_dim": 16,
                "linear_value_head_dim": 16, "linear_num_key_heads": 2, "linear_num_value_heads": 4,
                "eos_token_id": ids[END],
                "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 1, 1],
                                    "mrope_interleaved": True, "partial_rotary_factor": 0.25},
            },
            vision_config={
                "depth": 1, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2, "patch_size": 8,
                "out_hidden_size": 64, "num_position_embeddings": 16,
            },
            image_token_id=ids[IMAGE], video_token_id=ids[STOP], vision_start_token_id=ids[START],
            vision_end_token_id=ids[STOP],
        )  # fmt: skip
        model = Qwen3_5ForConditionalGeneration(config)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.dim() > 1:
                    parameter.normal_(0, 0.15)
        self._image_processor = Qwen2VLImageProcessorPil(
            patch_size=8,
            merge_size=2,
            temporal_patch_size=2,
            size={"shortest_edge": 64, "longest_edge": SIDE**2},
        )
        processor = SimpleNamespace(
            tokenizer=tokenizer,
            chat_template="none",
            apply_chat_template=lambda *given, **options: "Assistant:",
        )
        return LoadedCheckpoint(processor, model.to(self.dtype).eval(), self.device)

    def prepare(self, requests: Sequence[Request], *, images: bool = True) -> Any:
        resized = [request.image.convert("RGB").resize((SIDE, SIDE)) for request in requests]
        seen = self._image_processor(images=resized, return_tensors="pt")
        tokens = int(seen["image_grid_thw"][0].prod()) // 4
        texts = [f"User:{START}{IMAGE * tokens}{STOP}{request.prompt}Assistant:" for request in requests]
        inputs = self._tokenizer(texts, padding=True, return_tensors="pt", add_special_tokens=False)
        inputs["mm_token_type_ids"] = (inputs["input_ids"] == self.model.config.image_token_id).long()
        inputs.update(pixel_values=seen["pixel_values"].to(self.dtype), image_grid_thw=seen["image_grid_thw"])
        return inputs


def picture(seed: int) -> Image.Image:
    """Return noise."""
    generator = torch.Generator().manual_seed(seed)
    return Image.fromarray(torch.randint(0, 256, (SIDE, SIDE, 3), generator=generator).byte().numpy())
