"""Rules for characters: what a response spells in another way than plain text does."""

import re
from html import unescape

from eidolon.scorers.text.draft import Draft

_ENTITY = re.compile(
    r"&(?:[a-zA-Z][a-zA-Z0-9]{1,30}|#\d{1,7}|#[xX][0-9a-fA-F]{1,6});|&(?:nbsp|amp|quot|lt|gt)(?![a-zA-Z0-9;=])"
)
_MARKS = re.compile(r"[&\\<]")
_NESTED_ENTITIES = 2
"""Rounds of unescaping: `&amp;nbsp;` is escaped twice."""
_ESCAPED_BREAK = re.compile(r"\\r\\n|\\n(?!(?:abla|eq|eg|earrow|mid|exists|otin|u)\b)|\\r(?![a-z])")
_ESCAPED_TAB = re.compile(r"\\t(?![a-z])")
_ESCAPED_QUOTE = re.compile(r"\\([\"'])")
_ESCAPED_CODE = re.compile(r"\\u([0-9a-fA-F]{4})")
_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_INVISIBLE = re.compile("[\u200c-\u200f\u202a-\u202e\u2060-\u2064\ufe00-\ufe0f\ufeff\u00ad]")
_ZERO_WIDTH_SPACE = re.compile("[\u200b\x00-\x08\x0e-\x1f\x7f]+")
_SPACE = re.compile("[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000\u2581\u0120]")
_LINE = re.compile("[\u2028\u2029\u0085\u010a]")
_HYPHEN = re.compile("[\u2010-\u2012\u2212\ufe63\uff0d]")
_FULL_WIDTH = re.compile("[\uff01-\uff0c\uff0e-\uff5e\u3001\u3002]")
_LIGATURE = re.compile("[\ufb00-\ufb04]")
_LIGATURES = {"\ufb00": "ff", "\ufb01": "fi", "\ufb02": "fl", "\ufb03": "ffi", "\ufb04": "ffl"}
_BROKEN = re.compile(
    "[\U0001f000-\U0001faff\u2600-\u27bf\u2b00-\u2bff\u2022\u25cf\u25aa\u25a0\u25e6\u2023\u00b7]+"
)
"""Pictographs and bullets."""

RULE = "characters"


def plain_characters(draft: Draft) -> None:
    """Replace entities, written escapes, marks of tokenisers, and characters that look like plain ones."""
    if draft.text.isascii() and draft.text.replace("\n", " ").isprintable() and not _MARKS.search(draft.text):
        return
    for _ in range(_NESTED_ENTITIES):
        draft.sub(_ENTITY, _unescape, RULE)
    draft.sub(_ESCAPED_BREAK, "\n", RULE)
    draft.sub(_ESCAPED_TAB, " ", RULE)
    draft.sub(_ESCAPED_QUOTE, lambda match: match[1], RULE)
    draft.sub(_ESCAPED_CODE, _code_point, RULE)
    draft.sub(_BYTE_TOKEN, _byte, RULE)
    draft.sub(_INVISIBLE, "", RULE)
    draft.sub(_ZERO_WIDTH_SPACE, lambda match: _separator(draft.text, match), RULE)
    draft.sub(_SPACE, " ", RULE)
    draft.sub(_LINE, "\n", RULE)
    draft.sub(_HYPHEN, "-", RULE)
    draft.sub(_FULL_WIDTH, _half_width, RULE)
    draft.sub(_LIGATURE, lambda match: _LIGATURES[match[0]], RULE)
    draft.sub(_BROKEN, lambda match: _spaced(draft.text, match), RULE)


def _unescape(match: re.Match[str]) -> str | None:
    found = unescape(match[0])
    return None if found == match[0] else found.replace("\u00a0", " ")


def _code_point(match: re.Match[str]) -> str | None:
    code = int(match[1], 16)
    return None if 0xD800 <= code < 0xE000 or code < 0x20 else chr(code)


def _byte(match: re.Match[str]) -> str:
    code = int(match[1], 16)
    return "\n" if code == 0x0A else chr(code) if 0x20 <= code < 0x7F else " "


def _half_width(match: re.Match[str]) -> str:
    code = ord(match[0])
    if match[0] == "\u3001":
        return ", "
    if match[0] == "\u3002":
        return ". "
    half = chr(code - 0xFEE0)
    return half if half.isalnum() else f"{half} "


def _separator(text: str, match: re.Match[str]) -> str:
    """A zero-width space or control character between two letters separates words."""
    inside = match.start() > 0 and match.end() < len(text)
    return " " if inside and text[match.start() - 1].isalnum() and text[match.end()].isalnum() else ""


def _spaced(text: str, match: re.Match[str]) -> str | None:
    """Put spaces between a pictograph or bullet and the words that touch it."""
    before = match.start() > 0 and text[match.start() - 1].isalnum()
    after = match.end() < len(text) and text[match.end()].isalnum()
    return f"{' ' * before}{match[0]}{' ' * after}" if before or after else None
