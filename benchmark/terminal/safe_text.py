"""Text from models and files, made safe to print on a terminal."""

import unicodedata

_HARMFUL = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_EMOJI_JOINER = "\u200d"


def safe_text(text: str, keep: str = "\n") -> str:
    """Return the text with control and invisible formatting characters as escapes (`\\x1b`, `\\u202e`).

    Such characters move the cursor, change colours or reverse the direction of text. Those in `keep` (line breaks) and
    the joiner inside emoji stay.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escape(c) if _is_harmful(c) and c not in keep else c for c in text)


def one_line(text: str) -> str:
    """Return the text on one line, safe to print."""
    return safe_text(" ".join(text.split()), keep="")


def _is_harmful(character: str) -> bool:
    return unicodedata.category(character) in _HARMFUL and character != _EMOJI_JOINER


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
