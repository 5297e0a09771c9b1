"""VL models of memory blocks from scratch, with a vision side that is trained already.

All variants have the same frozen vision side, the "eye": that of a trained checkpoint. So they differ only in how they
remember the image. Their sizes are matched by the width of the feed-forward layers: a memory with fewer parameters
gets wider ones.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError

from eidolon.models.memory.layout import Memory, Symbol

if TYPE_CHECKING:
    from transformers import Idefics3Processor

    from eidolon.models.memory.modeling import MemoryForConditionalGeneration


class MemoryArchitecture(BaseModel):
    """Sizes of a VL model of memory blocks."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    memory: Memory
    width: int = Field(96, ge=8)
    layer_parameters: int = Field(104_000, ge=1)
    """Mean number of parameters per layer. It determines the feed-forward width."""

    @property
    def inner(self) -> int:
        """The feed-forward width, a multiple of 4, for `layer_parameters`.

        Raises:
            ValueError: the memories alone have more parameters.
        """
        bare, wider = (layers_size(self.memory.layout, self.width, self.memory, inner) for inner in (4, 8))
        target = self.layer_parameters * len(self.memory.layout)
        inner = 4 + 4 * round((target - bare) / (wider - bare))
        if inner < 4:
            raise ValueError(
                f"layer_parameters={self.layer_parameters}: the memories of {len(self.memory.layout)} layers alone "
                f"have {bare} parameters"
            )
        return inner


def layers_size(layout: tuple[Symbol, ...], width: int, memory: Memory, inner: int) -> int:
    """Return the number of matched parameters of all layers, without the embeddings; see `innovation.is_matched`."""
    from eidolon.models.memory.configuration import MemoryTextConfig
    from eidolon.models.memory.innovation import is_matched
    from eidolon.models.memory.modeling import Layer

    config = MemoryTextConfig.of(
        memory.model_copy(update={"layout": layout}), hidden_size=width, intermediate_size=inner
    )
    with torch.device("meta"):
        layers = [Layer(config, index) for index in range(len(layout))]
    return sum(p.numel() for layer in layers for name, p in layer.named_parameters() if is_matched(name))


class EyeError(ValueError):
    """A checkpoint that cannot be the vision side of a model; the message says why."""


def make_memory_model(
    architecture: MemoryArchitecture, eye: Path, seed: int
) -> tuple["MemoryForConditionalGeneration", "Idefics3Processor"]:
    """Return a model with seeded random layers, and its processor.

    Vision side and word embeddings are those of the checkpoint `eye`. The vision side is frozen.

    Raises:
        EyeError: `eye` is not a checkpoint with the vision side of an Idefics3, or its width differs.
    """
    from transformers import AutoModelForImageTextToText, AutoProcessor, set_seed

    from eidolon.models.memory.configuration import MemoryConfig, MemoryTextConfig
    from eidolon.models.memory.modeling import MemoryForConditionalGeneration, register

    register()
    if not (eye / "config.json").is_file():
        raise EyeError("is not a checkpoint: it has no config.json")
    try:
        seeing: Any = AutoModelForImageTextToText.from_pretrained(
            str(eye), dtype=torch.float32, use_safetensors=True, trust_remote_code=False
        )
        processor: Any = AutoProcessor.from_pretrained(str(eye), trust_remote_code=False)
    except (OSError, ValueError, SafetensorError) as error:
        raise EyeError(f"cannot be loaded as a VL model: {str(error).splitlines()[0]}") from error
    own = seeing.config
    if not hasattr(seeing.model, "connector"):
        raise EyeError(f"is a {type(seeing).__name__}; the family needs the vision side of an Idefics3")
    if own.text_config.hidden_size != architecture.width:
        raise EyeError(
            f"its image tokens are {own.text_config.hidden_size} wide, the model is {architecture.width}"
        )
    text = MemoryTextConfig.of(
        architecture.memory,
        vocab_size=own.text_config.vocab_size,
        hidden_size=architecture.width,
        intermediate_size=architecture.inner,
        pad_token_id=own.text_config.pad_token_id,
        eos_token_id=own.text_config.eos_token_id,
    )
    config = MemoryConfig(
        image_token_id=own.image_token_id,
        pad_token_id=own.text_config.pad_token_id,
        tie_word_embeddings=True,
        scale_factor=own.scale_factor,
        vision_config=own.vision_config.to_dict(),
        text_config=text.to_dict(),
    )
    set_seed(seed)
    model: Any = MemoryForConditionalGeneration(config)  # type: ignore[no-untyped-call]
    model.model.vision_model.load_state_dict(seeing.model.vision_model.state_dict())
    model.model.connector.load_state_dict(seeing.model.connector.state_dict())
    with torch.no_grad():
        model.get_input_embeddings().weight.copy_(seeing.get_input_embeddings().weight)
    for frozen in (model.model.vision_model, model.model.connector):
        frozen.requires_grad_(False)
    model.generation_config.eos_token_id = text.eos_token_id
    model.generation_config.pad_token_id = text.pad_token_id
    return model, processor
