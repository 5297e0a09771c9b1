"""Pieces of Markdown that the generated pages share, and how the pages reach the disk."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

_SPECIAL = re.compile(r"([\\*_<>\[\]{}|])")
_CODE = re.compile(r"(`+[^`]+`+)")


def escape(text: str) -> str:
    """Return plain text as Markdown that shows it unchanged, on one line. Spans in backticks stay code."""
    parts = _CODE.split(" ".join(text.split()))
    return "".join(
        part.replace("|", r"\|") if i % 2 else _SPECIAL.sub(r"\\\1", part) for i, part in enumerate(parts)
    )


def code(text: str) -> str:
    """Return text as a code span that a table cell can hold."""
    return f"`{' '.join(text.split())}`".replace("|", r"\|")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table whose cells are Markdown already."""
    lines = [head, ["---"] * len(head), *rows]
    return ["", *(f"| {' | '.join(cells)} |" for cells in lines), ""]


def paragraphs(text: str) -> list[str]:
    """Return the lines of a plain text whose paragraphs are separated by blank lines."""
    return [line for part in re.split(r"\n\s*\n", text.strip()) for line in (escape(part), "")]


def write_folder(folder: Path, pages: Mapping[str, str]) -> None:
    """Make `folder` hold exactly these files. One that has not changed is left alone, so that Sphinx reads it once."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        if old.name not in pages:
            old.unlink()
    for name, text in pages.items():
        file = folder / name
        if not file.is_file() or file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")
