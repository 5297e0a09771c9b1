"""Checkpoints of the memory family with random weights, made for a test."""

from pathlib import Path
from typing import Any

import torch

from eidolon.models.memory.building import MemoryArchitecture, make_memory_model
from eidolon.models.memory.layout import Memory
from eidolon.models.training.idefics3 import Architecture, make_model, make_processor, train_tokenizer

WIDTH = 32
TEXTS = ("Describe this image in detail. What is in the image? Is there a cup? User Assistant yes no",)
SIZES: dict[str, Any] = {"window": 8, "store": 4, "heads": 2, "head_dim": 16, "chunk": 8}


def save_eye(folder: Path) -> Path:
    """Write an Idefics3 of 4 image tokens with its processor."""
    architecture = Architecture(
        image_size=32,
        vision_width=32,
        vision_layers=1,
        text_width=WIDTH,
        text_layers=1,
        text_inner=32,
        vocabulary=300,
    )
    tokenizer = train_tokenizer(TEXTS, architecture.vocabulary)
    model = make_model(architecture, tokenizer, 0)
    _spread(model)
    model.save_pretrained(folder)
    make_processor(architecture, tokenizer).save_pretrained(folder)
    return folder


def save_memory(folder: Path, eye: Path, layout: str, **sizes: Any) -> Path:
    """Write a VL model of memory blocks with the eye as its vision side."""
    memory = Memory.model_validate({"layout": layout, **SIZES, **sizes})
    architecture = MemoryArchitecture(memory=memory, width=WIDTH, layer_parameters=12_000)
    model, processor = make_memory_model(architecture, eye, 0)
    _spread(model.model.text_model)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@torch.no_grad()
def _spread(model: torch.nn.Module) -> None:
    """Draw large weights, so that the output depends on the whole input."""
    torch.manual_seed(7)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.normal_(0, 0.15)
