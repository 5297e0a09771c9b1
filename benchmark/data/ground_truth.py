"""Ground truth from files: `{"image_id", "objects"}` lines, COCO instances, COCO captions."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from eidolon.benchmark.data.datasets import Sample, judged_objects
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import (
    clean,
    decode_text,
    excerpt,
    iterate_objects,
    parse_json,
    read_bytes,
    read_image_id,
)
from eidolon.scorers.core.metric import Sources
from eidolon.scorers.core.types import ImageId, Judge, Response, VotingJudge
from eidolon.scorers.judges.matching import OpenJudge, join

T = TypeVar("T")

Truth: TypeAlias = dict[ImageId, frozenset[str]]
"""The true categories of every image."""
Areas: TypeAlias = dict[ImageId, dict[str, float]]
"""Of true categories, the share of the image that the largest instance covers, where it is known."""

_GOES_ON = ("{", "[", ",")
"""How the first line of a JSON file ends that is written over several; a line of objects ends with `}`."""


@dataclass(frozen=True, slots=True)
class Known:
    """What a file of objects tells."""

    objects: Truth
    areas: Areas = field(default_factory=dict)


def read_truth(path: Path, judge: Judge) -> Known:
    """Read objects lines or a COCO instances JSON, told apart by their content; keep what the judge reports.

    A category that the judge does not know, an image with two different lists, and an area that is no share of an
    image are UserErrors.
    """
    text = decode_text(read_bytes(path), path)
    document = read_document(text, path)
    if document is not None:
        truth = read_instances(document, path, judge)
        return Known(truth, _judged_areas(truth, read_box_areas(document, path)))
    truth = {}
    areas: Areas = {}
    lines: dict[ImageId, int] = {}
    for number, row in iterate_objects(text, path):
        where = f"{path}:{number}"
        for name in ("image_id", "objects"):
            if name not in row:
                raise UserError(f"{where}: field {name!r} is missing; found {excerpt(list(row))}")
        image_id = read_image_id(row["image_id"], where)
        objects = row["objects"]
        if not isinstance(objects, list) or not all(isinstance(name, str) for name in objects):
            raise UserError(f"{where}: field 'objects' must be a list of strings, found {excerpt(objects)}")
        found = frozenset(judged_objects(objects, judge, where))
        sizes = read_areas(row.get("areas"), objects, where)
        if truth.setdefault(image_id, found) != found:
            raise UserError(f"{where}: image {excerpt(image_id)} has other objects on line {lines[image_id]}")
        if areas.setdefault(image_id, sizes) != sizes:
            raise UserError(f"{where}: image {excerpt(image_id)} has other areas on line {lines[image_id]}")
        lines.setdefault(image_id, number)
    if not truth:
        raise UserError(f"{path}: holds no images")
    return Known(truth, _judged_areas(truth, areas))


def read_areas(value: object, objects: Sequence[str], where: str) -> dict[str, float]:
    """Check the `areas` of a line of objects, {category: share of the image}; null and a missing field are none."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise UserError(
            f"{where}: field 'areas' must be {{category: share of the image}}, found {excerpt(value)}"
        )
    for name, share in value.items():
        if name not in objects:
            raise UserError(f"{where}: field 'areas': {name!r} is not among the objects")
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
            raise UserError(f"{where}: field 'areas': {name!r} must be from 0 to 1, found {excerpt(share)}")
    return {name: float(share) for name, share in value.items()}


def read_box_areas(document: Mapping[str, Any], path: Path) -> Areas:
    """Return the share of the image that the largest box of every category covers, from a COCO instances JSON that
    `read_instances` has checked; nothing where the image's size or the box is not given."""
    names = {category["id"]: category["name"] for _, category in coco_records(document, "categories", path)}
    pixels = {image["id"]: _pixels(image) for _, image in coco_records(document, "images", path)}
    areas: Areas = {}
    for _, annotation in coco_records(document, "annotations", path):
        image_id, sides = annotation["image_id"], _box_sides(annotation.get("bbox"))
        if sides is None or not pixels.get(image_id):
            continue
        found = areas.setdefault(image_id, {})
        name, share = names[annotation["category_id"]], min(sides[0] * sides[1] / pixels[image_id], 1.0)
        found[name] = max(found.get(name, 0.0), share)
    return areas


def _pixels(image: Mapping[str, Any]) -> int:
    """Return an image's size, 0 where it is not given."""
    sides = (image.get("width"), image.get("height"))
    if any(isinstance(side, bool) or not isinstance(side, int) or side <= 0 for side in sides):
        return 0
    return int(sides[0] * sides[1])  # type: ignore[operator]


def _box_sides(box: object) -> tuple[float, float] | None:
    """Return width and height of a COCO box, [x, y, width, height] in pixels; None for anything else."""
    if not isinstance(box, list) or len(box) != 4:
        return None
    sides = box[2:]
    if any(
        isinstance(side, bool) or not isinstance(side, int | float) or not isfinite(side) or side < 0
        for side in sides
    ):
        return None
    return float(sides[0]), float(sides[1])


def _judged_areas(truth: Truth, areas: Areas) -> Areas:
    """Return the areas of what is true to the judge."""
    return {
        image_id: {name: share for name, share in found.items() if name in truth[image_id]}
        for image_id, found in areas.items()
    }


def read_captions(path: Path) -> dict[ImageId, list[str]]:
    """Read the captions of every image from a COCO captions JSON."""
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


def objects_in(captions: Mapping[ImageId, Iterable[str]], judge: Judge) -> Truth:
    """Return the categories that the judge reads in each image's captions; what it cannot judge adds none.

    Captions are short and there are many: a judge of several votes has its lexicon read them. One with an open
    vocabulary has a reader for them, or none where captions join no truth.
    """
    reader: Judge | None = judge
    if isinstance(judge, VotingJudge):
        reader = judge.reader() or judge
    elif isinstance(judge, OpenJudge):
        reader = judge.reader
    if reader is None:
        return {}
    texts = [(image_id, caption) for image_id, found in captions.items() for caption in found]
    responses = (
        Response(sample_id=str(index), image_id=image_id, response=caption)
        for index, (image_id, caption) in enumerate(texts)
    )
    named: dict[ImageId, set[str]] = {image_id: set() for image_id in captions}
    for (image_id, _), judgement in zip(texts, reader.judge(responses), strict=True):
        named[image_id].update(mention.category for mention in judgement.mentions)
    return {image_id: frozenset(names) for image_id, names in named.items()}


def sources_of(judge: Judge, objects: Collection[str], named: Collection[str]) -> Sources | None:
    """Return who says that the objects of an image are there, given those that are annotated and those that its
    captions name. None with an open vocabulary, where a noun may be another name of an object."""
    return None if isinstance(judge, OpenJudge) else Sources(frozenset(objects), frozenset(named))


def join_references(samples: Sequence[Sample], judge: Judge) -> tuple[Sample, ...]:
    """Return the samples with the objects that the judge reads in their references joined to the truth.

    That is CHAIR's truth (Rohrbach et al. 2018). Samples without references stay as they are.
    """
    captions: dict[ImageId, tuple[str, ...]] = {s.sample_id: s.references for s in samples if s.references}
    named = objects_in(captions, judge) if captions else {}
    return tuple(
        replace(
            sample,
            objects=tuple(sorted(join(judge, sample.objects, named[sample.sample_id]))),
            sources=sources_of(judge, sample.objects, named[sample.sample_id]),
        )
        if sample.sample_id in named
        else sample
        for sample in samples
    )


def find_truth(
    truth: Mapping[ImageId, T],
    image_id: ImageId,
    where: str,
    path: Path,
    mend: str = "a response needs the objects of its image",
) -> T:
    """Return what a file says of an image; an image that it does not know is a UserError."""
    if image_id in truth:
        return truth[image_id]
    other: Callable[[Any], ImageId] = str if isinstance(image_id, int) else int
    try:
        if other(image_id) in truth:
            mend = "it is there as a string" if isinstance(image_id, int) else "it is there as a number"
    except ValueError:
        pass
    raise UserError(f"{where}: image {excerpt(image_id)} is not in {path}; {mend}")


def read_document(text: str, path: Path) -> dict[str, Any] | None:
    """Return a COCO file's content, None for anything else; of a file of lines only the first is parsed.

    A line of objects may have a field `annotations` too. An object that goes on over several lines and is no
    valid JSON is a UserError.
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
            if not first.endswith(_GOES_ON):
                return None
            raise UserError(
                f"{path}:{getattr(error, 'lineno', 1)}: is not valid JSON ({getattr(error, 'msg', error)})"
            ) from None
    found = isinstance(value, dict) and "annotations" in value and "image_id" not in value
    return value if found else None


def read_instances(document: Mapping[str, Any], path: Path, judge: Judge | None) -> Truth:
    """Return the categories with any annotation, a crowd's included, of every image of a COCO instances JSON.

    A category that the judge does not know is a UserError, and those it does not report are left out; without a
    judge all stay.
    """
    names: dict[int, str] = {}
    for place, category in coco_records(document, "categories", path):
        name = category.get("name")
        if not isinstance(name, str):
            raise UserError(f"{place}: 'name' must be a string, found {excerpt(name)}")
        if judge is not None:
            judged_objects([name], judge, place)
        number = category.get("id")
        if isinstance(number, bool) or not isinstance(number, int):
            raise UserError(f"{place}: 'id' must be a whole number, found {excerpt(number)}")
        if names.setdefault(number, name) != name:
            raise UserError(f"{place}: id {number} is that of {names[number]!r} too")
    found: dict[ImageId, set[str]] = {}
    for place, image in coco_records(document, "images", path):
        found[read_image_id(image.get("id"), place)] = set()
    for place, annotation in coco_records(document, "annotations", path):
        category_id = annotation.get("category_id")
        if not isinstance(category_id, int) or category_id not in names:
            raise UserError(f"{place}: 'category_id' {excerpt(category_id)} is not among the categories")
        found.setdefault(read_image_id(annotation.get("image_id"), place), set()).add(names[category_id])
    if not found:
        raise UserError(f"{path}: holds no images")
    return {
        image_id: frozenset(objects if judge is None else judged_objects(sorted(objects), judge, str(path)))
        for image_id, objects in found.items()
    }


def coco_records(document: Mapping[str, Any], key: str, path: Path) -> Iterable[tuple[str, dict[str, Any]]]:
    """Yield (place for messages, record) of one of a COCO file's lists."""
    records = document.get(key)
    if not isinstance(records, list):
        raise UserError(f"{path}: COCO field {key!r} must be a list, found {excerpt(records)}")
    for index, record in enumerate(records):
        if not isinstance(record, dict):
            raise UserError(f"{path}: {key}[{index}] must be an object, found {excerpt(record)}")
        yield f"{path}: {key}[{index}]", record
