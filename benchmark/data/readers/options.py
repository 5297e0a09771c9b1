"""What the readers' `-D` options share: which there are, folders, and names in the judge's words."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from eidolon.benchmark.data.json_rows import read_json_object
from eidolon.scorers.core.errors import UserError, did_you_mean
from eidolon.scorers.core.input_files import clean, excerpt, read_bytes, user_path


def check_options(
    dataset: str, options: Mapping[str, str], *, required: Mapping[str, str], optional: Iterable[str] = ()
) -> None:
    """Raise a UserError for an option that the dataset lacks, or one that is missing.

    `required` maps a name to what it stands for: `{"annotations": "FILE"}`.
    """
    known = (*required, *optional)
    for key, value in options.items():
        if key not in known:
            mend = did_you_mean(key, known)
            raise UserError(f"-D {key}={value}: dataset {dataset!r} has no option {key!r}{mend}")
    for key, value in required.items():
        if not options.get(key):
            raise UserError(f"--dataset {dataset}: give -D {key}={value}")


def refuse_place(dataset: str, where: str) -> None:
    """Raise a UserError for a name that goes on after the dataset's: its files are named by options."""
    if where:
        raise UserError(
            f"--dataset {dataset}/{where}: the files are named by options; write --dataset {dataset} -D …"
        )


def image_folder(text: str) -> Path:
    """Return the folder of `-D images`; one that is not there is a UserError."""
    folder = user_path(text)
    if not os.path.isdir(folder):
        what = "is a file, not a folder" if os.path.exists(folder) else "no such folder"
        raise UserError(f"-D images={text}: {what}")
    return folder


class Names:
    """The judge's word for each of the dataset's category names."""

    def __init__(self, file: str | None) -> None:
        """Take the file of `-D names`: a JSON object, name to name, or to null where it is to be left out of
        the truth. A name that it does not hold stays as it is."""
        self._names: dict[str, str | None] = {}
        if file is None:
            return
        path = user_path(file)
        for name, judged in read_json_object(read_bytes(path), path).items():
            if judged is not None and not isinstance(judged, str):
                raise UserError(f"{path}: {excerpt(name)} must have a name or null, found {excerpt(judged)}")
            self._names[clean(name)] = None if judged is None else clean(judged)

    def judged(self, names: Iterable[str]) -> list[str]:
        """Return the objects in the judge's words, each once, sorted."""
        found = {self._names.get(name, name) for name in names}
        return sorted(name for name in found if name is not None)
