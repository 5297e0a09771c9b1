"""The images that are annotated: files of a folder, read once for their hash and once for their pixels."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from eidolon.benchmark.data import images
from eidolon.benchmark.data.picture_files import SUFFIXES
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import open_regular, user_path

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True, slots=True)
class Picture:
    """One image file."""

    image_id: str
    path: Path
    name: str
    """The path inside the folder that the file of objects names, with slashes."""
    sha256: str


def find_pictures(given: Path, out: Path) -> tuple[str, list[Picture]]:
    """Return the folder of the images as seen from `out`, and the images of a folder or the one image, by name.

    An image's id is its file name without the ending, or with it where two files differ in the ending alone. Where the
    images are below the folder of `out`, their names are relative to it, so that it is a dataset folder.

    Raises:
        UserError: there is no such folder, no image in it, or a file cannot be read.
    """
    place = user_path(str(given))
    paths = [place] if place.is_file() else _files(place, given)
    stems = [path.stem for path in paths]
    by_stem = len({*stems}) == len(stems)
    home, source = out.parent.resolve(), paths[0].parent.resolve()
    inside = source.is_relative_to(home)
    folder = "." if inside else Path(os.path.relpath(source, home)).as_posix()
    prefix = source.relative_to(home).as_posix() + "/" if inside and source != home else ""
    return folder, [
        Picture(path.stem if by_stem else path.name, path, prefix + path.name, _sha256(path))
        for path in paths
    ]


def read_all(pictures: Sequence[Picture]) -> "list[Image.Image]":
    """Return the decoded images.

    Raises:
        UserError: one cannot be decoded.
    """
    return [read_picture(picture.path) for picture in pictures]


def read_picture(path: Path) -> "Image.Image":
    """Return the decoded image of a file.

    Raises:
        UserError: it cannot be decoded.
    """
    try:
        return images.read(str(path))
    except Exception as error:  # Pillow raises almost anything for a broken file
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise UserError(f"{path}: the image cannot be read ({why}); repair or remove it") from error


def _files(place: Path, given: Path) -> list[Path]:
    if not place.is_dir():
        raise UserError(f"{given}: no such folder of images")
    found = sorted(
        entry
        for entry in place.iterdir()
        if entry.suffix.lower() in SUFFIXES and entry.is_file() and not entry.name.startswith(".")
    )
    if not found:
        raise UserError(f"{given}: holds no image ({', '.join(SUFFIXES)})")
    return found


def _sha256(path: Path) -> str:
    try:
        with open_regular(path, images.MOST_BYTES) as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{path}: the image cannot be read ({error.strerror or error}); remove it") from error
