"""The free-form part of AMBER (Wang et al. 2023): 1,004 images with the objects that are in them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from eidolon.benchmark.data.amber_format import GENERATIVE, item_id
from eidolon.benchmark.data.image_rows import ImageRows, image_path, read_strings
from eidolon.benchmark.data.json_rows import read_rows, required, text_field
from eidolon.benchmark.data.readers.options import CategoryNames, check_options, image_folder, refuse_place
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import read_bytes, user_path

if TYPE_CHECKING:
    import datasets

FILE_NAME = "AMBER_{}.jpg"
"""The image file of an item, by its number, as AMBER's queries name it."""


def load_amber(where: str, limit: int | None, seed: int, options: Mapping[str, str]) -> "datasets.Dataset":
    """Read AMBER's free-form items and a folder of its images.

    Questions are skipped. The ids are AMBER's numbers, so that the responses can also be scored by AMBER's metric.

    It has the parameters of `DatasetLoader`, with the options `annotations`, `images` and `names`.
    """
    refuse_place("amber", where)
    wanted = {"annotations": "annotations.json", "images": "FOLDER"}
    check_options("amber", options, required=wanted, optional=("names",))
    annotations, folder = user_path(options["annotations"]), image_folder(options["images"])
    names = CategoryNames(options.get("names"))
    rows = ImageRows()
    for place, row in read_rows(read_bytes(annotations), annotations, "annotations"):
        if limit is not None and len(rows) == limit:
            break
        if text_field(row, "type", place) != GENERATIVE:
            continue
        number = item_id(row, place)
        truth = read_strings(required(row, "truth", place), "truth", place)
        path = image_path(folder, FILE_NAME.format(number), place)
        rows.add(place, number, path, names.judged(truth))
    if not len(rows):
        raise UserError(f"{annotations}: holds no items of type {GENERATIVE!r}")
    return rows.dataset()
