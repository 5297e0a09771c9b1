"""A file of objects: records, or a COCO instances JSON."""

import ast
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from eidolon.benchmark.data.annotation_file import AnnotationHeader, is_header, read_header
from eidolon.benchmark.data.coco_format import (
    Areas,
    Truth,
    coco_records,
    is_document,
    read_document,
    read_instances,
)
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.field_names import IMAGE, LABEL, OBJECTS, FieldFinder, format_note
from eidolon.scorers.core.image_ids import ImageIds
from eidolon.scorers.core.input_files import clean, excerpt, read_bytes, read_image_id
from eidolon.scorers.core.notes import InputNote
from eidolon.scorers.core.record_stream import StreamedRecords, open_lines
from eidolon.scorers.core.records import Placed, Records, read_records, text_of
from eidolon.scorers.core.types import ImageId

SOURCE = "objects"
"""The setting that names the file."""
_SEPARATORS = re.compile(r"[;|,]")
"""What stands between the objects in a cell of a table."""


class ReadCategories(Protocol):
    """Reads the names of a file as categories; `categories.CategoryMap` is one."""

    def judged(self, objects: Sequence[str], place: str) -> tuple[str, ...]:
        """Return the categories that the judge reports, each once."""
        ...

    def check(self) -> None:
        """Raise a UserError if `judged` did not know a name."""
        ...

    def notes(self, source: str) -> list[InputNote]:
        """Return what was assumed about names."""
        ...


@dataclass(frozen=True, slots=True)
class AnnotatedTruth:
    """What the file says where `eidolon annotate` wrote it."""

    header: AnnotationHeader
    names: frozenset[str]
    """The categories that were looked for."""
    unsure: dict[ImageId, frozenset[str]]
    """Categories that are neither present nor absent."""
    labelled: dict[ImageId, frozenset[str]]
    """The true categories of the images of the labelled part."""


@dataclass(frozen=True, slots=True)
class FileTruth:
    """The content of a file of objects."""

    objects: Truth
    areas: Areas = field(default_factory=dict)
    files: dict[str, ImageId] = field(default_factory=dict)
    """The image of each file name, where the file has them."""
    notes: tuple[InputNote, ...] = ()
    annotated: AnnotatedTruth | None = None
    """None where people, or another program, wrote the file."""

    def ids(self, path: Path) -> ImageIds:
        """Return the images, to match ids of other files with; `path` is for messages."""
        return ImageIds(self.objects, path, self.files)


def read_truth(path: Path, categories: ReadCategories, fields: Mapping[str, str] | None = None) -> FileTruth:
    """Return the objects that the judge reports, by image.

    The file is a COCO instances JSON, or has records of any format of `records`: with the list `objects` of an image,
    or with one category each, as in the tables of Open Images. `fields` maps our field names to the file's.

    Raises:
        UserError: the file cannot be read, objects are no categories of the judge, an image has two different lists of
            objects or areas, or an area is not from 0 to 1.
    """
    given = {ours: name for ours, name in (fields or {}).items() if ours in ("image_id", "objects")}
    wanted = {*IMAGE, *OBJECTS, *LABEL, *given.values(), "id"}
    records = open_lines(path)
    if records is None or is_document(next(iter(records.rows)).row):
        content = read_bytes(path)
        document = read_document(text_of(content, path), path)
        if document is not None:
            return _read_coco(document, path, categories)
        truth = _read_records(
            read_records(content, path, wanted, value_field="objects"), path, categories, given
        )
    else:
        truth = _read_records(records, path, categories, given)
    categories.check()
    return truth


def read_areas(value: object, objects: Sequence[str], where: str) -> dict[str, float]:
    """Return the checked `areas` of a record of objects: {category: share of the image}.

    Null is an empty dict. Raises UserError, with `where`, for anything else that is wrong.
    """
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


def _read_coco(document: Mapping[str, Any], path: Path, categories: ReadCategories) -> FileTruth:
    for place, category in coco_records(document, "categories", path):
        if isinstance(name := category.get("name"), str):
            categories.judged([name], place)
    categories.check()
    found = read_instances(document, path, SOURCE)
    truth = {
        image_id: frozenset(categories.judged(sorted(objects), str(path)))
        for image_id, objects in found.objects.items()
    }
    areas = {image_id: _mapped(shares, categories, str(path)) for image_id, shares in found.areas.items()}
    return FileTruth(truth, areas, found.files, (*found.notes, *categories.notes(SOURCE)))


def _mapped(shares: Mapping[str, float], categories: ReadCategories, place: str) -> dict[str, float]:
    """Return the shares by the judge's categories; the largest one where two names are the same category."""
    found: dict[str, float] = {}
    for name, share in shares.items():
        for category in categories.judged([name], place):
            found[category] = max(found.get(category, 0.0), share)
    return found


def _read_records(
    records: Records | StreamedRecords, path: Path, categories: ReadCategories, given: Mapping[str, str]
) -> FileTruth:
    # A name that --field gives may be that of the responses alone.
    header, rows = _without_header(records)
    given = {ours: name for ours, name in given.items() if any(name in placed.row for placed in rows)}
    finder = FieldFinder(rows, path, SOURCE, given)
    kinds = (str, list) if records.format in ("csv", "tsv") else list
    image, objects = finder.image(), finder.value("objects", OBJECTS, kinds)
    label = None if finder.has(objects) else finder.value("label", LABEL, str)
    truth: Truth = {}
    areas: Areas = {}
    files: dict[str, ImageId] = {}
    sets: dict[frozenset[str], frozenset[str]] = {}
    unsure: dict[ImageId, frozenset[str]] = {}
    labelled: dict[ImageId, frozenset[str]] = {}
    for placed in rows:
        where, row = placed.place, placed.row
        listed = label is not None and label in row
        for name in (image, label if listed and label else objects):
            if name not in row:
                raise UserError(f"{where}: field {name!r} is missing; found {excerpt(list(row))}")
        image_id = read_image_id(row[image], where, image)
        files |= _file_names(row, image, image_id)
        names = [row[label]] if listed and label else _listed(placed, objects, records)
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise UserError(f"{where}: field {objects!r} must be a list of strings, found {excerpt(names)}")
        mine = frozenset(categories.judged(names, where))
        shares = _mapped(read_areas(row.get("areas"), names, where), categories, where)
        if image_id not in truth:
            truth[image_id] = mine if listed else sets.setdefault(mine, mine)  # images share equal sets
            if shares:
                areas[image_id] = shares
            if header is not None:
                others = frozenset(_categories(row, "unsure", where, categories)) - mine
                unsure[image_id] = sets.setdefault(others, others)
                if row.get("labelled") is not None:
                    labelled[image_id] = frozenset(_categories(row, "labelled", where, categories))
        elif listed:
            truth[image_id] |= mine
        elif truth[image_id] != mine:
            before = _first_spot(rows, image, image_id)
            raise UserError(f"{where}: image {excerpt(image_id)} has other objects on {before}")
        elif areas.get(image_id, {}) != shares:
            before = _first_spot(rows, image, image_id)
            raise UserError(f"{where}: image {excerpt(image_id)} has other areas on {before}")
    if not truth:
        raise UserError(f"{path}: holds no images")
    notes = (*format_note(records, SOURCE), *finder.notes, *categories.notes(SOURCE))
    annotated = None
    if header is not None:
        names = frozenset(categories.judged(header.names, f"{path}:1"))
        annotated = AnnotatedTruth(header, names, unsure, labelled)
    return FileTruth(truth, areas, files, notes, annotated)


def _without_header(
    records: Records | StreamedRecords,
) -> tuple[AnnotationHeader | None, Iterable[Placed]]:
    """Return the header of an annotation file, None in any other, and the records without it."""
    first = next(iter(records.rows), None)
    if first is None or not is_header(first.row):
        return None, records.rows
    return read_header(first.row, first.place), _AfterFirst(records.rows)


@dataclass(frozen=True, slots=True)
class _AfterFirst:
    """All records but the first; each iteration reads them again."""

    rows: Iterable[Placed]

    def __iter__(self) -> Iterator[Placed]:
        return islice(iter(self.rows), 1, None)


def _categories(
    row: Mapping[str, Any], field: str, where: str, categories: ReadCategories
) -> tuple[str, ...]:
    """Return the categories of a field that may be missing."""
    names = row.get(field, [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise UserError(f"{where}: field {field!r} must be a list of strings, found {excerpt(names)}")
    return categories.judged(names, where)


def _first_spot(rows: Iterable[Placed], image: str, image_id: ImageId) -> str:
    """Return where in the file an image stands first."""
    return next(
        placed.spot for placed in rows if read_image_id(placed.row[image], placed.place, image) == image_id
    )


def _file_names(row: Mapping[str, Any], image: str, image_id: ImageId) -> dict[str, ImageId]:
    """Return the name of the image's file, where the record has one beside the id."""
    names = (row[name] for name in ("image", "file_name") if name != image and name in row)
    return {name: image_id for name in names if isinstance(name, str)}


def _listed(placed: Placed, objects: str, records: Records | StreamedRecords) -> Any:
    """Return the objects of a record; in a table a cell holds a list, or names with `;`, `|` or `,` between them."""
    value = placed.row[objects]
    if records.format not in ("csv", "tsv") or not isinstance(value, str):
        return (
            [clean(name) if isinstance(name, str) else name for name in value]
            if isinstance(value, list)
            else value
        )
    if value.strip().startswith("["):
        for read in (json.loads, ast.literal_eval):
            try:
                return read(value.strip())
            except (ValueError, SyntaxError, RecursionError, MemoryError):
                continue
    return [name.strip() for name in _SEPARATORS.split(value) if name.strip()]
