"""The pages that people read, and the fenced blocks in them with their marks."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
GENERATED = (DOCS / "reference/cli", DOCS / "reference/files", DOCS / "reference/python")
PAGES = sorted(
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    + [page for page in DOCS.rglob("*.md") if not any(folder in page.parents for folder in GENERATED)]
)

NEEDS = {
    "checkout": "the files of a checkout in the working folder",
    "dataset": "data that is not in the repository",
    "gpu": "a GPU",
    "hub": "the Hugging Face Hub",
    "install": "an environment of its own to install into",
    "long": "more than a few seconds",
    "server": "a model server",
}
"""What CI lacks, by the word that marks a block: `<!-- needs: gpu -->`."""

_BLOCK = re.compile(
    r"(?P<marks>(?:^<!-- [^\n]* -->\n)*)^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
_MARK = re.compile(r"<!-- (?P<name>[\w ]+): (?P<value>.*?) -->")
_VARIABLE = re.compile(r"[A-Z_]+=\S*")


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, its marks by name, and the line of its text in the page."""

    language: str
    text: str
    marks: dict[str, str]
    line: int

    def commands(self) -> list[list[str]]:
        """Return the words of each command of a shell block, without comments and environment variables."""
        found = []
        for line in self.text.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            while words and _VARIABLE.fullmatch(words[0]):
                words.pop(0)
            if words:
                found.append(words)
        return found


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            found["language"],
            found["text"],
            {mark["name"]: mark["value"] for mark in _MARK.finditer(found["marks"])},
            text.count("\n", 0, found.start("text")) + 1,
        )
        for found in _BLOCK.finditer(text)
    ]


def name_of(page: Path) -> str:
    """Return a page's path in the repository, which names its tests."""
    return str(page.relative_to(ROOT))
