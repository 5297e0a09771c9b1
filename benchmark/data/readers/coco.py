"""COCO and datasets in its format: an instances JSON and a folder of images."""

import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eidolon.benchmark.data.coco_boxes import Boxes, read_boxes
from eidolon.benchmark.data.coco_format import (
    coco_records,
    read_captions,
    read_coco,
    read_instances,
)
from eidolon.benchmark.data.coco_licences import (
    attribution_of,
    choose_licences,
    licensed,
    read_licences,
)
from eidolon.benchmark.data.image_rows import ImageRows, image_path
from eidolon.benchmark.data.readers.options import CategoryNames, check_options, image_folder, refuse_place
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.image_ids import ImageIds
from eidolon.scorers.core.input_files import read_image_id, user_path
from eidolon.scorers.core.notes import warning
from eidolon.scorers.core.types import ImageId

if TYPE_CHECKING:
    import datasets

_log = logging.getLogger(__name__)


def load_coco(where: str, limit: int | None, seed: int, options: Mapping[str, str]) -> "datasets.Dataset":
    """Read COCO instances and a folder of images, with captions as references if `-D captions` names them.

    An object counts if it has any annotation, crowds included, as in THRONE (Kaul et al. 2024). The samples are in the
    order of the JSON.

    It has the parameters of `DatasetLoader`, with the options `annotations`, `images`, `captions`, `names` and
    `licenses`.
    """
    return _load("coco", where, limit, options)


def load_objects365(
    where: str, limit: int | None, seed: int, options: Mapping[str, str]
) -> "datasets.Dataset":
    """Read Objects365, which has the format and the options of COCO and 365 categories of its own."""
    return _load("objects365", where, limit, options)


def _load(dataset: str, where: str, limit: int | None, options: Mapping[str, str]) -> "datasets.Dataset":
    refuse_place(dataset, where)
    check_options(
        dataset,
        options,
        required={"annotations": "instances.json", "images": "FOLDER"},
        optional=("captions", "names", "licenses"),
    )
    annotations, folder = user_path(options["annotations"]), image_folder(options["images"])
    names = CategoryNames(options.get("names"))
    _, document = read_coco(annotations)
    found = read_instances(document, annotations, "annotations")
    for note in found.notes:
        _log.warning(note.text())
    if not any(found.objects.values()):
        _log.warning(warning("annotations", "no objects", images=len(found.objects)).text())
    ids = ImageIds(found.objects, annotations, found.files)
    captions = _captions(user_path(options["captions"]), ids) if "captions" in options else {}
    if "captions" in options and not captions:
        raise UserError(f"-D captions={options['captions']}: has no caption of any image in {annotations}")
    rows = ImageRows()
    images: Iterable[tuple[str, dict[str, Any]]] = coco_records(document, "images", annotations)
    licences = read_licences(document, annotations) if "licenses" in options else {}
    if licences:
        images = licensed(images, choose_licences(options["licenses"], licences), licences)
    kept = list(islice(images, limit))
    boxes = read_boxes(document, (image for _, image in kept))
    for place, image in kept:
        image_id = read_image_id(image.get("id"), place, "id")
        judged = names.judged(found.objects[image_id])
        rows.add(
            place,
            image_id,
            _find(folder, image.get("file_name"), place),
            judged,
            references=captions.get(image_id, ()),
            areas=_areas(found.areas.get(image_id, {}), names),
            boxes=_boxes(boxes.get(image_id, {}), names),
            attribution=asdict(attribution_of(image, licences)) if licences else None,
        )
    return rows.dataset()


def _captions(path: Path, ids: ImageIds) -> dict[ImageId, list[str]]:
    """Return the captions of the images that the annotations have."""
    found: dict[ImageId, list[str]] = {}
    for given, texts in read_captions(path).texts.items():
        if (image_id := ids.find(given, str(path))) is not None:
            found.setdefault(image_id, []).extend(texts)
    return found


def _areas(shares: Mapping[str, float], names: CategoryNames) -> dict[str, float]:
    """Return the shares of the image by the judge's words; the largest one where two names map to the same word."""
    found: dict[str, float] = {}
    for name, share in shares.items():
        for mapped in names.judged([name]):
            found[mapped] = max(found.get(mapped, 0.0), share)
    return found


def _boxes(given: Boxes, names: CategoryNames) -> Boxes:
    """Return the boxes by the judge's words."""
    found: Boxes = {}
    for name, boxes in given.items():
        for mapped in names.judged([name]):
            found.setdefault(mapped, []).extend(boxes)
    return found


def _find(folder: Path, name: object, place: str) -> Path:
    """Return the path of an image: its whole name below the folder, or only the last part of the name.

    The last part is for archives that were unpacked into one folder. If neither file exists, it is the first path.
    """
    path = image_path(folder, name, place, "file_name")
    flat = image_path(folder, path.name, place, "file_name")
    return flat if os.path.isfile(flat) and not os.path.isfile(path) else path
