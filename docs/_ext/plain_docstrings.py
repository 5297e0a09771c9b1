"""Show our docstrings as they are written: plain text, code in backticks or indented, sections in Google's style."""

import re
from typing import Any

_CODE = re.compile(r"``?((?:[^`\n]|\n(?!\s*\n))+)``?(\w?)")
_SPECIAL = re.compile(r"([\\*|`]|_(?=\W|$))")
_BLOCK = re.compile(r"(?<=\n\n)(?:(?: {4}.*)?\n)+")
_ATTRIBUTES = ("attribute", "data", "property")
_COLON = "\ufdd0"
"""Takes the place of a colon that napoleon would read as the end of a type. No text holds this character."""


def as_plain_text(text: str) -> str:
    """Return a docstring as reStructuredText that shows it unchanged.

    What reStructuredText would read as emphasis, a substitution or a reference is escaped. An indented block after an
    empty line is code.
    """
    done, parts = 0, []
    for block in _BLOCK.finditer(f"{text}\n"):
        if block[0].strip():
            parts += [_paragraphs(text[done : block.start()]), "::\n\n", block[0]]
            done = block.end()
    return "".join(parts) + _paragraphs(text[done:])


def _paragraphs(text: str) -> str:
    done, parts = 0, []
    for span in _CODE.finditer(text):
        parts.append(_SPECIAL.sub(r"\\\1", text[done : span.start()]))
        inside = " ".join(span[1].split())
        parts.append(f"``{inside}``" + (f"\\ {span[2]}" if span[2] else ""))
        done = span.end()
    return "".join(parts) + _SPECIAL.sub(r"\\\1", text[done:])


def _before_napoleon(app: Any, what: str, name: str, subject: Any, options: Any, lines: list[str]) -> None:
    text = as_plain_text("\n".join(lines))
    lines[:] = (text.replace(":", _COLON) if what in _ATTRIBUTES else text).split("\n")


def _after_napoleon(app: Any, what: str, name: str, subject: Any, options: Any, lines: list[str]) -> None:
    lines[:] = [line.replace(_COLON, ":") for line in lines]


def setup(app: Any) -> dict[str, bool]:
    """Work on docstrings before and after napoleon, whose priority is 500."""
    app.connect("autodoc-process-docstring", _before_napoleon, priority=400)
    app.connect("autodoc-process-docstring", _after_napoleon, priority=600)
    return {"parallel_read_safe": True}
