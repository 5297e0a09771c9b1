"""Writes a leaderboard to the files that the options of the command line name."""

from collections.abc import Mapping
from pathlib import Path

from eidolon.benchmark.report.board.csv_table import csv_text
from eidolon.benchmark.report.board.latex import latex_text
from eidolon.benchmark.report.board.markdown import markdown_text
from eidolon.benchmark.report.board.page import page_text
from eidolon.benchmark.report.leaderboard import Leaderboard
from eidolon.benchmark.store.atomic import write_atomically
from eidolon.scorers.core.errors import UserError

HTML = "--html"
TEXTS = {"--csv": csv_text, "--markdown": markdown_text, "--latex": latex_text}
"""The text of each other file by its option."""


def write_files(leaderboard: Leaderboard, base: Path | None, files: Mapping[str, Path | None]) -> list[Path]:
    """Write each file whose option was given, and return their paths.

    Args:
        leaderboard: The rows.
        base: The folder that the rows' `run` is relative to. None leaves out the links of the page.
        files: The paths by option: `--html` and those of `TEXTS`.

    Raises:
        UserError: a file cannot be written.
    """
    written = []
    for flag, path in files.items():
        if path is not None:
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                made = page_text(leaderboard, base, path.parent) if flag == HTML else TEXTS[flag](leaderboard)
                write_atomically(path, made)
            except OSError as error:
                raise UserError(f"{flag} {path}: cannot be written ({error.strerror})") from error
            written.append(path)
    return written
