"""The boxes of a COCO instances JSON, as shares of the image's sides."""

from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Any

from eidolon.benchmark.data.samples import Box

Boxes = dict[str, list[Box]]
"""By category name."""


def read_boxes(document: Mapping[str, Any], images: Iterable[Mapping[str, Any]]) -> dict[Any, Boxes]:
    """Return the boxes of some images of a document, which `read_instances` has checked, by image id.

    What has no valid box, or belongs to an image without a size, is left out: boxes are only looked at, so they are no
    reason to refuse a file.
    """
    sizes = {image.get("id"): size for image in images if (size := _size(image)) is not None}
    names = {category.get("id"): category.get("name") for category in document.get("categories", ())}
    found: dict[Any, Boxes] = {}
    for annotation in document.get("annotations", ()):
        image_id, name = annotation.get("image_id"), names.get(annotation.get("category_id"))
        if (
            isinstance(name, str)
            and image_id in sizes
            and (box := _box(annotation.get("bbox"), sizes[image_id]))
        ):
            found.setdefault(image_id, {}).setdefault(name, []).append(box)
    return found


def _size(image: Mapping[str, Any]) -> tuple[int, int] | None:
    width, height = image.get("width"), image.get("height")
    return (width, height) if all(type(side) is int and side > 0 for side in (width, height)) else None  # type: ignore[return-value]


def _box(given: object, size: tuple[int, int]) -> Box | None:
    """Return a COCO box [x, y, width, height] in pixels as shares, cut at the edges of the image."""
    if not isinstance(given, list) or len(given) != 4:
        return None
    if any(type(side) not in (int, float) or not isfinite(side) for side in given):
        return None
    x, y, width, height = given
    if width <= 0 or height <= 0:
        return None
    ends = (x / size[0], y / size[1], (x + width) / size[0], (y + height) / size[1])
    x0, y0, x1, y1 = (min(1.0, max(0.0, end)) for end in ends)
    return (x0, y0, x1, y1)
