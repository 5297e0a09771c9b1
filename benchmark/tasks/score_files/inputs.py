"""What the settings of `eidolon score` name, checked: one file, one number, known fields, hashes."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from eidolon.benchmark.settings.score import ScoreSettings
from eidolon.scorers.core.errors import UserError, did_you_mean


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
