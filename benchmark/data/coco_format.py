"""Files in COCO's format: instances (annotated objects) and captions. A mistake is a UserError that names its place."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any, TypeAlias

from eidolon.benchmark.data.json_rows import invalid_json
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.field_names import IMAGE, REFERENCES, FieldFinder, format_note
from eidolon.scorers.core.image_ids import ImageIds, image_number
from eidolon.scorers.core.input_files import (
    clean,
    excerpt,
    parse_json,
    read_bytes,
    read_image_id,
)
from eidolon.scorers.core.notes import InputNote, warning
from eidolon.scorers.core.records import read_records, text_of
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
    document = read_document(text_of(content, path), path)
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
    return value if isinstance(value, dict) and is_document(value) else None


def is_document(value: Mapping[str, Any]) -> bool:
    """Tell whether an object is the content of a COCO file; a record may have `annotations` beside its `image_id`."""
    return "annotations" in value and "image_id" not in value


@dataclass(frozen=True, slots=True)
class Instances:
    """The content of a COCO instances JSON."""

    objects: Truth
    areas: Areas
    categories: dict[int, str]
    files: dict[str, ImageId] = field(default_factory=dict)
    """The image of each file name."""
    notes: tuple[InputNote, ...] = ()


def read_instances(document: Mapping[str, Any], path: Path, source: str) -> Instances:
    """Return the categories that have any annotation, crowds included, of every image of a COCO instances JSON.

    An annotation may write the id of its image otherwise than `images` does: as a string, or padded. Areas are the
    share of the image that the largest box of a category covers, 0 to 1; where the document lacks the size of an image
    or a box there is none. `source` is the setting that names the file, for the notes.

    Raises:
        UserError: the content is not COCO's format.
    """
    names: dict[int, str] = {}
    for place, category in coco_records(document, "categories", path):
        name = category.get("name")
        if not isinstance(name, str):
            raise UserError(f"{place}: 'name' must be a string, found {excerpt(name)}")
        number = category_id(category, place)
        if names.setdefault(number, name) != name:
            raise UserError(f"{place}: id {number} is also the id of {names[number]!r}")
    found: dict[ImageId, set[str]] = {}
    pixels: dict[ImageId, int] = {}
    files: dict[str, ImageId] = {}
    for place, image in coco_records(document, "images", path):
        image_id = read_image_id(image.get("id"), place, "id")
        found[image_id], pixels[image_id] = set(), _pixels(image)
        if isinstance(file := image.get("file_name"), str):
            files[file] = image_id
    ids, known = ImageIds(found, path), {*found}
    areas: Areas = {}
    orphans: list[ImageId] = []
    alone: dict[ImageId, ImageId] = {}
    for place, annotation in coco_records(document, "annotations", path):
        name = names.get(number := category_id(annotation, place, "category_id"))
        if name is None:
            raise UserError(f"{place}: 'category_id' {number} is not among the categories")
        given = read_image_id(annotation.get("image_id"), place)
        matched = given if given in found else ids.find(given, place)
        if matched is None:
            numbered = image_number(given)
            matched = alone.setdefault(given if numbered is None else numbered, given)
        image_id = matched
        if image_id not in known:
            orphans.append(image_id)
        found.setdefault(image_id, set()).add(name)
        sides = _box_sides(annotation.get("bbox"))
        if sides is not None and pixels.get(image_id):
            shares = areas.setdefault(image_id, {})
            share = min(sides[0] * sides[1] / pixels[image_id], 1.0)
            shares[name] = max(shares.get(name, 0.0), share)
    if not found:
        raise UserError(f"{path}: holds no images")
    notes = ids.notes(source, len(found))
    if known and orphans:
        notes.append(warning(source, "orphans", count=len(orphans), first=orphans[0]))
    truth = {image_id: frozenset(objects) for image_id, objects in found.items()}
    return Instances(truth, areas, names, files, tuple(notes))


def category_id(category: Mapping[str, Any], place: str, name: str = "id") -> int:
    """Return a category's number, which some programs write as a string.

    Raises:
        UserError: it is no whole number; `place` and the field's `name` are for the message.
    """
    number = category.get(name)
    if isinstance(number, str) and number.strip().isascii() and number.strip().isdigit():
        return int(number)
    if isinstance(number, bool) or not isinstance(number, int):
        raise UserError(f"{place}: {name!r} must be a whole number, found {excerpt(number)}")
    return number


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


@dataclass(frozen=True, slots=True)
class CaptionsFile:
    """The reference captions of a file, by image."""

    texts: dict[ImageId, list[str]]
    notes: tuple[InputNote, ...] = ()


def read_captions(path: Path) -> CaptionsFile:
    """Return the captions of each image.

    The file is a COCO captions JSON, or has records with `image_id` and `caption`, or a list of `captions`, in any
    format of `records`; or it is an object {image id: captions}.

    Raises:
        UserError: the file is something else.
    """
    content = read_bytes(path)
    document = read_document(text_of(content, path), path)
    captions: dict[ImageId, list[str]] = {}
    if document is not None:
        for place, annotation in coco_records(document, "annotations", path):
            text = annotation.get("caption")
            if text is None and "category_id" in annotation:
                raise UserError(f"{path}: is a file of instances, not of captions; take captions_*.json")
            if not isinstance(text, str):
                raise UserError(f"{place}: 'caption' must be a string, found {excerpt(text)}")
            captions.setdefault(read_image_id(annotation.get("image_id"), place), []).append(clean(text))
        return CaptionsFile(captions)
    records = read_records(content, path, {*IMAGE, *REFERENCES, "id"}, value_field="captions")
    finder = FieldFinder(records.rows, path, "captions", {})
    image, name = finder.image(), finder.value("caption", REFERENCES, (str, list))
    for placed in records.rows:
        for needed in (image, name):
            if needed not in placed.row:
                raise UserError(
                    f"{placed.place}: field {needed!r} is missing; captions are a COCO captions JSON, or records with "
                    "'image_id' and 'caption'"
                )
        value = placed.row[name]
        texts = [value] if isinstance(value, str) else value
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise UserError(
                f"{placed.place}: field {name!r} must be a string or a list of strings, found {excerpt(value)}"
            )
        captions.setdefault(read_image_id(placed.row[image], placed.place, image), []).extend(
            map(clean, texts)
        )
    if not captions:
        raise UserError(f"{path}: holds no captions")
    return CaptionsFile(captions, (*format_note(records, "captions"), *finder.notes))


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
