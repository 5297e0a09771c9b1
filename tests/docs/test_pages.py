"""The pages keep their size, say what they give first, and lead to what exists."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, PAGES, ROOT, blocks, name_of

WORDS_A_PAGE = 1_500
WORDS_OF_THE_README = 900

_LINK = re.compile(r"\]\((?!https?://)(?P<file>[^)#\s]*)(?:#[^)]*)?\)")
_MENTION = re.compile(r"\bdocs/[a-z_/-]+\.md\b")
_TEXT_FILES = (".py", ".md", ".json", ".jinja", ".toml", ".txt")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_a_page_has_a_limit(page: Path) -> None:
    words = len(page.read_text(encoding="utf-8").split())
    assert words <= (WORDS_OF_THE_README if page.name == "README.md" else WORDS_A_PAGE)


@pytest.mark.parametrize("page", [page for page in PAGES if DOCS in page.parents], ids=name_of)
def test_a_page_opens_with_a_paragraph(page: Path) -> None:
    title, blank, first = page.read_text(encoding="utf-8").splitlines()[:3]
    assert title.startswith("# ")
    assert not blank
    assert first[0].isalnum() or first[0] == "`", "the first paragraph says what the reader gets"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    generated = ("reference/cli/", "reference/files/", "reference/python/", "cli/", "files/", "python/")
    for found in _LINK.finditer(page.read_text(encoding="utf-8")):
        target = found["file"]
        if target and not any(part in target for part in generated):
            assert (page.parent / target).exists(), target


def test_mentions_of_pages_lead_somewhere() -> None:
    """Docstrings, messages and cards that name a page name one that exists."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True
    ).stdout
    files = [ROOT / name for name in listed.split("\0") if name.endswith(_TEXT_FILES)]
    mentioned = {
        (str(file.relative_to(ROOT)), page)
        for file in files
        if file.is_file() and file.name != "CHANGELOG.md"
        for page in _MENTION.findall(file.read_text(encoding="utf-8"))
    }
    assert mentioned, "the pattern finds nothing"
    assert [(file, page) for file, page in sorted(mentioned) if not (ROOT / page).is_file()] == []


def test_shown_examples_are_the_shipped_ones() -> None:
    """A block marked `from` is a file of the repository, which its own tests run."""
    shown = [
        (block.marks["from"], block.text) for page in PAGES for block in blocks(page) if "from" in block.marks
    ]
    assert len(shown) == 5
    assert [file for file, text in shown if (ROOT / file).read_text(encoding="utf-8") != text] == []
