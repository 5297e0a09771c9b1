"""The images of DetailCaps and CompreCap, for a model to describe."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from eidolon.benchmark.data.caption_layouts import DESCRIPTIONS, REFERENCES, read_annotations
from eidolon.benchmark.data.image_rows import ImageRows, image_path
from eidolon.benchmark.data.readers.options import CategoryNames, check_options
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import excerpt, read_bytes, user_path

if TYPE_CHECKING:
    import datasets


def load_comprecap(
    where: str, limit: int | None, seed: int, options: Mapping[str, str]
) -> "datasets.Dataset":
    """Read the folder of CompreCap: `anno.json`, and the images in `images`.

    The true objects are the annotated categories, those of COCO's panoptic annotation. It has the parameters of
    `DatasetLoader`; `where` is the folder, and the option `names` maps categories to the judge's words.
    """
    check_options("comprecap", options, required={}, optional=("names",))
    folder = _folder("comprecap", where, "the folder with anno.json and images")
    annotations = folder / "anno.json"
    names = CategoryNames(options.get("names"))
    rows = ImageRows()
    found = read_annotations(read_bytes(annotations), annotations, DESCRIPTIONS["short"])
    for name, objects in [*found.items()][:limit]:
        place = f"{annotations}: {name}"
        categories = names.judged([item.category for item in objects])
        rows.add(place, name, image_path(folder / "images", name, place), categories)
    return rows.dataset()


def load_detailcaps(
    where: str, limit: int | None, seed: int, options: Mapping[str, str]
) -> "datasets.Dataset":
    """Read the Parquet files of DetailCaps-4870 in a folder.

    Nothing says what is in the images but their references, which are kept. It has the parameters of `DatasetLoader`;
    `where` is the folder, and there are no options.
    """
    import datasets

    check_options("detailcaps", options, required={})
    folder = _folder("detailcaps", where, "the folder with the Parquet files")
    files = sorted(str(path) for path in folder.rglob("*.parquet"))
    if not files:
        raise UserError(f"--dataset detailcaps/{where}: {folder} holds no Parquet files")
    rows = datasets.Dataset.from_parquet(files)
    for column in ("image", "binary", *REFERENCES):
        if column not in rows.column_names:
            raise UserError(
                f"--dataset detailcaps/{where}: has no column {column!r}; found {excerpt(rows.column_names)}"
            )
    if limit is not None:
        rows = rows.select(range(min(limit, len(rows))))
    text = datasets.Value("string")
    texts = rows.select_columns(["image", *REFERENCES]).to_list()
    others = datasets.Dataset.from_dict(
        {
            "image_id": [row["image"] for row in texts],
            "objects": [[] for _ in texts],
            "references": [[row[name] for name in REFERENCES if row[name]] for row in texts],
        },
        features=datasets.Features(
            {"image_id": text, "objects": datasets.List(text), "references": datasets.List(text)}
        ),
    )
    images = (
        rows.select_columns(["binary"])
        .rename_column("binary", "image")
        .cast_column("image", datasets.Image())
    )
    joined: datasets.Dataset = datasets.concatenate_datasets([images, others], axis=1)
    return joined


def _folder(name: str, where: str, wanted: str) -> Path:
    folder = user_path(where)
    if not where or not folder.is_dir():
        raise UserError(f"--dataset {name}/{where}: PATH must be {wanted}")
    return folder
