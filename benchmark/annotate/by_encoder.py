"""Names by a dual encoder: how alike an image and sentences with the name are."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from eidolon.benchmark.annotate.annotator import Looked, rounded
from eidolon.models.encoders.protocol import Embeddings, TwoTowers

if TYPE_CHECKING:
    from PIL import Image

BLANK = "something"
"""What replaces a name in the sentence that a softmax encoder compares with."""


class EncoderAnnotator:
    """Scores names by a dual encoder.

    The score of a name is `scale · (cos(image, name) - cos(image, blank)) + bias`. An encoder that was trained with a
    sigmoid (SigLIP) has a bias, and needs no blank. One that was trained with a softmax (CLIP) says only which of
    several texts fits better: the blank is the same sentence with "something" for the name.
    """

    def __init__(
        self,
        encoder: TwoTowers,
        identity: Mapping[str, Any],
        names: Sequence[str],
        templates: Sequence[str],
    ) -> None:
        """Embed the names. `identity` is that of the encoder."""
        self.names = tuple(names)
        self.identity = {**identity, "templates": [*templates]}
        self._encoder = encoder
        self._texts = np.stack([_embed(encoder, name, templates) for name in self.names])
        self._blank = _embed(encoder, BLANK, templates) if encoder.logit_bias is None else None

    def look(self, images: "Sequence[Image.Image]") -> list[Looked]:
        """Return the scores of each image."""
        embedded = self._encoder.embed_images(images)
        cosines = embedded @ self._texts.T
        if self._blank is not None:
            cosines = cosines - (embedded @ self._blank)[:, None]
        scores = self._encoder.logit_scale * cosines.astype(float) + (self._encoder.logit_bias or 0.0)
        return [
            Looked({name: rounded(score) for name, score in zip(self.names, row, strict=True)})
            for row in scores
        ]


def _embed(encoder: TwoTowers, name: str, templates: Sequence[str]) -> Embeddings:
    """Return the mean of the embeddings of a name in the templates, shape (width,), of length 1."""
    mean = encoder.embed_texts([template.replace("{}", name) for template in templates]).mean(axis=0)
    return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-12), dtype=np.float32)
