"""COCO, and what is annotated in its format: an instances JSON beside a folder of images."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eidolon.benchmark.answers.files import read_coco
from eidolon.benchmark.image_rows import ImageRows, image_path
from eidolon.benchmark.readers.options import Names, check_options, image_folder, refuse_place
from eidolon.benchmark.truth import coco_records, read_captions, read_instances
from eidolon.models.response_lines import read_image_id, user_path
from eidolon.scorers.errors import UserError
from eidolon.scorers.types import ImageId

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
    sizes = _box_sizes(document, annotations)
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
            areas=_areas(sizes.get(image_id, {}), image, names, judged),
        )
    return rows.dataset()


def _box_sizes(document: Mapping[str, Any], path: Path) -> dict[ImageId, dict[str, float]]:
    """Return the largest box of every category in every image, square pixels, where annotations have boxes."""
    names = {category["id"]: category["name"] for _, category in coco_records(document, "categories", path)}
    sizes: dict[ImageId, dict[str, float]] = {}
    for _, annotation in coco_records(document, "annotations", path):
        box = annotation.get("bbox")
        if (
            not isinstance(box, list)
            or len(box) != 4
            or not all(isinstance(side, int | float) for side in box)
        ):
            continue
        found = sizes.setdefault(annotation["image_id"], {})
        name = names[annotation["category_id"]]
        found[name] = max(found.get(name, 0.0), float(box[2]) * float(box[3]))
    return sizes


def _areas(
    sizes: Mapping[str, float], image: Mapping[str, Any], names: Names, judged: list[str]
) -> dict[str, float] | None:
    """Return the share of the image that each object's largest box covers; None unless all are known."""
    width, height = image.get("width"), image.get("height")
    if not isinstance(width, int) or not isinstance(height, int) or width * height <= 0:
        return None
    shares: dict[str, float] = {}
    for name, size in sizes.items():
        for mapped in names.judged([name]):
            shares[mapped] = max(shares.get(mapped, 0.0), size / (width * height))
    return shares if all(name in shares for name in judged) else None


def _find(folder: Path, name: object, place: str) -> Path:
    """Return where an image is: under the name's whole path, or its last part where archives were unpacked
    into one folder. If it is at neither, the first is where it is missing."""
    path = image_path(folder, name, place, "file_name")
    flat = image_path(folder, path.name, place, "file_name")
    return flat if os.path.isfile(flat) and not os.path.isfile(path) else path
