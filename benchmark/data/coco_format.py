"""Files in COCO's format: instances (annotated objects) and captions. A mistake is a UserError that names its place."""

from collections.abc import Iterable, Mapping
from math import isfinite
from pathlib import Path
from typing import Any, TypeAlias

from eidolon.benchmark.data.categories import judged_objects
from eidolon.benchmark.data.json_rows import invalid_json
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import (
    clean,
    decode_text,
    excerpt,
    parse_json,
    read_bytes,
    read_image_id,
)
from eidolon.scorers.core.judge import Judge
from eidolon.scorers.core.types import ImageId

Truth: TypeAlias = dict[ImageId, frozenset[str]]
"""The categories that are in each image."""
Areas: TypeAlias = dict[ImageId, dict[str, float]]
"""By image and category, the share of the image that the largest instance covers, 0 to 1, where it is known."""

_CONTINUED = ("{", "[", ",")
"""Ends of the first line of a JSON document that spans several lines. A line of objects ends with `}`."""


def read_coco(path: Path) -> tuple[bytes, dict[str, Any]]:
    """Return the bytes and the content of a COCO instances JSON. Raises UserError for any other file."""
    content = read_bytes(path)
    document = read_document(decode_text(content, path), path)
    if document is None:
        raise UserError(f"{path}: is not a COCO instances JSON (an object with 'annotations')")
    return content, document


def read_document(text: str, path: Path) -> dict[str, Any] | None:
    """Return the content of a COCO file; None if the text is something else, such as lines of objects.

    In a file of lines only the first line is parsed. It may have a field `annotations` too, beside its `image_id`.

    Raises:
        UserError: the text starts like a JSON object that spans several lines, but is not valid JSON.
    """
    first = text.lstrip().partition("\n")[0].strip()
    if not first.startswith("{"):
        return None
    try:
        value = parse_json(first)
    except ValueError:
        try:
            value = parse_json(text)
        except ValueError as error:
            if not first.endswith(_CONTINUED):
                return None
            raise invalid_json(path, error) from None
    found = isinstance(value, dict) and "annotations" in value and "image_id" not in value
    return value if found else None


def read_instances(document: Mapping[str, Any], path: Path, judge: Judge | None) -> Truth:
    """Return the categories that have any annotation, crowds included, of every image of a COCO instances JSON.

    With a judge, only the categories that it reports are kept.

    Raises:
        UserError: the content is not COCO's format, or a category is unknown to the judge.
    """
    names: dict[int, str] = {}
    for place, category in coco_records(document, "categories", path):
        name = category.get("name")
        if not isinstance(name, str):
            raise UserError(f"{place}: 'name' must be a string, found {excerpt(name)}")
        if judge is not None:
            judged_objects([name], judge, place)
        number = category_id(category, place)
        if names.setdefault(number, name) != name:
            raise UserError(f"{place}: id {number} is also the id of {names[number]!r}")
    found: dict[ImageId, set[str]] = {}
    for place, image in coco_records(document, "images", path):
        found[read_image_id(image.get("id"), place)] = set()
    for place, annotation in coco_records(document, "annotations", path):
        number = category_id(annotation, place, "category_id")
        if number not in names:
            raise UserError(f"{place}: 'category_id' {number} is not among the categories")
        found.setdefault(read_image_id(annotation.get("image_id"), place), set()).add(names[number])
    if not found:
        raise UserError(f"{path}: holds no images")
    return {
        image_id: frozenset(objects if judge is None else judged_objects(sorted(objects), judge, str(path)))
        for image_id, objects in found.items()
    }


def category_id(category: Mapping[str, Any], place: str, field: str = "id") -> int:
    """Return a category's number, which some programs write as a string.

    Raises:
        UserError: it is no whole number; `place` and `field` are for the message.
    """
    number = category.get(field)
    if isinstance(number, str) and number.strip().isascii() and number.strip().isdigit():
        return int(number)
    if isinstance(number, bool) or not isinstance(number, int):
        raise UserError(f"{place}: {field!r} must be a whole number, found {excerpt(number)}")
    return number


def read_box_areas(document: Mapping[str, Any], path: Path) -> Areas:
    """Return the share of the image that the largest box of each category covers, 0 to 1.

    `document` has been checked by `read_instances`. Where it lacks the size of an image or a box, there is no area.
    """
    names = {
        category_id(category, place): category["name"]
        for place, category in coco_records(document, "categories", path)
    }
    pixels = {image["id"]: _pixels(image) for _, image in coco_records(document, "images", path)}
    areas: Areas = {}
    for place, annotation in coco_records(document, "annotations", path):
        image_id, sides = annotation["image_id"], _box_sides(annotation.get("bbox"))
        if sides is None or not pixels.get(image_id):
            continue
        found = areas.setdefault(image_id, {})
        name, share = (
            names[category_id(annotation, place, "category_id")],
            min(sides[0] * sides[1] / pixels[image_id], 1.0),
        )
        found[name] = max(found.get(name, 0.0), share)
    return areas


def _pixels(image: Mapping[str, Any]) -> int:
    """Return the number of pixels of an image; 0 if its size is not given."""
    sides = (image.get("width"), image.get("height"))
    if any(isinstance(side, bool) or not isinstance(side, int) or side <= 0 for side in sides):
        return 0
    return int(sides[0] * sides[1])  # type: ignore[operator]


def _box_sides(box: object) -> tuple[float, float] | None:
    """Return width and height, in pixels, of a COCO box [x, y, width, height]; None for anything else."""
    if not isinstance(box, list) or len(box) != 4:
        return None
    sides = box[2:]
    if any(
        isinstance(side, bool) or not isinstance(side, int | float) or not isfinite(side) or side < 0
        for side in sides
    ):
        return None
    return float(sides[0]), float(sides[1])


def read_captions(path: Path) -> dict[ImageId, list[str]]:
    """Return the captions of each image from a COCO captions JSON. Raises UserError for any other file."""
    document = read_document(decode_text(read_bytes(path), path), path)
    if document is None:
        raise UserError(f"{path}: is not a COCO captions JSON (an object with 'annotations')")
    captions: dict[ImageId, list[str]] = {}
    for place, annotation in coco_records(document, "annotations", path):
        text = annotation.get("caption")
        if not isinstance(text, str):
            raise UserError(f"{place}: 'caption' must be a string, found {excerpt(text)}")
        captions.setdefault(read_image_id(annotation.get("image_id"), place), []).append(clean(text))
    return captions


def coco_records(document: Mapping[str, Any], key: str, path: Path) -> Iterable[tuple[str, dict[str, Any]]]:
    """Yield (place for messages, record) for each record of one of a COCO file's lists.

    Raises:
        UserError: the list is missing, or a record is no object.
    """
    records = document.get(key)
    if not isinstance(records, list):
        raise UserError(f"{path}: COCO field {key!r} must be a list, found {excerpt(records)}")
    for index, record in enumerate(records):
        if not isinstance(record, dict):
            raise UserError(f"{path}: {key}[{index}] must be an object, found {excerpt(record)}")
        yield f"{path}: {key}[{index}]", record
