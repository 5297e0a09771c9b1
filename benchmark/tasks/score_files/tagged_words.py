"""People's flags as tags in the text, which is how DetailVerifyBench publishes them, as words and flags."""

import re

from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import excerpt
from eidolon.scorers.core.records import Placed

TAGGED = "description_tag"
"""The field of the tagged text in DetailVerifyBench (Wang et al. 2026)."""
REFERENCE = "GT_description"
"""The field of the description that people made beside it."""
OPEN, CLOSE = "<HALLUCINATION>", "</HALLUCINATION>"
DATA = (
    "Captions with people's flags for score --metric detection; data: Hugging Face zyxhhnkh/DetailVerifyBench, "
    "data/real_test.jsonl; licence: CC BY 4.0"
)

_TAG = re.compile(f"{OPEN}|{CLOSE}")
_WORD = re.compile(r"\S+")


def untagged(placed: Placed, words: str, flags: str) -> Placed:
    """Return a record with words, flags and response instead of a tagged text; any other record as it is.

    Words are separated by spaces. People flag a word if a tagged span touches it. `words` and `flags` are the names of
    the two fields.

    Raises:
        UserError: the text is no string, or a tag is not opened or not closed.
    """
    row = placed.row
    if TAGGED not in row or words in row:
        return placed
    text = row[TAGGED]
    if not isinstance(text, str):
        raise UserError(f"{placed.place}: field {TAGGED!r} must be a text, found {excerpt(text)}")
    plain, spans = _read(text, placed.place)
    found = [*_WORD.finditer(plain)]
    human = [any(a < word.end() and word.start() < b for a, b in spans) for word in found]
    made = {words: [word[0] for word in found], flags: human, "response": plain}
    if isinstance(row.get(REFERENCE), str) and "references" not in row:
        made["references"] = [row[REFERENCE]]
    return placed._replace(row=row | made)


def _read(text: str, place: str) -> tuple[str, list[tuple[int, int]]]:
    """Return the text without tags, and the tagged spans in it."""
    plain, spans, start, end = "", [], None, 0
    for tag in _TAG.finditer(text):
        plain += text[end : tag.start()]
        end = tag.end()
        if (start is None) != (tag[0] == OPEN):
            raise UserError(f"{place}: field {TAGGED!r}: {tag[0]} at character {tag.start()} has no partner")
        if start is None:
            start = len(plain)
        else:
            spans.append((start, len(plain)))
            start = None
    if start is not None:
        raise UserError(f"{place}: field {TAGGED!r}: the last {OPEN} has no partner")
    return plain + text[end:], spans
