"""The pictures of a run, found again: in the dataset that the run names, or in a folder of files."""

import base64
import hashlib
import io
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from eidolon.benchmark.data import images
from eidolon.benchmark.data.picture_files import find_pictures as find_files
from eidolon.benchmark.data.samples import Box, SampleSource
from eidolon.benchmark.settings.config import settings_of
from eidolon.benchmark.settings.run import RunSettings
from eidolon.benchmark.store.files import SAMPLES
from eidolon.benchmark.store.loaded import LoadedRun
from eidolon.benchmark.store.record import SampleRow
from eidolon.scorers.core.errors import UserError

if TYPE_CHECKING:
    from PIL import Image

SIDE = 320
"""Longest side of a picture on the page, pixels."""
MOST_BYTES = 18_000
"""Bytes of one picture. 500 of them make 12 MB of text, so that the page with all texts stays under 15 MB."""
QUALITIES = (78, 60, 40, 20)


class PictureSource(Protocol):
    """Where pictures come from."""

    def picture(self, row: SampleRow) -> "Image.Image | None":
        """Return the picture of a sample, None if it is not there, cannot be read, or is another one."""
        ...

    def boxes(self, row: SampleRow) -> Mapping[str, tuple[Box, ...]]:
        """Return where the objects are, by category; nothing where that is not known."""
        ...


class NoPictures:
    """No pictures, and why."""

    def picture(self, row: SampleRow) -> "Image.Image | None":
        """Return None."""
        return None

    def boxes(self, row: SampleRow) -> Mapping[str, tuple[Box, ...]]:
        """Return nothing."""
        return {}


class FolderPictures:
    """Image files in a folder, named by their image ids."""

    def __init__(self, folder: Path, rows: Iterable[SampleRow]) -> None:
        """Find the files of the samples.

        Raises:
            UserError: the folder cannot be read, or holds a picture of none of the samples.
        """
        self._files = find_files(folder, (row.image_id for row in rows))

    def picture(self, row: SampleRow) -> "Image.Image | None":
        """Return the picture of a sample, None if it has no file, or another one than the run saw."""
        path = self._files.get(row.image_id)
        if path is None:
            return None
        if row.image_sha256 is not None and row.image_sha256 != hashlib.sha256(path.read_bytes()).hexdigest():
            return None
        return _read(partial(images.read, str(path)))

    def boxes(self, row: SampleRow) -> Mapping[str, tuple[Box, ...]]:
        """Return nothing: a folder of files knows no boxes."""
        return {}


class DatasetPictures:
    """The pictures of a dataset, and its boxes."""

    def __init__(self, source: SampleSource, *, generated: bool) -> None:
        """`generated` says that the pictures are drawn again, so that their files' bytes depend on libraries."""
        self._source, self._generated = source, generated
        self._samples = {str(sample.image_id): sample for sample in source.samples}

    def picture(self, row: SampleRow) -> "Image.Image | None":
        """Return the picture of a sample, None if the dataset has another one now."""
        sample = self._samples.get(str(row.image_id))
        if sample is None or (sample.image_sha256 != row.image_sha256 and not self._generated):
            return None
        return _read(partial(self._source.image, sample))

    def boxes(self, row: SampleRow) -> Mapping[str, tuple[Box, ...]]:
        """Return the boxes of the sample's objects."""
        sample = self._samples.get(str(row.image_id))
        return {} if sample is None else self._source.boxes(sample)


def find_pictures(run: LoadedRun, folder: Path | None) -> tuple[PictureSource, str | None]:
    """Return the pictures of a run, and why there are none where that is so.

    Raises:
        UserError: the folder cannot be read, or holds a picture of none of the samples.
    """
    if folder is not None:
        return FolderPictures(folder, run.stream(SAMPLES, SampleRow)), None
    settings = settings_of(run.record.config)
    if not isinstance(settings, RunSettings):
        return (
            NoPictures(),
            "There are no pictures: the responses came from a file. --images FOLDER adds them.",
        )
    try:
        return _of_dataset(run, settings), None
    except UserError as error:
        return NoPictures(), f"There are no pictures: the dataset of the run cannot be read here ({error})."


def _of_dataset(run: LoadedRun, settings: RunSettings) -> DatasetPictures:
    from eidolon.benchmark.data.datasets import is_generated, registry

    name, _, where = settings.dataset.partition("/")
    generated = is_generated(settings.dataset)
    limit = settings.limit if generated else None
    rows = registry.get(name)(where, limit, settings.seed, settings.dataset_options)
    if "image_id" in rows.column_names:
        wanted = {row.image_id for row in run.stream(SAMPLES, SampleRow)}
        rows = rows.select([i for i, image_id in enumerate(rows["image_id"]) if image_id in wanted])
    return DatasetPictures(
        SampleSource(settings.dataset, settings.dataset_options, rows), generated=generated
    )


def encode(image: "Image.Image") -> bytes:
    """Return a small WebP of a picture, at most `MOST_BYTES` long unless even the smallest form is longer."""
    side, content = SIDE, b""
    while side >= SIDE // 4:
        small = image.copy()
        small.thumbnail((side, side))
        for quality in QUALITIES:
            stream = io.BytesIO()
            small.save(stream, format="WEBP", quality=quality, method=4)
            content = stream.getvalue()
            if len(content) <= MOST_BYTES:
                return content
        side //= 2
    return content


def data_uri(content: bytes) -> str:
    """Return a WebP as a data URI."""
    return f"data:image/webp;base64,{base64.b64encode(content).decode()}"


def _read(load: "Callable[[], Image.Image]") -> "Image.Image | None":
    """Return what `load` reads. Pillow raises almost anything for a broken file, and the run says so already."""
    try:
        return load()
    except Exception:
        return None
