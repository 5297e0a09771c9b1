"""Words and turns that this project replaces with plain English, and where they are found.

    python tests/docs/words.py [ROOT]

prints how often each occurs in the prose below ROOT: pages, docstrings, comments, messages and help.
"""

import io
import re
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

REPLACED = {
    r"all but": "almost, except",
    r"amidst|in the midst of|in the midst|in mid-\w+": "during, in the middle of",
    r"amongst": "among",
    r"anew|afresh": "again",
    r"as \w+ (?:has|have|had) (?:it|them)": "as X defines it",
    r"as it were|as were": "",
    r"asked of": "asked",
    r"be it": "whether",
    r"betwixt": "between",
    r"beyond which": "above that",
    r"but for|save for|nothing but|none but": "except, only",
    r"by turns": "alternately",
    r"came to|comes to|come to nothing": "reached, is, was",
    r"(?:what |that )?(?:came|comes) of": "result",
    r"come what may": "",
    r"dealt (?:to|into|out)": "given, split",
    r"ere|lest|whilst": "before, so that not, while",
    r"(?:is|are|was|be|can be|could be) had": "is available",
    r"had (?:of|from)": "got from",
    r"foretold|foretells?": "predicted",
    r"for want of": "for lack of, because there is no",
    r"forthwith|henceforth|hence forth|hence|thence|whence|hither|thereof|whereof|therein|wherein|wherefore": "",
    r"(?:go|goes|going|gone|went) on": "continue",
    r"(?:give|gives|given|gave) back": "return",
    r"(?:held|hold|holds|holding) against": "compare with",
    r"into shape": "format",
    r"is no matter": "does not matter",
    r"(?:let|lets|letting) go of": "release, close",
    r"(?:its|their|the) like": "similar ones",
    r"likewise": "the same",
    r"mend|mends|mended|mending": "fix",
    r"nobody|nobody's": "no one, or the active voice",
    r"of which": "two sentences",
    r"said of|told of": "about",
    r"shall": "will, must",
    r"(?:stand|stands|stood|standing) for": "mean, represent",
    r"(?:stand|stands|stood) (?:in|beside|under|there|behind|within)": "is",
    r"that which": "what",
    r"told (?:apart|from|by name|with)": "distinguished, reported",
    r"(?:can|cannot|could|must) be told": "is known, is reported",
    r"unto|upon": "to, on",
    r"wants": "needs",
    r"what it takes": "what it needs",
    r"whoever|whosoever": "the one who",
    r"worth nothing": "useless",
}
"""Pattern to what we write instead. Patterns match whole words, in any case."""

OPENING = "Of the X, the Y"
_OPENING = re.compile(
    r"""(?:^\s*|["'][rR]?|[.:;?!] )Of (?:the|all|what|those|these|each|every|its|their|other|a)\b""",
    re.MULTILINE,
)
_WORDS = {
    pattern: re.compile(rf"(?<![\w-])(?:{pattern.replace(' ', '[ ]+')})(?![\w-])", re.IGNORECASE)
    for pattern in REPLACED
}

TEXT = {".md", ".jinja", ".toml", ".txt"}
SKIPPED = {".venv", "build", ".git", "eidolon.egg-info", ".hypothesis", "node_modules"}
DATA = (
    "docs/reference/cli",
    "docs/reference/files",
    "docs/reference/python",
    "scorers/text/abstract_nouns.py",  # lists of English words
    "scorers/text/english.py",
    "tests/docs/words.py",
    "tests/docs/test_words.py",
    "scorers/text/data/LICENSES.md",
)
"""Where the words are data, or are generated from what is scanned already."""
STRINGS_ARE_DATA = (
    "benchmark/scenes",
    "benchmark/tasks/forget/retention/filler.py",
    "examples",
    "scorers/text/denial_scope.py",
    "scorers/text/reading_careful.py",
    "tests",
)
"""Where strings are not prose: texts that models read, lists of words, and inputs of tests."""


class Found(NamedTuple):
    """One occurrence: its pattern, the file below the root, the line and the text around it."""

    word: str
    file: str
    line: int
    text: str


def find(root: Path) -> Iterator[Found]:
    """Yield every occurrence in the prose below `root`."""
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        if SKIPPED & set(path.relative_to(root).parts) or name.startswith(DATA) or not path.is_file():
            continue
        if path.suffix == ".py":
            pieces = python_prose(
                path.read_text(encoding="utf-8"), strings=not name.startswith(STRINGS_ARE_DATA)
            )
        elif path.suffix in TEXT or path.name == "Makefile":
            pieces = [(1, path.read_text(encoding="utf-8"))]
        else:
            continue
        for line, text in pieces:
            yield from _find_in(text, name, line)


def _find_in(text: str, file: str, line: int) -> Iterator[Found]:
    flat = text.replace("\n", " ")  # a turn may be broken over two lines
    for word, pattern in [*_WORDS.items(), (OPENING, _OPENING)]:
        for found in pattern.finditer(flat if word != OPENING else text):
            start = max(0, found.start() - 40)
            yield Found(
                word, file, line + text.count("\n", 0, found.start()), flat[start : found.end() + 40].strip()
            )


def python_prose(source: str, *, strings: bool) -> Iterator[tuple[int, str]]:
    """Yield line and text of each comment and string of a module; without `strings` only of comments and docstrings."""
    comment, begun = "", 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            begun = begun if comment else token.start[0]
            comment += f"{token.string.lstrip('#')}\n"
            continue
        if comment and token.type != tokenize.NL:
            yield begun, comment
            comment = ""
        if token.type == tokenize.STRING and (strings or token.string.lstrip("rR").startswith('"""')):
            yield token.start[0], token.string


def main(root: Path) -> None:
    """Print how often each word occurs, most frequent first."""
    counts = Counter(found.word for found in find(root))
    for word, count in counts.most_common():
        print(f"{count:6}  {word}")
    print(f"{counts.total():6}  in all")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
