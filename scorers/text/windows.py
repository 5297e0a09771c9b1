"""Splitting a long text into windows at the ends of sentences, so that a reader with a limit sees all of it."""

import re

_SENTENCE_END = re.compile(r"[.!?]+[\"'\u201d\u2019)\]]*\s+|\n+\s*")
_SPACE = re.compile(r"\s+")


def windows(text: str, size: int) -> list[str]:
    """Return a text in consecutive windows of at most `size` characters. A text that fits is its only window.

    Each window is as long as possible. It ends with a sentence; within a sentence that is longer than a window, at a
    space; and within a word that is longer than a window, anywhere. Space around the windows of a split text is
    dropped.
    """
    if len(text) <= size:
        return [text]
    pieces = []
    start = 0
    while start < len(text):
        # Space at the edges is dropped and does not count.
        start += len(text[start:]) - len(text[start:].lstrip())
        end = _cut(text, start, size)
        if piece := text[start:end].strip():
            pieces.append(piece)
        start = end
    return pieces or [text[:size]]


def _cut(text: str, start: int, size: int) -> int:
    if len(text) - start <= size:
        return len(text)
    for boundary in (_SENTENCE_END, _SPACE):
        # A boundary may begin where the window ends: the text before it fits.
        ends = [
            match.end()
            for match in boundary.finditer(text, start, min(len(text), start + 2 * size))
            if start < match.start() and len(text[start : match.end()].rstrip()) <= size
        ]
        if ends:
            return ends[-1]
    return start + size
