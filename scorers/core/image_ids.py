"""Image ids as files write them: numbers, padded numbers, file names, paths and addresses of one and the same image."""

import re
from collections.abc import Iterable, Mapping, Set
from functools import cached_property
from itertools import chain
from pathlib import Path

from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import MAX_INTEGER, excerpt
from eidolon.scorers.core.notes import InputNote, assumed
from eidolon.scorers.core.types import ImageId

_SUFFIX = re.compile(r"\.(?:jpe?g|png|webp|bmp|gif|tiff?)$", re.IGNORECASE)
_NUMBER = re.compile(r"(\d+)(?:\.0+)?", re.ASCII)
_NAMED = re.compile(
    r"(?:COCO_)?(?:train|val|test)20\d\d_(\d{12})|objects365_v\d_(\d{8})", re.ASCII | re.IGNORECASE
)
"""Names of files that hold the number of the image: of COCO 2014 and of Objects365."""
_DIGITS = len(str(MAX_INTEGER))


def is_file_name(text: str) -> bool:
    """Tell whether a text is the name of a picture's file: by its ending, or as COCO's files are called."""
    return _SUFFIX.search(_path(text)) is not None or _NAMED.fullmatch(_stem(text)) is not None


def image_number(value: ImageId) -> int | None:
    """Return the number of an image: of `42`, `"42"`, `"000000000042.jpg"`, `"val2014/COCO_val2014_000000000042.jpg"`.

    None for an id that holds no number, or something beside it: `AMBER_42.jpg`.
    """
    if isinstance(value, int):
        return value
    stem = _stem(value)
    digits = _NUMBER.fullmatch(stem) or _NAMED.fullmatch(stem)
    if digits is None:
        return None
    found = (digits[1] or digits[digits.lastindex or 1]).lstrip("0")
    return int(found or "0") if len(found) <= _DIGITS else None


def same_image(one: ImageId, other: ImageId) -> bool:
    """Tell whether two ids may be of one image: the same number, or the same name of a file."""
    numbers = image_number(one), image_number(other)
    return (
        one == other
        or (None not in numbers and numbers[0] == numbers[1])
        or _stem(str(one)) == _stem(str(other))
    )


class ImageIds:
    """The image ids of a file, which ids of other files are matched with."""

    def __init__(
        self, ids: Iterable[ImageId], path: Path, files: Mapping[str, ImageId] | None = None
    ) -> None:
        """`files` are the names of the images' files, where the file has them; `path` is for messages."""
        self._ids = ids if isinstance(ids, Set | Mapping) else {*ids}
        self._path, self._files = path, files or {}
        self.matched: dict[ImageId, ImageId] = {}
        """The ids that were found in another form, with what they were matched with."""

    def find(self, value: ImageId, place: str) -> ImageId | None:
        """Return the id in the file that names the same image, None if there is none.

        An equal id comes first, then the file's name, then the number.

        Raises:
            UserError: several may be meant; `place` is for the message.
        """
        if value in self._ids:
            return value
        if value not in self.matched:
            found = self._by_name(value) if isinstance(value, str) else set()
            found = found or self._numbered(value, place)
            if len(found) > 1:
                both = " and ".join(sorted(map(excerpt, found))[:2])
                raise UserError(
                    f"{place}: image {excerpt(value)} may be {both} of {self._path}; use the same ids"
                )
            if not found:
                return None
            self.matched[value] = found.pop()
        return self.matched[value]

    def notes(self, source: str, of: int) -> list[InputNote]:
        """Return what was assumed of the ids of a file that has `of` different ones."""
        if not self.matched:
            return []
        example = next(iter(self.matched.items()))
        return [assumed(source, "ids", count=len(self.matched), of=of, example=[*example])]

    # Made for the first id that is not equal to one of the file: most files have the same ids.

    @cached_property
    def _by_number(self) -> dict[int, set[ImageId]]:
        found: dict[int, set[ImageId]] = {}
        for image_id in self._ids:
            if (number := image_number(image_id)) is not None:
                found.setdefault(number, set()).add(image_id)
        return found

    @cached_property
    def _by_stem(self) -> dict[str, dict[str, ImageId]]:
        found: dict[str, dict[str, ImageId]] = {}
        for name, image_id in chain(((str(i), i) for i in self._ids), self._files.items()):
            found.setdefault(_stem(name), {})[_path(name)] = image_id
        return found

    @cached_property
    def _file_of(self) -> dict[ImageId, str]:
        return {image_id: name for name, image_id in self._files.items()}

    def _by_name(self, value: str) -> set[ImageId]:
        found = self._by_stem.get(_stem(value), {})
        if len({*found.values()}) > 1:
            wanted = _path(value)
            closer = {name: image_id for name, image_id in found.items() if _ends_alike(name, wanted)}
            found = closer or found
        return {*found.values()}

    def _numbered(self, value: ImageId, place: str) -> set[ImageId]:
        number = image_number(value)
        found = {*self._by_number.get(number, ())} if number is not None else set()
        for image_id in found if isinstance(value, str) and is_file_name(value) else ():
            name = self._file_of.get(image_id)
            if name is not None and image_number(name) not in (None, number):
                raise UserError(
                    f"{place}: image {excerpt(value)} has the number of image {excerpt(image_id)} of {self._path}, "
                    f"whose file is {excerpt(name)}; use the same ids"
                )
        return found


def _ends_alike(one: str, other: str) -> bool:
    mine, theirs = (_SUFFIX.sub("", text).split("/") for text in (one, other))
    length = min(len(mine), len(theirs))
    return mine[-length:] == theirs[-length:]


def _path(text: str) -> str:
    """Return a file name or address with `/` between its folders, in lower case, without a query."""
    text = text.strip().casefold()
    if "://" in text:
        text = text.partition("?")[0].partition("#")[0]
    return text.replace("\\", "/")


def _stem(text: str) -> str:
    """Return the last part of a path without the ending of a picture."""
    return _SUFFIX.sub("", _path(text).rpartition("/")[2]).strip()
