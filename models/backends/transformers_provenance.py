"""What a loaded transformers model says about itself, for the provenance of a run."""

from collections.abc import Mapping
from typing import Any

import torch
import transformers

from eidolon.models.backends.transformers_options import TransformersOptions
from eidolon.models.base.model import WhiteBoxModel


def describe_model(
    model: WhiteBoxModel,
    options: TransformersOptions,
    unused_weights: Any,
    settings_set_aside: Mapping[str, Any],
) -> dict[str, Any]:
    """Return what determines the responses beside the requests."""
    config = model.model.config
    return {
        "backend": "transformers",
        "name": model.name,
        "class": type(model.model).__name__,
        "model_type": config.model_type,
        "revision": getattr(config, "_commit_hash", None) or options.revision,
        "unused_weights": unused_weights,
        "parameters": sum(p.numel() for p in model.model.parameters()),
        # A run with another number of processes may use another GPU, so `auto` does not record its number.
        "device": model.device.type if options.device == "auto" else str(model.device),
        "device_map": options.device_map,
        "dtype": str(model.dtype).removeprefix("torch."),
        "attention": getattr(config, "_attn_implementation", None),
        "chat_template": model.has_template,
        "processor": type(model.processor).__name__,
        "max_pixels": options.max_pixels,
        "settings_set_aside": settings_set_aside,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
