"""Class-agnostic regions of an image: where something stands out, whatever it is. No model is needed."""

from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from eidolon.models.encoders.detector import suppress
from eidolon.scorers.core.metric import FloatArray

if TYPE_CHECKING:
    from PIL import Image

RegionKind = Literal["components", "windows", "whole"]
"""`components`: what differs from its surroundings, and areas of one colour with what is inside them; `windows`:
overlapping windows of three sizes; `whole`: all."""
SIDE = 160
"""Longest side, in pixels, at which components are looked for."""
REACHES = (1, 3, 6)
"""Pixels by which edges grow before they are joined: small parts, words, whole signs."""
LEAST_SHARE = 0.002
"""Smallest share of the image that a component covers with its box."""
STRONG = 24.0
"""Difference of neighbouring grey or colour levels, of 255, that is an edge."""
AREA_SIDE = 256
"""Longest side, in pixels, at which areas between edges are looked for."""
AREA_EDGES = ((24.0, 0), (32.0, 1))
"""What is an edge around an area, and by how many pixels it grows to close gaps."""
LEAST_AREA = 0.005
"""Smallest share of the image that such an area covers with its box."""


def find_regions(image: "Image.Image", kind: RegionKind, most: int = 32) -> FloatArray:
    """Return boxes (n, 4) as shares of the image's sides, the largest first, the whole image last."""
    whole = np.array([[0.0, 0.0, 1.0, 1.0]])
    if kind == "whole":
        return whole
    boxes = np.concatenate([_components(image), _areas(image)]) if kind == "components" else _windows()
    sizes = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    kept = suppress(boxes, sizes, most=most - 1, overlap=0.8)
    return np.concatenate([boxes[kept].reshape(-1, 4), whole])


def cut_out(image: "Image.Image", box: FloatArray, margin: float = 0.05) -> "Image.Image":
    """Return the part of an image in a box, with a margin as a share of the box."""
    x0, y0, x1, y1 = box
    dx, dy = margin * (x1 - x0), margin * (y1 - y0)
    left, upper = int(max(0.0, x0 - dx) * image.width), int(max(0.0, y0 - dy) * image.height)
    right = max(left + 1, int(np.ceil(min(1.0, x1 + dx) * image.width)))
    lower = max(upper + 1, int(np.ceil(min(1.0, y1 + dy) * image.height)))
    return image.crop((left, upper, right, lower))


def _windows() -> FloatArray:
    boxes = []
    for parts in (2, 3, 4):
        side = 2 / (parts + 1)
        starts = np.linspace(0, 1 - side, parts)
        boxes += [(x, y, x + side, y + side) for y in starts for x in starts]
    return np.array(boxes)


def _components(image: "Image.Image") -> FloatArray:
    """Return the boxes of connected edges, grown by several reaches."""
    from scipy import ndimage

    levels = _levels(image, SIDE)
    edges = _edges(levels, STRONG)
    height, width = levels.shape[:2]
    boxes = []
    for reach in REACHES:
        grown = ndimage.binary_dilation(edges, np.ones((2 * reach + 1, 2 * reach + 1)))
        labels, _ = ndimage.label(grown)
        for rows, columns in ndimage.find_objects(labels):
            (y0, y1), (x0, x1) = _shrunk(rows, reach, height), _shrunk(columns, reach, width)
            box = (x0 / width, y0 / height, x1 / width, y1 / height)
            if (box[2] - box[0]) * (box[3] - box[1]) >= LEAST_SHARE:
                boxes.append(box)
    return np.array(boxes, dtype=float).reshape(-1, 4)


def _areas(image: "Image.Image") -> FloatArray:
    """Return the boxes of areas between edges: a sign or a label has one colour around its letters."""
    from scipy import ndimage

    levels = _levels(image, AREA_SIDE)
    height, width = levels.shape[:2]
    boxes = []
    for strong, reach in AREA_EDGES:
        edges = _edges(levels, strong)
        if reach:
            edges = ndimage.binary_dilation(edges, np.ones((reach + 1, reach + 1)))
        labels, _ = ndimage.label(~edges)
        for rows, columns in ndimage.find_objects(labels):
            box = (
                max(0, columns.start - 1 - reach) / width,
                max(0, rows.start - 1 - reach) / height,
                min(width, columns.stop + reach) / width,
                min(height, rows.stop + reach) / height,
            )
            if (box[2] - box[0]) * (box[3] - box[1]) >= LEAST_AREA:
                boxes.append(box)
    return np.array(boxes, dtype=float).reshape(-1, 4)


def _levels(image: "Image.Image", side: int) -> FloatArray:
    """Return the pixels (height, width, 3) of an image that is at most `side` pixels long."""
    small = image.convert("RGB")
    small.thumbnail((side, side))
    return np.asarray(small, dtype=float)


def _edges(levels: FloatArray, strong: float) -> NDArray[np.bool_]:
    """Return where a pixel differs from its left or upper neighbour, (height, width)."""
    edges = np.zeros(levels.shape[:2], dtype=bool)
    edges[:, 1:] |= np.abs(np.diff(levels, axis=1)).max(axis=2) > strong
    edges[1:] |= np.abs(np.diff(levels, axis=0)).max(axis=2) > strong
    return edges


def _shrunk(span: slice, reach: int, size: int) -> tuple[int, int]:
    """Return the ends of a span before it grew; it could not grow beyond the image."""
    first = span.start + reach if span.start > 0 else 0
    last = span.stop - reach if span.stop < size else size
    return first, max(first + 1, last)
