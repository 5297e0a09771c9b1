"""The files of images by their ids, in a folder of pictures, as for the report of responses that exist already."""

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import excerpt, user_path
from eidolon.scorers.core.types import ImageId

SUFFIXES = (".avif", ".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
_NUMBERED = re.compile(r"(?:.*[^0-9])?([0-9]{1,18})")
_NUMBER = re.compile(r"(?:COCO_[a-z]+[0-9]+_)?([0-9]{1,18})")


def find_pictures(folder: Path, image_ids: Iterable[ImageId]) -> dict[ImageId, Path]:
    """Return the file of each image that has one, directly in the folder.

    A file is an image's if its name is the id, with or without a suffix; or if the id is a number, as it is or as COCO
    writes it, and the file's name is the only one that ends with that number: 139 is `COCO_val2014_000000000139.jpg`.

    Raises:
        UserError: the folder cannot be read, or holds a file of none of the images.
    """
    wanted = [*dict.fromkeys(image_ids)]
    by_name, by_number = _index(folder)
    found = {image_id: path for image_id in wanted if (path := _find(str(image_id), by_name, by_number))}
    if wanted and not found:
        raise UserError(
            f"--images {folder}: has no picture of any image that was responded to; the first is "
            f"{excerpt(wanted[0])}, so a file {excerpt(f'{wanted[0]}.jpg')} would do"
        )
    return found


def _index(folder: Path) -> tuple[dict[str, Path], dict[int, Path | None]]:
    """Return the pictures of a folder by name and stem, and by number; None for a number of several."""
    by_name: dict[str, Path] = {}
    by_number: dict[int, Path | None] = {}
    try:
        names = sorted(entry.name for entry in os.scandir(user_path(str(folder))) if entry.is_file())
    except OSError as error:
        raise UserError(f"--images {folder}: cannot be read ({error.strerror})") from error
    for name in names:
        stem, suffix = os.path.splitext(name)
        if suffix.lower() not in SUFFIXES:
            continue
        path = folder / name
        by_name.setdefault(stem, path)
        by_name[name] = path
        if numbered := _NUMBERED.fullmatch(stem):
            number = int(numbered[1])
            by_number[number] = None if number in by_number else path
    return by_name, by_number


def _find(name: str, by_name: Mapping[str, Path], by_number: Mapping[int, Path | None]) -> Path | None:
    stem, suffix = os.path.splitext(name)
    known = suffix.lower() in SUFFIXES
    if (found := by_name.get(name) or (by_name.get(stem) if known else None)) is not None:
        return found
    number = _NUMBER.fullmatch(stem if known else name)
    return by_number.get(int(number[1])) if number else None
