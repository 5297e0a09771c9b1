"""Finds the finished runs in and below folders."""

from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from eidolon.benchmark.store.files import RUN, SCORES
from eidolon.scorers.core.errors import UserError


def find_runs(folders: Sequence[Path]) -> list[Path]:
    """Return the finished runs in and below the folders.

    Raises:
        UserError: a folder does not exist, or holds no finished run.
    """
    found: dict[Path, None] = {}
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder}: {'is a file, not a folder' if folder.exists() else 'no such folder'}")
        if not (runs := finished_runs(folder)):
            raise UserError(f"{folder}: holds no finished run (a folder with {RUN} and {SCORES})")
        found.update(dict.fromkeys(runs))
    return [*found]


def finished_runs(folder: Path) -> list[Path]:
    """Return the folders in and below a folder that hold a run with its scores, sorted.

    Links to folders are followed. A run that several paths lead to is returned once.
    """
    runs: dict[Path, Path] = {}
    seen: set[Path] = set()
    # Real folders come first, so that a run is found under its own name rather than a link's.
    waiting = deque([folder])
    links: deque[Path] = deque()
    while waiting or links:
        place = (waiting or links).popleft()
        if (real := place.resolve()) in seen:
            continue
        seen.add(real)
        if (place / SCORES).is_file() and (place / RUN).is_file():
            runs[real] = place
        with suppress(FileNotFoundError, PermissionError):
            for inner in sorted(path for path in place.iterdir() if path.is_dir()):
                (links if inner.is_symlink() else waiting).append(inner)
    return sorted(runs.values())
