"""Datasets of the `datasets` library, from the Hub or a folder, with columns named by options."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eidolon.benchmark.data.image_rows import check_image_id, id_type, lies_in
from eidolon.benchmark.data.readers.options import CategoryNames, check_options
from eidolon.scorers.core.errors import UserError, did_you_mean
from eidolon.scorers.core.input_files import clean, excerpt, read_image_id, user_path
from eidolon.scorers.core.types import ImageId

if TYPE_CHECKING:
    import datasets

COLUMNS = ("image", "objects", "image_id", "sample_id", "references")
"""Our columns. Each is read from the column of its own name unless an option names another."""
NO_LABEL = -1
"""The library's mark of an item without a label."""


def load_hub(where: str, limit: int | None, seed: int, options: Mapping[str, str]) -> "datasets.Dataset":
    """Read a Hugging Face dataset: its Hub name, a folder of data files, or what `save_to_disk` wrote.

    The options `image`, `objects`, `image_id`, `sample_id` and `references` name columns. Dots reach into a column:
    `objects.category`. `split`, `config` and `revision` select a part of the dataset, and `names` is a file that maps
    category names. Without an `image_id` the row number is used. No code of a dataset is run, and image files outside
    the folder of the dataset are refused.

    It has the parameters of `DatasetLoader`; `where` is the name or the folder.
    """
    if not where:
        raise UserError("--dataset hf: name the dataset: --dataset hf/NAME or hf/FOLDER")
    check_options("hf", options, required={}, optional=(*COLUMNS, "split", "config", "revision", "names"))
    names = CategoryNames(options.get("names"))
    rows, roots = _open(where, options)
    if limit is not None:
        rows = rows.select(range(min(limit, len(rows))))
    paths = {column: _path(rows, where, column, options) for column in COLUMNS}
    image = paths["image"]
    assert image is not None
    _check_images(rows, image, roots, f"--dataset hf/{where}")
    return _build(rows, paths, names, f"--dataset hf/{where}")


def _open(where: str, options: Mapping[str, str]) -> tuple["datasets.Dataset", list[Path]]:
    """Return the rows, and the folders that image files must be in."""
    import datasets
    from datasets.exceptions import DatasetsError
    from huggingface_hub.constants import HF_HUB_CACHE
    from huggingface_hub.errors import HFValidationError

    folder = user_path(where)
    local = os.path.exists(folder)
    if local and not folder.is_dir():
        raise UserError(f"--dataset hf/{where}: is a file, not a folder; name its folder")
    was_quiet = not datasets.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    try:
        if local and any((folder / name).is_file() for name in ("dataset_dict.json", "state.json")):
            for key in ("config", "revision"):
                if key in options:
                    raise UserError(f"-D {key}={options[key]}: a saved dataset has no {key}; leave it out")
            loaded = datasets.load_from_disk(str(folder))
        else:
            loaded = datasets.load_dataset(
                str(folder) if local else where,
                options.get("config"),
                split=options.get("split"),
                revision=options.get("revision"),
            )
    # These cover wrong files and names, and errors of the network and the cache.
    except (
        DatasetsError,
        HFValidationError,
        OSError,
        ValueError,
        RuntimeError,
    ) as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"--dataset hf/{where}: cannot be loaded: {type(error).__name__}: {reason}"
        ) from error
    finally:
        if not was_quiet:
            datasets.enable_progress_bars()
    roots = [folder] if local else [Path(HF_HUB_CACHE), Path(datasets.config.HF_DATASETS_CACHE)]
    return _split(loaded, where, options.get("split")), roots


def _split(loaded: Any, where: str, split: str | None) -> "datasets.Dataset":
    import datasets

    if isinstance(loaded, datasets.Dataset):
        return loaded
    found = list(loaded)
    if split is None and len(found) == 1:
        split = found[0]
    if split is None:
        raise UserError(f"--dataset hf/{where}: give -D split=…; it has {', '.join(found)}")
    if split not in loaded:
        raise UserError(f"-D split={split}: hf/{where} has no such split{did_you_mean(split, found)}")
    rows: datasets.Dataset = loaded[split]
    return rows


def _path(
    rows: "datasets.Dataset", where: str, column: str, options: Mapping[str, str]
) -> tuple[str, ...] | None:
    """Return the steps to a column's values, such as (`objects`, `category`); None without an optional column."""
    import datasets

    given = options.get(column, column)
    # The name of a column may have dots in it.
    steps = (given,) if given in rows.column_names else tuple(given.split("."))
    if steps[0] not in rows.column_names:
        if column not in options and column not in ("image", "objects"):
            return None
        fix = did_you_mean(steps[0], rows.column_names)
        raise UserError(f"-D {column}={given}: hf/{where} has no column {steps[0]!r}{fix}")
    feature = rows.features[steps[0]]
    for step in steps[1:]:
        while isinstance(feature, datasets.List | datasets.LargeList):
            feature = feature.feature
        if not isinstance(feature, dict) or step not in feature:
            known = [*feature] if isinstance(feature, dict) else []
            raise UserError(f"-D {column}={given}: there is no {step!r}{did_you_mean(step, known)}")
        feature = feature[step]
    if column == "image" and (len(steps) > 1 or not isinstance(feature, datasets.Image)):
        raise UserError(f"-D image={given}: is not a column of images, it has {excerpt(str(feature))}")
    return steps


def _check_images(rows: "datasets.Dataset", image: Sequence[str], roots: Sequence[Path], where: str) -> None:
    """Raise a UserError for an image file outside the folders of the dataset, without decoding any image."""
    number = 0
    for table in rows.select_columns([image[0]]).with_format("arrow").iter(batch_size=64):
        for chunk in table[image[0]].chunks:
            inside = chunk.field("bytes").is_valid().to_pylist()
            for has_bytes, path in zip(inside, chunk.field("path").to_pylist(), strict=True):
                is_file = not has_bytes and path is not None
                if is_file and not any(lies_in(Path(path), root) for root in roots):
                    raise UserError(
                        f"{where}: row {number}: the image must be in the folder of the dataset, found {excerpt(path)}"
                    )
                number += 1


def _build(
    rows: "datasets.Dataset", paths: Mapping[str, tuple[str, ...] | None], names: CategoryNames, where: str
) -> "datasets.Dataset":
    import datasets

    def read(column: str) -> Iterator[tuple[str, list[str]]]:
        steps = paths[column]
        assert steps is not None
        feature = rows.features[steps[0]]
        for number, value in enumerate(rows.select_columns([steps[0]])[steps[0]]):
            place = f"{where}: row {number}"
            yield place, list(_texts(value, feature, steps[1:], column, place))

    def read_ids(column: str) -> list[ImageId]:
        steps = paths[column]
        if steps is None or len(steps) > 1:
            raise UserError(f"-D {column}={'.'.join(steps or ())}: must be a column of its own")
        values = enumerate(rows.select_columns([steps[0]])[steps[0]])
        return [read_image_id(value, f"{where}: row {number}", column) for number, value in values]

    text, count = datasets.Value("string"), len(rows)
    ids: list[ImageId] = read_ids("image_id") if paths["image_id"] else list(range(count))
    for number, image_id in enumerate(ids):
        check_image_id(image_id, ids[0], f"{where}: row {number}")
    columns: dict[str, Any] = {
        "image_id": ids,
        "objects": [names.judged(found) for _, found in read("objects")],
    }
    features = {"image_id": datasets.Value(id_type(ids)), "objects": datasets.List(text)}
    if paths["sample_id"]:
        columns["sample_id"] = [str(found) for found in read_ids("sample_id")]
        features["sample_id"] = text
    if paths["references"]:
        columns["references"] = [found for _, found in read("references")]
        features["references"] = datasets.List(text)
    image = (paths["image"] or ("image",))[0]
    images = rows.select_columns([image])
    if image != "image":
        images = images.rename_column(image, "image")
    others = datasets.Dataset.from_dict(columns, features=datasets.Features(features))
    joined: datasets.Dataset = datasets.concatenate_datasets([images, others], axis=1)
    return joined


def _texts(value: Any, feature: Any, steps: Sequence[str], column: str, place: str) -> Iterator[str]:
    """Yield the strings below a value, in lists too. Class labels are yielded by their names."""
    import datasets

    if value is None:
        return
    if isinstance(value, list):
        inner = feature.feature if isinstance(feature, datasets.List | datasets.LargeList) else feature
        for item in value:
            yield from _texts(item, inner, steps, column, place)
    elif steps and isinstance(value, dict):
        yield from _texts(value.get(steps[0]), feature[steps[0]], steps[1:], column, place)
    elif isinstance(feature, datasets.ClassLabel) and isinstance(value, int):
        if value == NO_LABEL:
            raise UserError(f"{place}: {column!r} has no label")
        yield clean(feature.int2str(value))
    elif isinstance(value, str):
        yield clean(value)
    else:
        raise UserError(f"{place}: {column!r} must hold strings or class labels, found {excerpt(value)}")
