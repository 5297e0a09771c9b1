"""The labelled part: a file of objects about some of the images."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from eidolon.benchmark.annotate.pictures import Picture
from eidolon.benchmark.data.truth_file import read_truth
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import excerpt, read_bytes
from eidolon.scorers.core.notes import InputNote


@dataclass(frozen=True, slots=True)
class Labelled:
    """What people say of some images."""

    file: str
    sha256: str
    objects: dict[str, tuple[str, ...]]
    """By image id, those of the names that are there, in the order of the names."""


class _NamesAsked:
    """Keeps of a file's objects those that are looked for, in whatever spelling."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = {_squeezed(name): name for name in names}

    def judged(self, objects: Sequence[str], place: str) -> tuple[str, ...]:
        """Return the names among the objects."""
        return tuple(
            dict.fromkeys(name for text in objects if (name := self._names.get(_squeezed(text))) is not None)
        )

    def check(self) -> None:
        """Do nothing: other objects are no mistake."""

    def notes(self, source: str) -> list[InputNote]:
        """Return nothing."""
        return []


def read_labelled(path: Path, pictures: Sequence[Picture], names: Sequence[str]) -> Labelled:
    """Return the labelled part. Every name that the file does not list for an image is absent from it.

    Raises:
        UserError: the file cannot be read, names an image that is not there, or labels fewer than two images.
    """
    truth = read_truth(path, _NamesAsked(names))
    ids = truth.ids(path)
    found = {}
    used = set()
    for picture in pictures:
        known = ids.find(picture.image_id, str(path))
        if known is None:
            known = ids.find(picture.path.name, str(path))
        if known is not None:
            used.add(known)
            found[picture.image_id] = tuple(name for name in names if name in truth.objects[known])
    if unknown := next((image_id for image_id in truth.objects if image_id not in used), None):
        raise UserError(
            f"--labelled {path}: image {excerpt(unknown)} is not among the images (the first is "
            f"{excerpt(pictures[0].image_id)}); label images of this folder"
        )
    if len(found) < 2:
        raise UserError(f"--labelled {path}: labels {len(found)} image; it takes at least 2, better 50")
    return Labelled(path.name, hashlib.sha256(read_bytes(path)).hexdigest(), found)


def _squeezed(name: str) -> str:
    return "".join(c for c in name.casefold() if c not in " _-")
