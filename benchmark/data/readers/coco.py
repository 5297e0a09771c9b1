"""COCO, and what is annotated in its format: an instances JSON beside a folder of images."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from eidolon.benchmark.data.coco_format import (
    coco_records,
    read_box_areas,
    read_captions,
    read_coco,
    read_instances,
)
from eidolon.benchmark.data.image_rows import ImageRows, image_path
from eidolon.benchmark.data.readers.options import Names, check_options, image_folder, refuse_place
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import read_image_id, user_path

if TYPE_CHECKING:
    import datasets


def load_coco(where: str, limit: int | None, seed: int, options: Mapping[str, str]) -> "datasets.Dataset":
    """Read COCO instances, and captions if given, beside a folder of images.

    An object is there if it has any annotation, a crowd's included, as THRONE counts them (Kaul et al. 2024).
    Images come in the order of the JSON.
    """
    return _load("coco", where, limit, options)


def load_objects365(
    where: str, limit: int | None, seed: int, options: Mapping[str, str]
) -> "datasets.Dataset":
    """Read Objects365, which is annotated as COCO is, with 365 categories of its own."""
    return _load("objects365", where, limit, options)


def _load(dataset: str, where: str, limit: int | None, options: Mapping[str, str]) -> "datasets.Dataset":
    refuse_place(dataset, where)
    check_options(
        dataset,
        options,
        required={"annotations": "instances.json", "images": "FOLDER"},
        optional=("captions", "names"),
    )
    annotations, folder = user_path(options["annotations"]), image_folder(options["images"])
    names = Names(options.get("names"))
    _, document = read_coco(annotations)
    objects = read_instances(document, annotations, None)
    captions = read_captions(user_path(options["captions"])) if "captions" in options else {}
    if captions and captions.keys().isdisjoint(objects):
        raise UserError(f"-D captions={options['captions']}: has no caption of any image in {annotations}")
    shares = read_box_areas(document, annotations)
    rows = ImageRows()
    for place, image in coco_records(document, "images", annotations):
        if limit is not None and len(rows) == limit:
            break
        image_id = read_image_id(image.get("id"), place, "id")
        judged = names.judged(objects[image_id])
        rows.add(
            place,
            image_id,
            _find(folder, image.get("file_name"), place),
            judged,
            references=captions.get(image_id, ()),
            areas=_areas(shares.get(image_id, {}), names),
        )
    return rows.dataset()


def _areas(shares: Mapping[str, float], names: Names) -> dict[str, float]:
    """Return the largest share of the image by the names that the judge knows."""
    found: dict[str, float] = {}
    for name, share in shares.items():
        for mapped in names.judged([name]):
            found[mapped] = max(found.get(mapped, 0.0), share)
    return found


def _find(folder: Path, name: object, place: str) -> Path:
    """Return where an image is: under the name's whole path, or its last part where archives were unpacked
    into one folder. If it is at neither, the first is where it is missing."""
    path = image_path(folder, name, place, "file_name")
    flat = image_path(folder, path.name, place, "file_name")
    return flat if os.path.isfile(flat) and not os.path.isfile(path) else path
