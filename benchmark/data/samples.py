"""Samples: the one shape in which a run takes a dataset. They are ordered, and images are decoded late."""

import hashlib
import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from eidolon.benchmark.data import images
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import excerpt, read_image_id
from eidolon.scorers.core.metric import Sources
from eidolon.scorers.core.signature import hashed
from eidolon.scorers.core.types import ImageId

if TYPE_CHECKING:
    import datasets
    from PIL import Image


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
        return images.read(path) if content is None else images.decode(content)

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
