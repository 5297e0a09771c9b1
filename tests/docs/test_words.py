"""All prose is plain English: words and turns on our list are replaced."""

from pathlib import Path

from tests.docs.pages import ROOT
from tests.docs.words import REPLACED, find


def test_no_replaced_word_is_left() -> None:
    found = [
        f"{at.file}:{at.line}: …{at.text}… ({at.word}: {REPLACED.get(at.word, 'reorder')})"
        for at in find(ROOT)
    ]
    assert found == []


def test_the_search_finds_words_across_lines_in_comments_strings_and_pages(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text(
        '# it goes\n# on\n\nx = "nobody"\n\n\ndef f():\n    """Of the rest, one\n    is had of it."""\n'
    )
    (tmp_path / "page.md").write_text("# Title\n\nMending; amended.\n")
    found = {(at.file, at.line, at.word.split("|")[0]) for at in find(tmp_path)}
    assert found == {
        ("code.py", 1, "(?:go"),
        ("code.py", 4, "nobody"),
        ("code.py", 8, "Of the X, the Y"),
        ("code.py", 9, "(?:is"),
        ("code.py", 9, "had (?:of"),
        ("page.md", 3, "mend"),
    }
