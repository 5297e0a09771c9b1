"""The folders of studies."""

from pathlib import Path

from eidolon.scorers.core.errors import UserError


def make_folders(*paths: Path) -> None:
    """Make folders that are missing. Raises UserError if one cannot be made."""
    for path in paths:
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{error.filename}: {error.strerror}") from error
