"""Datasets by name. Other packages add one with the entry-point group `eidolon.datasets`."""

import os
from collections.abc import Mapping
from pathlib import Path

from eidolon.benchmark.data.loaders import DatasetLoader, GeneratedLoader
from eidolon.benchmark.data.samples import SampleSource
from eidolon.benchmark.data.selection import choose, sample_ids_of
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import user_path
from eidolon.scorers.core.registry import Registry

registry: Registry[DatasetLoader] = Registry(
    "dataset",
    "eidolon.datasets",
    {
        "scenes": "eidolon.benchmark.scenes.dataset:load_scenes",
        "signs": "eidolon.benchmark.scenes.sign_dataset:load_signs",
        "folder": "eidolon.benchmark.data.readers.folder:load_folder",
        "coco": "eidolon.benchmark.data.readers.coco:load_coco",
        "objects365": "eidolon.benchmark.data.readers.coco:load_objects365",
        "amber": "eidolon.benchmark.data.readers.amber:load_amber",
        "hf": "eidolon.benchmark.data.readers.hub:load_hub",
        "repope": "eidolon.benchmark.data.readers.published:load_repope",
        "dash_b": "eidolon.benchmark.data.readers.published:load_dash_b",
        "hallusionbench": "eidolon.benchmark.data.readers.published:load_hallusionbench",
        "humblebench": "eidolon.benchmark.data.readers.published:load_humblebench",
        "comprecap": "eidolon.benchmark.data.readers.captions:load_comprecap",
        "detailcaps": "eidolon.benchmark.data.readers.captions:load_detailcaps",
        "mmhal": "eidolon.benchmark.data.readers.published:load_mmhal",
    },
)


def load_dataset(
    name: str,
    *,
    limit: int | None,
    seed: int,
    options: Mapping[str, str],
    sample_ids: Path | None = None,
    pick: str = "first",
) -> SampleSource:
    """Return at most `limit` samples of a dataset, given by its name: `NAME` or `NAME/WHERE`.

    Args:
        name: The name in the registry, and after a slash what its loader takes as `where`.
        limit: How many samples to keep; None for all.
        seed: For datasets that are drawn, and for `pick`.
        options: The options of the dataset's loader.
        sample_ids: A file with the ids of the samples to take.
        pick: Which samples a limit keeps: the `first`, or `random` ones drawn by the seed. They stay in the order of
            the dataset.

    Raises:
        UserError: an unknown name, whatever the loader finds wrong, a sample id that the dataset does not have, and
            what `SampleSource` finds wrong.
    """
    base, _, where = name.partition("/")
    if base not in registry.names() and os.path.isdir(user_path(name)):
        raise UserError(
            f"--dataset {name}: unknown dataset {base!r}; for a folder of images write folder/{name}"
        )
    loader = registry.get(base)
    chosen = sample_ids is not None or pick == "random"
    # A choice needs all rows of a dataset that is read. A generated one has just as many as it is asked for.
    needed = limit if not chosen or isinstance(loader, GeneratedLoader) else None
    rows = loader(where, needed, seed, options)
    if chosen and "image_id" in rows.column_names:
        rows = rows.select(choose(sample_ids_of(rows), name, limit, seed, sample_ids, pick))
    if limit is not None and len(rows) > limit:
        rows = rows.select(range(limit))
    return SampleSource(name, options, rows)


def is_generated(name: str) -> bool:
    """Whether a dataset, given as `NAME` or `NAME/WHERE`, has as many samples as a limit asks for."""
    return isinstance(registry.get(name.partition("/")[0]), GeneratedLoader)
