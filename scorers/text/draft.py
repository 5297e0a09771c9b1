"""A text under revision: every character remembers its place in the original."""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from typing import TypeAlias

from eidolon.scorers.core.types import Edit

Replacement: TypeAlias = "str | Callable[[re.Match[str]], str | None]"
"""What replaces a match; a function may return None to leave it."""
Change: TypeAlias = tuple[int, int, str]
"""Start and end of what is replaced, and by what."""


class Draft:
    """A text to which rules are applied one after the other; `edits` says at the end what changed."""

    def __init__(self, raw: str) -> None:
        self.raw = raw
        self.text = raw
        # Raw span of each character, made with the first change.
        self._spans: list[tuple[int, int]] | None = None
        # Where each change begins in the raw text, its number in time, and its rule.
        self._changes: list[tuple[int, int, str]] = []
        self._starts: list[int] = []

    def replace(self, changes: Sequence[Change], rule: str) -> None:
        """Replace characters [start, end) of the present text by others. Changes are in order and do not overlap."""
        if changes:
            self._apply(changes, rule)

    def sub(self, pattern: re.Pattern[str], replacement: Replacement, rule: str) -> None:
        """Replace every match of a pattern in the present text."""
        changes = []
        for match in pattern.finditer(self.text):
            text = replacement if isinstance(replacement, str) else replacement(match)
            if text is not None and text != match[0]:
                changes.append((match.start(), match.end(), text))
        self.replace(changes, rule)

    def edits(self) -> tuple[Edit, ...]:
        """Return the differences to the original, in order. Each has the first rule that touched its place."""
        if self._spans is None:
            return ()
        self._changes.sort(key=lambda change: change[0])
        self._starts = [start for start, _, _ in self._changes]
        found: list[Edit] = []
        raw_position = 0
        pending = ""
        for character, (start, end) in zip(self.text, self._spans, strict=True):
            kept = end - start == 1 and self.raw[start] == character
            if kept and start == raw_position and not pending:
                raw_position = end
            elif kept and start >= raw_position:
                found.append(self._edit(raw_position, start, pending))
                raw_position, pending = end, ""
            else:
                pending += character
        if pending or raw_position < len(self.raw):
            found.append(self._edit(raw_position, len(self.raw), pending))
        return tuple(found)

    def _apply(self, changes: Sequence[Change], rule: str) -> None:
        if self._spans is None:
            self._spans = [(i, i + 1) for i in range(len(self.raw))]
        pieces: list[str] = []
        spans: list[tuple[int, int]] = []
        position = 0
        for start, end, text in (self._without_common(*change) for change in changes):
            pieces += (self.text[position:start], text)
            spans += self._spans[position:start]
            raw = self._raw_span(start, end)
            spans += [raw] * len(text)
            self._changes.append((raw[0], len(self._changes), rule))
            position = end
        pieces.append(self.text[position:])
        spans += self._spans[position:]
        self.text, self._spans = "".join(pieces), spans

    def _without_common(self, start: int, end: int, text: str) -> tuple[int, int, str]:
        """Return a change without the characters at both ends that stay as they are."""
        old = self.text[start:end]
        first = _common(old, text)
        last = _common(old[first:][::-1], text[first:][::-1])
        return start + first, end - last, text[first : len(text) - last]

    def _raw_span(self, start: int, end: int) -> tuple[int, int]:
        assert self._spans is not None
        if start == end:
            at = self._spans[start][0] if start < len(self._spans) else len(self.raw)
            return at, at
        return self._spans[start][0], self._spans[end - 1][1]

    def _edit(self, start: int, end: int, text: str) -> Edit:
        # The changes that made this difference begin within it, or replaced what is before it.
        last = bisect_right(self._starts, end)
        first = min(bisect_left(self._starts, start), last - 1)
        _, rule = min((order, rule) for _, order, rule in self._changes[first:last])
        return Edit(start=start, end=end, text=text, rule=rule)


def _common(one: str, other: str) -> int:
    """Return the length of the longest common beginning."""
    pairs = zip(one, other, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def gap(text: str, match: re.Match[str]) -> str:
    """Return what is left of a match that is left out: a space between two letters or digits, else nothing."""
    before, after = text[match.start() - 1 : match.start()], text[match.end() : match.end() + 1]
    return " " if before.isalnum() and after.isalnum() else ""
