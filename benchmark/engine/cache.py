"""The response cache: responses that models gave in earlier runs, shared by all runs of a user.

The file may be deleted at any time. A fault in it costs a warning, never a run.
"""

import logging
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from eidolon.benchmark.engine.cache_file import CacheFile, CacheSummary, ModelName
from eidolon.models.base.backend import FileDigest
from eidolon.models.base.checkpoint_files import file_sha256
from eidolon.scorers.core.errors import UserError, did_you_mean
from eidolon.scorers.core.input_files import user_path

FOLDER_VARIABLE, SIZE_VARIABLE = "EIDOLON_CACHE", "EIDOLON_CACHE_MAX_MB"
MAX_MB = 4096
"""The largest size of the file, in megabytes of 10⁶ bytes, unless the user sets another."""
FILE = "responses-1.sqlite3"
"""Its number is the version of the tables: other tables get another file."""

T = TypeVar("T")
logger = logging.getLogger(__name__)


def cache_folder() -> Path | None:
    """Return the folder of the cache: `$EIDOLON_CACHE`, else the user's cache folder; None without a home folder."""
    if given := os.environ.get(FOLDER_VARIABLE):
        return user_path(given)
    base = os.environ.get("XDG_CACHE_HOME", "")
    try:
        # The XDG specification says to ignore relative paths.
        return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "eidolon"
    except RuntimeError:
        return None


def largest_size() -> int:
    """Return the largest size of the file in bytes.

    Raises:
        UserError: `$EIDOLON_CACHE_MAX_MB` is not a whole number.
    """
    given = os.environ.get(SIZE_VARIABLE, "")
    if given and not (given.isascii() and given.isdigit()):
        raise UserError(f"{SIZE_VARIABLE}={given}: must be a whole number of megabytes; 0 keeps nothing")
    return int(given or MAX_MB) * 10**6


def open_cache() -> "ResponseCache | None":
    """Return the cache that the environment names, None if there is none. Its file is opened at its first use."""
    folder, size = cache_folder(), largest_size()
    return ResponseCache(CacheFile(folder / FILE, size)) if folder is not None and size else None


def remembered_digest() -> FileDigest:
    """Return the function that gives the SHA-256 of a file, and reads an unchanged file only once.

    It uses the cache's memory of files, which holds no responses, where the environment names a cache.
    """
    cache = open_cache()
    return file_sha256 if cache is None else cache.file_digest


class ResponseCache:
    """The cache as a run sees it. After the first fault it warns, and then behaves like an empty one."""

    def __init__(self, file: CacheFile) -> None:
        self._file = file
        self.works = True

    def find(self, keys: Sequence[bytes]) -> dict[bytes, dict[str, Any]]:
        """Return the fields of the responses that the cache holds, by key."""
        return self._guard(lambda: self._file.find(keys), {})

    def store(self, model: str, fields: Mapping[bytes, Mapping[str, Any]], used: Sequence[bytes]) -> None:
        """Store responses of a model and mark others as used."""
        self._guard(lambda: self._store(model, fields, used), None)

    def description(self, model: str, name: ModelName) -> dict[str, Any] | None:
        """Return the stored description of a model, None if there is none."""
        return self._guard(lambda: self._file.description(model, name), None)

    def describe(
        self, model: str, name: ModelName, identity: Mapping[str, Any], description: Mapping[str, Any]
    ) -> None:
        """Store a model's identity and description."""
        self._guard(lambda: self._file.describe(model, name, identity, description), None)

    def file_digest(self, path: Path) -> str:
        """Return the SHA-256 of a file's content in hexadecimal.

        Raises:
            OSError: the file cannot be read.
        """
        path.stat()
        found = self._guard(lambda: self._file.file_digest(path), "")
        return found or file_sha256(path)

    def close(self) -> None:
        """Close the file."""
        self._guard(self._file.close, None)

    def _store(self, model: str, fields: Mapping[bytes, Mapping[str, Any]], used: Sequence[bytes]) -> None:
        if fields or self._file.is_stale(used):
            self._file.store(model, fields, used)

    def _guard(self, act: Callable[[], T], otherwise: T) -> T:
        if not self.works:
            return otherwise
        try:
            return act()
        except (sqlite3.Error, OSError, ValueError) as error:  # ValueError: a stored text is not JSON
            self.works = False
            logger.warning(
                "the response cache %s cannot be used (%s); the run continues without it",
                self._file.path,
                error,
            )
            return otherwise


def remove(name: str | None) -> tuple[Path | None, int]:
    """Delete the responses of a model, or all. Return the file's path and the number of deleted responses."""
    file = find_file()
    if file is None:
        return None, 0
    with _for_the_user(file):
        names = [summary.name for summary in file.summaries()]
        if name is not None and name not in names:
            raise UserError(
                f"--clear {name!r}: the cache has no model of this name{did_you_mean(name, names)}"
            )
        return file.path, file.clear(name)


def look() -> tuple[Path | None, int, list[CacheSummary]]:
    """Return the path of the file, its size in bytes, and a summary of each model."""
    file = find_file()
    if file is None:
        return None, 0, []
    with _for_the_user(file):
        summaries = file.summaries()
        return file.path, file.size() if file.path.exists() else 0, summaries


def find_file() -> CacheFile | None:
    """Return the file that the environment names, which may not exist yet; None without a home folder."""
    folder = cache_folder()
    return None if folder is None else CacheFile(folder / FILE, largest_size())


@contextmanager
def _for_the_user(file: CacheFile) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise UserError(
            f"{file.path}: the response cache cannot be used ({error}); no run needs it, so it may be deleted"
        ) from error
    finally:
        file.close()
