"""What the settings of `eidolon score` name, checked: one file, one number, known fields, hashes."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from eidolon.benchmark.data.categories import CategoryMap, read_names
from eidolon.benchmark.data.truth_file import FileTruth, read_truth
from eidolon.benchmark.settings.score import ScoreSettings
from eidolon.scorers.core.errors import UserError, did_you_mean
from eidolon.scorers.core.judge import Judge
from eidolon.scorers.core.response_lines import FIELDS

TRUTH_FIELDS = (*FIELDS, "objects")
"""What `--field` names, in the files of responses and of objects."""


def one_path(path: Path | None) -> Path:
    """Return a path that the task needs; that it is there was checked before."""
    assert path is not None
    return path


def one_answer_file(settings: ScoreSettings) -> Path:
    """Return the file of answers.

    Raises:
        UserError: there are several.
    """
    files = settings.answers
    if len(files) != 1:
        raise UserError(f"--answers {' '.join(map(str, files))}: must be one file; only throne takes several")
    return files[0]


def check_fields(given: Mapping[str, str], known: tuple[str, ...]) -> None:
    """Check the names of `--field`.

    Raises:
        UserError: one is unknown.
    """
    for name, value in given.items():
        if name not in known:
            hint = did_you_mean(name, known)
            raise UserError(f"--field {name}={value}: unknown field {name!r}{hint}")


def content_hashes(**contents: bytes) -> dict[str, str]:
    """Return the SHA-256 of each content by its name."""
    return {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}


def read_objects(settings: ScoreSettings, path: Path, judge: Judge) -> FileTruth:
    """Return the content of the file of objects, with the names of `--names` mapped to categories."""
    names = read_names(settings.names) if settings.names is not None else None
    return read_truth(path, CategoryMap(judge, names), settings.fields)


def response_fields(fields: Mapping[str, str]) -> dict[str, str]:
    """Return those of `--field` that the file of responses has."""
    return {ours: theirs for ours, theirs in fields.items() if ours in FIELDS}
