"""Checks of the `-D` options that readers share, and the mapping of category names to the judge's words."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from eidolon.benchmark.data.json_rows import read_json_object
from eidolon.scorers.core.errors import UserError, did_you_mean
from eidolon.scorers.core.input_files import clean, excerpt, read_bytes, user_path


def check_options(
    dataset: str, options: Mapping[str, str], *, required: Mapping[str, str], optional: Iterable[str] = ()
) -> None:
    """Raise a UserError for an option that the dataset does not have, or a required one that is missing.

    `required` maps names to placeholders of their values, for the message: `{"annotations": "FILE"}`.
    """
    known = (*required, *optional)
    for key, value in options.items():
        if key not in known:
            fix = did_you_mean(key, known)
            raise UserError(f"-D {key}={value}: dataset {dataset!r} has no option {key!r}{fix}")
    for key, value in required.items():
        if not options.get(key):
            raise UserError(f"--dataset {dataset}: give -D {key}={value}")


def refuse_place(dataset: str, where: str) -> None:
    """Raise a UserError for `--dataset NAME/WHERE`, where the dataset takes its files from options."""
    if where:
        raise UserError(
            f"--dataset {dataset}/{where}: the files are named by options; write --dataset {dataset} -D …"
        )


def image_folder(text: str) -> Path:
    """Return the folder of `-D images`. Raises UserError if it does not exist or is no folder."""
    folder = user_path(text)
    if not os.path.isdir(folder):
        what = "is a file, not a folder" if os.path.exists(folder) else "no such folder"
        raise UserError(f"-D images={text}: {what}")
    return folder


class CategoryNames:
    """Maps the category names of a dataset to the judge's words."""

    def __init__(self, file: str | None) -> None:
        """Read the file of `-D names`; without one all names stay unchanged.

        The file is a JSON object {name: judge's word}. Null removes a category from the ground truth. Names that are
        not in the file stay unchanged.

        Raises:
            UserError: the file cannot be read, or a value is neither a string nor null.
        """
        self._names: dict[str, str | None] = {}
        if file is None:
            return
        path = user_path(file)
        for name, judged in read_json_object(read_bytes(path), path).items():
            if judged is not None and not isinstance(judged, str):
                raise UserError(f"{path}: {excerpt(name)} must have a name or null, found {excerpt(judged)}")
            self._names[clean(name)] = None if judged is None else clean(judged)

    def judged(self, names: Iterable[str]) -> list[str]:
        """Return the judge's words for the given names, sorted and without duplicates."""
        found = {self._names.get(name, name) for name in names}
        return sorted(name for name in found if name is not None)
