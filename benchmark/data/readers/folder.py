"""A folder of images with an `objects.jsonl`."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from eidolon.benchmark.data.annotation_file import AnnotationHeader, is_header, read_boxes, read_header
from eidolon.benchmark.data.image_rows import ImageRows, image_path, read_sample_id, read_strings
from eidolon.benchmark.data.truth_file import read_areas
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import (
    decode_text,
    excerpt,
    iterate_objects,
    read_bytes,
    read_image_id,
    user_path,
)
from eidolon.scorers.core.types import ImageId

if TYPE_CHECKING:
    import datasets


def load_folder(where: str, limit: int | None, seed: int, options: Mapping[str, str]) -> "datasets.Dataset":
    """Read a folder of images with an `objects.jsonl`: lines {"image_id", "image", "objects"}.

    `image` is the name of a file inside the folder. Optional fields are `sample_id`, `references` (a list of captions
    by people) and `areas` ({category: share of the image that its largest instance covers}). A file that `eidolon
    annotate` wrote says in its first line who made it; what it is unsure of is left out of the scores.

    It has the parameters of `DatasetLoader`; `where` is the folder, and there are no options.
    """
    if not where:
        raise UserError("--dataset folder: name the folder: --dataset folder/PATH")
    if options:
        raise UserError(f"-D {next(iter(options))}: a folder dataset takes no options")
    folder = user_path(where)
    table = folder / "objects.jsonl"
    if not os.path.isdir(folder):
        raise UserError(f"--dataset folder/{where}: {folder}: no such folder")
    if not os.path.lexists(table):
        raise UserError(f"{table}: no such file; it says what is in each image of the folder")
    rows = ImageRows()
    truth: dict[ImageId, tuple[set[str], int]] = {}
    header: AnnotationHeader | None = None
    for number, row in iterate_objects(decode_text(read_bytes(table), table), table):
        if limit is not None and len(rows) == limit:
            break
        place = f"{table}:{number}"
        if is_header(row):
            header = read_header(row, place)
            rows.annotated_by(header.truth(), header.names)
            continue
        for name in ("image_id", "image", "objects"):
            if name not in row:
                raise UserError(f"{place}: field {name!r} is missing")
        references = row.get("references")
        path = image_path(folder, row["image"], place)
        if not os.path.isfile(path):  # unlike Path.is_file, it accepts names that are too long
            raise UserError(f"{place}: no such image file: {excerpt(row['image'])}")
        image_id = read_image_id(row["image_id"], place)
        objects = read_strings(row["objects"], "objects", place)
        rows.add(
            place,
            image_id,
            path,
            objects,
            sample_id=read_sample_id(row.get("sample_id"), place),
            references=() if references is None else read_strings(references, "references", place),
            areas=read_areas(row.get("areas"), objects, place),
            boxes=None if header is None else read_boxes(row.get("boxes"), place),
            unsure=[] if header is None else read_strings(row.get("unsure", []), "unsure", place),
            labelled=None
            if header is None or row.get("labelled") is None
            else read_strings(row["labelled"], "labelled", place),
        )
        found, first = truth.setdefault(image_id, (set(objects), number))
        if found != set(objects):
            raise UserError(f"{place}: image {excerpt(image_id)} has other objects on line {first}")
    return rows.dataset()
