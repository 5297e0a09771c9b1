"""Datasets by name, and the one shape in which a run takes them: ordered samples, images decoded late.

A dataset is a function `(where, limit, seed, options) -> datasets.Dataset` with the columns `image_id`,
`image` (an `Image` feature) and `objects` (a list of category names), `sample_id` where an image occurs more
than once, `references` (a list of captions) where people described it, and `areas` (of each of `objects`, the share
of the image that its largest instance covers, null where that is not known); further columns are ignored. Other
packages add one with the entry-point group `eidolon.datasets`.
"""

import hashlib
import io
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from eidolon.benchmark.data import images as pictures
from eidolon.benchmark.data.image_rows import ImageRows, image_path, read_sample_id, read_strings
from eidolon.benchmark.data.selection import choose, sample_ids_of
from eidolon.scorers.core.errors import UserError, did_you_mean
from eidolon.scorers.core.input_files import (
    decode_text,
    excerpt,
    iterate_objects,
    read_bytes,
    read_image_id,
    user_path,
)
from eidolon.scorers.core.metric import Sources
from eidolon.scorers.core.registry import Registry
from eidolon.scorers.core.signature import hashed
from eidolon.scorers.core.types import ImageId, Judge, NarrowedJudge

if TYPE_CHECKING:
    import datasets
    from PIL import Image

Loader = Callable[[str, int | None, int, Mapping[str, str]], "datasets.Dataset"]

registry: "Registry[Loader]" = Registry(
    "dataset",
    "eidolon.datasets",
    {
        "scenes": "eidolon.benchmark.data.datasets:load_scenes",
        "folder": "eidolon.benchmark.data.datasets:load_folder",
        "coco": "eidolon.benchmark.data.readers.coco:load_coco",
        "objects365": "eidolon.benchmark.data.readers.coco:load_objects365",
        "amber": "eidolon.benchmark.data.readers.amber:load_amber",
        "hf": "eidolon.benchmark.data.readers.hub:load_hub",
    },
)

SCENES_SAMPLES = 64
"""How many scenes are drawn without `--limit`."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One image of a dataset with its truth. `index` finds the image."""

    index: int
    sample_id: str
    image_id: ImageId
    objects: tuple[str, ...]
    image_sha256: str | None
    """Of the file's bytes; None where they cannot be read."""
    references: tuple[str, ...] = ()
    """What people wrote about the image, where the dataset says."""
    areas: Mapping[str, float] = field(default_factory=dict)
    """Of each object the share of the image that its largest instance covers, where the dataset says."""
    sources: Sources | None = None
    """Who says that the objects are there, where reference captions joined the truth."""


class SampleSource:
    """The samples of a dataset in the order of the run."""

    def __init__(self, name: str, settings: Mapping[str, Any], rows: "datasets.Dataset") -> None:
        """Take over a dataset. Columns that are missing or ill-typed, no samples at all, a sample id that occurs
        twice, and not a single readable image file are UserErrors.

        Images are hashed here, one after the other in a stream; none stays in memory."""
        import datasets

        for column in ("image_id", "image", "objects"):
            if column not in rows.column_names:
                found = ", ".join(rows.column_names)
                raise UserError(f"--dataset {name}: has no column {column!r}; found {found}")
        if not len(rows):
            raise UserError(f"--dataset {name}: holds no samples")
        self.name = name
        self.settings = dict(settings)
        self._rows = rows.cast_column("image", datasets.Image(decode=False))
        self.samples: tuple[Sample, ...] = tuple(
            self._read(index, row) for index, row in enumerate(self._rows)
        )
        seen: dict[str, int] = {}
        for sample in self.samples:
            if (first := seen.setdefault(sample.sample_id, sample.index)) != sample.index:
                rows_of = f"rows {first} and {sample.index}"
                raise UserError(f"--dataset {name}: sample id {sample.sample_id!r} stands in {rows_of}")
        if all(sample.image_sha256 is None for sample in self.samples):
            first = self._rows[0]["image"]
            raise UserError(
                f"--dataset {name}: none of its {len(self.samples)} images can be read; the first is "
                f"{excerpt(_parts(first)[1]) if first else 'null'}; is it the right folder?"
            )
        self.sha256 = self._hash()

    def image(self, sample: Sample) -> "Image.Image":
        """Decode a sample's image, upright and in RGB, as `eidolon.benchmark.data.images` says. Raises whatever an
        unreadable one makes of it."""
        content, path = _parts(self._rows[sample.index]["image"])
        return pictures.read(path) if content is None else pictures.decode(content)

    def pixels(self, sample: Sample) -> int:
        """Return how many pixels a sample's image says it has, without decoding it; 0 where it says nothing."""
        from PIL import Image

        content, path = _parts(self._rows[sample.index]["image"])
        try:
            with Image.open(path if content is None else io.BytesIO(content)) as image:
                return image.width * image.height
        except Exception:  # whatever Pillow makes of it; the run will record it
            return 0

    def signature(self) -> str:
        """Return name and hash as they stand in a score's signature."""
        return hashed(self.name, self.sha256)

    def _read(self, index: int, row: Mapping[str, Any]) -> Sample:
        where = f"--dataset {self.name}: row {index}"
        image_id = read_image_id(row["image_id"], where)
        objects = row["objects"]
        if not isinstance(objects, list) or not all(isinstance(name, str) for name in objects):
            raise UserError(f"{where}: 'objects' must be a list of strings, found {excerpt(objects)}")
        areas = row.get("areas") or ()
        if len(areas) not in (0, len(objects)) or not all(
            area is None or isinstance(area, float) for area in areas
        ):
            raise UserError(
                f"{where}: 'areas' must be one number for each of 'objects', found {excerpt(areas)}"
            )
        sample_id = row.get("sample_id")
        return Sample(
            index=index,
            sample_id=str(image_id if sample_id is None else sample_id),
            image_id=image_id,
            objects=tuple(sorted(set(objects))),
            image_sha256=_image_hash(row["image"]),
            references=tuple(row.get("references") or ()),
            areas={name: area for name, area in zip(objects, areas, strict=False) if area is not None},
        )

    def _hash(self) -> str:
        digest = hashlib.sha256()
        for sample in self.samples:
            line = [sample.sample_id, sample.image_id, sample.objects, sample.image_sha256]
            line += [sample.references] if sample.references else []
            digest.update(json.dumps(line).encode() + b"\n")
        return digest.hexdigest()


def load_dataset(
    name: str,
    *,
    limit: int | None,
    seed: int,
    options: Mapping[str, str],
    sample_ids: Path | None = None,
    pick: str = "first",
) -> SampleSource:
    """Load a dataset by its name, `NAME` or `NAME/WHERE`, at most `limit` samples of it.

    `sample_ids` is a file that names the samples to take. `pick` says which a limit keeps: the `first`, or some
    that the seed draws (`random`); they stay in the dataset's order. Images of others are not even hashed.
    """
    base, _, where = name.partition("/")
    chosen = sample_ids is not None or pick == "random"
    # Of Scenes there are as many as are asked for, so what is chosen is chosen from those.
    rows = registry.get(base)(where, None if chosen and base != "scenes" else limit, seed, options)
    if chosen and "image_id" in rows.column_names:
        rows = rows.select(choose(sample_ids_of(rows), name, limit, seed, sample_ids, pick))
    if limit is not None and len(rows) > limit:
        rows = rows.select(range(limit))
    return SampleSource(name, options, rows)


def check_objects(objects: Sequence[str], vocabulary: Sequence[str], where: str) -> None:
    """Raise a UserError for a category that the judge does not know; an open vocabulary, empty, knows all."""
    for name in objects:
        if vocabulary and name not in vocabulary:
            raise UserError(f"{where}: unknown category {name!r}{did_you_mean(name, list(vocabulary))}")


def judged_objects(objects: Sequence[str], judge: Judge, where: str) -> tuple[str, ...]:
    """Return the objects that the judge reports; one that it does not even know is a UserError."""
    check_objects(objects, judge.known if isinstance(judge, NarrowedJudge) else judge.vocabulary, where)
    return tuple(name for name in objects if not judge.vocabulary or name in judge.vocabulary)


def load_scenes(where: str, limit: int | None, seed: int, options: Mapping[str, str]) -> "datasets.Dataset":
    """Draw Scenes: as many as the limit says, from the seed, the options being its dials."""
    from eidolon.benchmark.scenes import dataset
    from eidolon.benchmark.scenes.scene import Dials

    if where:
        raise UserError(f"--dataset scenes/{where}: Scenes is drawn, not read; write --dataset scenes")
    for key, value in options.items():
        if key not in Dials.model_fields:
            mend = did_you_mean(key, [*Dials.model_fields])
            raise UserError(f"-D {key}={value}: Scenes has no dial {key!r}{mend}")
    try:
        dials = Dials.model_validate(dict(options))
    except ValidationError as error:
        problem = error.errors()[0]
        field = ".".join(str(part) for part in problem["loc"])
        given = (
            f"{field}={options[field]}"
            if field in options
            else ", ".join(f"{k}={v}" for k, v in options.items())
        )
        raise UserError(f"-D {given}: {problem['msg']}") from error
    return dataset.load(SCENES_SAMPLES if limit is None else limit, seed, **dials.model_dump())


def load_folder(where: str, limit: int | None, seed: int, options: Mapping[str, str]) -> "datasets.Dataset":
    """Read a folder of images with an `objects.jsonl`: lines {"image_id", "image", "objects"}.

    `image` is a file name relative to the folder, which it cannot leave; `sample_id`, a list `references` of captions
    by people, and `areas`, {category: share of the image that its largest instance covers}, may be given too.
    """
    from eidolon.benchmark.data.ground_truth import read_areas

    if not where:
        raise UserError("--dataset folder: name the folder: --dataset folder/PATH")
    if options:
        raise UserError(f"-D {next(iter(options))}: a folder dataset takes no options")
    folder = user_path(where)
    table = folder / "objects.jsonl"
    rows = ImageRows()
    truth: dict[ImageId, tuple[set[str], int]] = {}
    for number, row in iterate_objects(decode_text(read_bytes(table), table), table):
        if limit is not None and len(rows) == limit:
            break
        place = f"{table}:{number}"
        for name in ("image_id", "image", "objects"):
            if name not in row:
                raise UserError(f"{place}: field {name!r} is missing")
        references = row.get("references")
        path = image_path(folder, row["image"], place)
        if not os.path.isfile(path):  # unlike Path.is_file, also where the name is too long for a file
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
        )
        found, first = truth.setdefault(image_id, (set(objects), number))
        if found != set(objects):
            raise UserError(f"{place}: image {excerpt(image_id)} has other objects on line {first}")
    return rows.dataset()


def _image_hash(cell: Mapping[str, Any] | None) -> str | None:
    """Return the hash of an image's bytes, read as a stream; None where they cannot be read, which is met
    again, and recorded, when the image is to be decoded."""
    content, path = _parts(cell)
    if content is not None:
        return hashlib.sha256(content).hexdigest()
    if not os.path.isfile(path):  # a pipe would be waited for
        return None
    try:
        with open(path, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return None


def _parts(cell: Mapping[str, Any] | None) -> tuple[bytes | None, str]:
    """Return the bytes of an image, or the path of its file; an empty path where the row holds neither."""
    content, path = (cell["bytes"], cell["path"]) if cell else (None, None)
    return (content if isinstance(content, bytes) else None), path or ""
