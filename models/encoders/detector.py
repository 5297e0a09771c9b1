"""Zero-shot detectors of transformers: boxes for names, by `AutoModelForZeroShotObjectDetection`.

Two kinds exist. OWL-ViT and OWLv2 embed each name as a query and score every patch against it. Grounding DINO reads
all names as one text, "a cat. a dog.", and scores every box against every token of it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from eidolon.models.encoders.loading import EncoderOptions, load, on_device
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.metric import FloatArray

if TYPE_CHECKING:
    from PIL import Image

QUERIES = ("owlvit", "owlv2")
"""Model types that take one query a name."""
PHRASES = ("grounding-dino", "mm-grounding-dino")
"""Model types that take one text of all names."""
PADS_TO_SQUARE = ("owlv2",)
"""Model types whose processor pads an image at the right and below to a square."""


@dataclass(frozen=True, slots=True)
class Detections:
    """What a detector finds in one image."""

    boxes: FloatArray
    """(boxes, 4): x0, y0, x1, y1 as shares of the image's sides."""
    scores: FloatArray
    """(boxes, names), each from 0 to 1."""


class ZeroShotDetector:
    """A zero-shot detector for a fixed list of names."""

    def __init__(self, given: str, name: str, options: EncoderOptions) -> None:
        """Load the checkpoint. `given` is what the user wrote, for messages.

        Raises:
            UserError: it cannot be loaded, or is of a kind whose outputs are not known here.
        """
        self._loaded = load(given, name, options, "AutoModelForZeroShotObjectDetection", "AutoProcessor")
        self._kind: str = self._loaded.model.config.model_type
        self._given = given
        if self._kind not in (*QUERIES, *PHRASES):
            known = ", ".join((*QUERIES, *PHRASES))
            raise UserError(
                f"{given}: detectors of type {self._kind!r} are not supported; these are: {known}"
            )

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the scores, JSON-ready."""
        return self._loaded.identity

    def detect(self, images: "Sequence[Image.Image]", names: Sequence[str]) -> list[Detections]:
        """Return the boxes of each image with the score of each name.

        Raises:
            UserError: a name alone is longer than the detector's text.
        """
        if self._kind in QUERIES:
            return self._by_query(images, names)
        parts = [self._by_phrase(images, part) for part in self._parts(names)]
        return [
            Detections(
                np.concatenate([found.boxes for found in of_image]),
                _side_by_side([found.scores for found in of_image]),
            )
            for of_image in zip(*parts, strict=True)
        ]

    def _by_query(self, images: "Sequence[Image.Image]", names: Sequence[str]) -> list[Detections]:
        import torch

        loaded = self._loaded
        inputs = loaded.processor(
            text=[[f"a photo of a {name}" for name in names]] * len(images),
            images=list(images),
            truncation=True,
            return_tensors="pt",
        )
        with torch.inference_mode():
            found = loaded.model(**on_device(inputs, loaded))
        scores = found.logits.float().sigmoid().cpu().numpy().astype(float)
        boxes = _corners(found.pred_boxes.float().cpu().numpy().astype(float))
        square = self._kind in PADS_TO_SQUARE
        return [
            Detections(_within(box * _padding(image) if square else box), score[:, : len(names)])
            for image, box, score in zip(images, boxes, scores, strict=True)
        ]

    def _by_phrase(self, images: "Sequence[Image.Image]", names: Sequence[str]) -> list[Detections]:
        import torch

        loaded = self._loaded
        text, spans = _caption(names)
        inputs = loaded.processor(
            images=list(images), text=[text] * len(images), return_tensors="pt", return_offsets_mapping=True
        )
        offsets = inputs.pop("offset_mapping")[0].tolist()
        with torch.inference_mode():
            found = loaded.model(**on_device(inputs, loaded))
        logits = found.logits.float().sigmoid().cpu().numpy().astype(float)
        boxes = _corners(found.pred_boxes.float().cpu().numpy().astype(float))
        tokens = [
            [i for i, (start, end) in enumerate(offsets) if start < last and end > first and end > start]
            for first, last in spans
        ]
        return [
            Detections(_within(box), np.stack([score[:, of_name].max(axis=1) for of_name in tokens], axis=1))
            for box, score in zip(boxes, logits, strict=True)
        ]

    def _parts(self, names: Sequence[str]) -> Iterator[list[str]]:
        """Yield the names in parts whose text the model can read."""
        tokenizer, most = self._loaded.processor.tokenizer, self._loaded.model.config.max_text_len
        part: list[str] = []
        for name in names:
            if part and len(tokenizer(_caption([*part, name])[0])["input_ids"]) > most:
                yield part
                part = []
            part.append(name)
            if len(part) == 1 and len(tokenizer(_caption(part)[0])["input_ids"]) > most:
                raise UserError(f"{self._given}: the name {name!r} is longer than its text of {most} tokens")
        yield part


def suppress(
    boxes: FloatArray, scores: FloatArray, *, most: int, overlap: float = 0.5, nested: bool = False
) -> list[int]:
    """Return the positions of boxes that no better box overlaps, best first, at most so many.

    Non-maximum suppression: two boxes overlap where intersection / union is above `overlap`; with `nested` where
    intersection / smaller box is.
    """
    left = list(np.argsort(-scores, kind="stable"))
    kept: list[int] = []
    while left and len(kept) < most:
        best = left.pop(0)
        kept.append(int(best))
        left = [other for other in left if _shared(boxes[best], boxes[other], nested) <= overlap]
    return kept


def _shared(a: FloatArray, b: FloatArray, nested: bool) -> float:
    """Return intersection / union of two boxes, or with `nested` intersection / smaller box."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = [float((box[2] - box[0]) * (box[3] - box[1])) for box in (a, b)]
    both = float(width * height)
    return both / (min(areas) if nested else sum(areas) - both)


def _caption(names: Sequence[str]) -> tuple[str, list[tuple[int, int]]]:
    """Return the text of all names, and where in it each name is."""
    text, spans = "", []
    for name in names:
        spans.append((len(text), len(text) + len(name)))
        text += f"{name.lower()}. "
    return text.rstrip(), spans


def _corners(boxes: FloatArray) -> FloatArray:
    """Return (…, 4) boxes of centre and size as corners."""
    centre, half = boxes[..., :2], boxes[..., 2:] / 2
    return np.concatenate([centre - half, centre + half], axis=-1)


def _padding(image: "Image.Image") -> FloatArray:
    """Return by what shares of a square are multiplied to be shares of the image in its upper left corner."""
    side = max(image.size)
    return np.array([side / image.width, side / image.height] * 2)


def _within(boxes: FloatArray) -> FloatArray:
    return np.clip(boxes, 0.0, 1.0)


def _side_by_side(parts: Sequence[FloatArray]) -> FloatArray:
    """Return the scores of parts of the names as one table: a box of one part has no score for names of another."""
    joined = np.zeros((sum(len(part) for part in parts), sum(part.shape[1] for part in parts)))
    row = column = 0
    for part in parts:
        joined[row : row + len(part), column : column + part.shape[1]] = part
        row, column = row + len(part), column + part.shape[1]
    return joined
