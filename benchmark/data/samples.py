"""Samples: the form in which a run reads a dataset. They are ordered, and each image is decoded when it is needed."""

import hashlib
import io
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eidolon.benchmark.data import images
from eidolon.benchmark.data.coco_licences import Attribution
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import excerpt, open_regular, read_image_id
from eidolon.scorers.core.metric import Sources
from eidolon.scorers.core.signature import hashed
from eidolon.scorers.core.types import ImageId

if TYPE_CHECKING:
    import datasets
    from PIL import Image


Box = tuple[float, float, float, float]
"""(x0, y0, x1, y1) as shares of the image's sides, from its upper left corner."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One image of a dataset with its ground truth."""

    index: int
    """The row of the dataset."""
    sample_id: str
    image_id: ImageId
    objects: tuple[str, ...]
    image_sha256: str | None
    """SHA-256 of the bytes of the file; None if they cannot be read."""
    references: tuple[str, ...] = ()
    """Captions that people wrote for the image, if the dataset has them."""
    areas: Mapping[str, float] = field(default_factory=dict)
    """By object, the share of the image that its largest instance covers, 0 to 1, if the dataset has it."""
    sources: Sources | None = None
    """Which objects are annotated and which the reference captions name; None without references."""
    unsure: tuple[str, ...] = ()
    """Names that the annotator of the truth left open."""
    labelled: tuple[str, ...] | None = None
    """The true names, where people labelled the image for the annotator."""


class SampleSource:
    """The samples of a dataset in the order of the run."""

    def __init__(self, name: str, settings: Mapping[str, Any], rows: "datasets.Dataset") -> None:
        """Check the rows of a dataset and hash its images, one at a time. No image stays in memory.

        Args:
            name: The dataset as the user named it, `NAME` or `NAME/WHERE`.
            settings: What `run.json` records of it: the options of its loader.
            rows: The columns that `eidolon.benchmark.data.loaders.DatasetLoader` describes.

        Raises:
            UserError: a column is missing or has values of a wrong type, there are no samples, a sample id occurs
                twice, or none of the image files can be read.
        """
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
                raise UserError(f"--dataset {name}: sample id {sample.sample_id!r} is in {rows_of}")
        if all(sample.image_sha256 is None for sample in self.samples):
            first = self._rows[0]["image"]
            raise UserError(
                f"--dataset {name}: none of its {len(self.samples)} images can be read; the first is "
                f"{excerpt(_parts(first)[1]) if first else 'null'}; is it the right folder?"
            )
        annotated = "annotator" in rows.column_names
        self.annotator: str | None = self._rows[0]["annotator"] if annotated else None
        """Who made the truth, `clip/NAME (unverified)`; None where people did, or a program that drew the images."""
        self.looked_for: tuple[str, ...] = tuple(self._rows[0]["looked_for"]) if annotated else ()
        """The names that it looked for."""
        self.sha256 = self._hash()

    def __getstate__(self) -> dict[str, Any]:
        """Return what another machine needs: paths of files that are kept, and the rows of files that are not."""
        return self.__dict__ | {"_rows": _portable(self._rows)}

    def image(self, sample: Sample) -> "Image.Image":
        """Return the decoded image of a sample, upright and in RGB.

        Raises what `eidolon.benchmark.data.images.read` raises for a file that cannot be read.
        """
        content, path = _parts(self._rows[sample.index]["image"])
        return images.read(path) if content is None else images.decode(content)

    def attribution(self, sample: Sample) -> Attribution | None:
        """Return source and licence of a sample's image; None if the dataset has no column `attribution`."""
        if "attribution" not in self._rows.column_names:
            return None
        row = self._rows[sample.index]["attribution"]
        return Attribution(**row) if row else None

    def boxes(self, sample: Sample) -> dict[str, tuple[Box, ...]]:
        """Return the boxes of a sample's objects by category; nothing if the dataset has no column `boxes`."""
        row = self._rows[sample.index]
        boxes = row.get("boxes") or ()
        return {
            name: tuple((x0, y0, x1, y1) for x0, y0, x1, y1 in found)
            for name, found in zip(row["objects"], boxes, strict=False)
            if found
        }

    def colours(self, sample: Sample) -> dict[str, str]:
        """Return the colours of a sample's objects; nothing if the dataset has no column `colours`."""
        row = self._rows[sample.index]
        return {
            name: colour
            for name, colour in zip(row["objects"], row.get("colours") or (), strict=False)
            if colour is not None
        }

    def pixels(self, sample: Sample) -> int:
        """Return the number of pixels of a sample's image from its header; 0 if it cannot be read."""
        from PIL import Image

        content, path = _parts(self._rows[sample.index]["image"])
        try:
            stream = open_regular(Path(path), images.MOST_BYTES) if content is None else io.BytesIO(content)
            with stream, Image.open(stream) as image:
                return image.width * image.height
        except Exception:  # Pillow raises almost anything for a broken file; the run records the error
            return 0

    def signature(self) -> str:
        """Return name and hash in the form of a score's signature."""
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
            unsure=tuple(sorted({*(row.get("unsure") or ())} - {*objects})),
            labelled=None if (labels := row.get("labelled")) is None else tuple(sorted({*labels})),
        )

    def _hash(self) -> str:
        digest = hashlib.sha256()
        for sample in self.samples:
            line: list[Any] = [sample.sample_id, sample.image_id, sample.objects, sample.image_sha256]
            line += [sample.references] if sample.references else []
            line += [[sample.unsure, sample.labelled]] if sample.unsure or sample.labelled is not None else []
            digest.update(json.dumps(line).encode() + b"\n")
        return digest.hexdigest()


def _portable(rows: "datasets.Dataset") -> "datasets.Dataset":
    """Return rows that can be sent: in memory if they are in a temporary file, as those of a drawn dataset."""
    import datasets

    files = [Path(file["filename"]) for file in rows.cache_files]
    if all(file.exists() and not file.is_relative_to(tempfile.gettempdir()) for file in files):
        return rows
    table = datasets.table.InMemoryTable(rows.with_format("arrow")[:])
    return datasets.Dataset(table, info=rows.info)


def _image_hash(cell: Mapping[str, Any] | None) -> str | None:
    """Return the SHA-256 of the bytes of an image; None if they cannot be read.

    Decoding the image fails for the same reason later, and the run records that error.
    """
    content, path = _parts(cell)
    if content is not None:
        return hashlib.sha256(content).hexdigest()
    try:
        with open_regular(Path(path), images.MOST_BYTES) as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except (OSError, ValueError):  # a NUL byte in the name
        return None


def _parts(cell: Mapping[str, Any] | None) -> tuple[bytes | None, str]:
    """Return the bytes of an image and the path of its file; None and an empty path for what the row lacks."""
    content, path = (cell["bytes"], cell["path"]) if cell else (None, None)
    return (content if isinstance(content, bytes) else None), path or ""
