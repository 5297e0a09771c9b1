"""What a loaded transformers model says about itself, for the provenance of a run."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
import transformers

if TYPE_CHECKING:
    from eidolon.models.backends.transformers import TransformersModel


def describe_model(
    model: "TransformersModel", unused_weights: Any, settings_set_aside: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what determines the responses beside the requests."""
    config = model.model.config
    return {
        "backend": "transformers",
        "name": model.name,
        "class": type(model.model).__name__,
        "model_type": config.model_type,
        "revision": getattr(config, "_commit_hash", None) or model.options.revision,
        "unused_weights": unused_weights,
        "parameters": sum(p.numel() for p in model.model.parameters()),
        # A run with another number of processes may use another GPU, so `auto` does not record its number.
        "device": model.device.type if model.options.device == "auto" else str(model.device),
        "device_map": model.options.device_map,
        "dtype": str(model.dtype).removeprefix("torch."),
        "attention": getattr(config, "_attn_implementation", None),
        "chat_template": model.has_template,
        "processor": type(model.processor).__name__,
        "max_pixels": model.options.max_pixels,
        "settings_set_aside": settings_set_aside,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
