"""Encoders of transformers: dual ones of the CLIP and SigLIP families, and those of images alone."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from eidolon.models.encoders.loading import EncoderOptions, Loaded, load, on_device
from eidolon.models.encoders.protocol import Embeddings
from eidolon.scorers.core.errors import UserError

if TYPE_CHECKING:
    from PIL import Image

PADDED = ("siglip", "siglip2")
"""Model types whose texts were padded to the full length in training, and must be so here."""


class TransformersDualEncoder:
    """A dual encoder by `AutoModel` and `AutoProcessor`."""

    def __init__(self, given: str, name: str, options: EncoderOptions) -> None:
        """Load the checkpoint. `given` is what the user wrote, for messages.

        Raises:
            UserError: it cannot be loaded, or is no dual encoder.
        """
        self._loaded = load(given, name, options, "AutoModel", "AutoProcessor")
        model = self._loaded.model
        own = dict(model.named_parameters(recurse=False))
        if "logit_scale" not in own:
            raise UserError(
                f"{given}: {type(model).__name__} is no dual encoder with a logit scale, as CLIP and SigLIP are"
            )
        self.logit_scale = float(own["logit_scale"].detach().float().exp())
        bias = own.get("logit_bias")
        self.logit_bias = None if bias is None else float(bias.detach().float())

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the embeddings, JSON-ready."""
        return self._loaded.identity

    def embed_images(self, images: "Sequence[Image.Image]") -> Embeddings:
        """Return an embedding of each image, shape (n, width), of length 1."""
        import torch

        loaded = self._loaded
        inputs = on_device(loaded.processor(images=list(images), return_tensors="pt"), loaded)
        with torch.inference_mode():
            return _unit(loaded.model.get_image_features(**inputs))

    def embed_texts(self, texts: Sequence[str]) -> Embeddings:
        """Return an embedding of each text, shape (n, width), of length 1."""
        import torch

        loaded = self._loaded
        text_config = loaded.model.config.text_config
        padded = loaded.model.config.model_type in PADDED
        inputs = loaded.processor(
            text=list(texts),
            padding="max_length" if padded else True,
            truncation=True,
            max_length=text_config.max_position_embeddings,
            return_tensors="pt",
        )
        with torch.inference_mode():
            return _unit(loaded.model.get_text_features(**on_device(inputs, loaded)))


class TransformersImageEncoder:
    """An encoder of images alone by `AutoModel` and `AutoImageProcessor`, as DINOv2 or ViT."""

    def __init__(self, given: str, name: str, options: EncoderOptions) -> None:
        """Load the checkpoint. Raises UserError if it cannot be loaded."""
        self._loaded: Loaded = load(given, name, options, "AutoModel", "AutoImageProcessor")

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the embeddings, JSON-ready."""
        return self._loaded.identity

    def embed_images(self, images: "Sequence[Image.Image]") -> Embeddings:
        """Return an embedding of each image, shape (n, width), of length 1: pooled, or of the first position."""
        import torch

        loaded = self._loaded
        inputs = on_device(loaded.processor(images=list(images), return_tensors="pt"), loaded)
        with torch.inference_mode():
            found = loaded.model(**inputs)
            pooled = found.get("pooler_output")
            return _unit(found.last_hidden_state[:, 0] if pooled is None else pooled.flatten(1))


def _unit(found: Any) -> Embeddings:
    import torch

    features: torch.Tensor = found if isinstance(found, torch.Tensor) else found.pooler_output
    vectors = features.float().cpu().numpy()
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-12), dtype=np.float32)
