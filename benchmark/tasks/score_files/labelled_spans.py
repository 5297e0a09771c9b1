"""People's labels on segments of a response, which is how M-HalDetect publishes them, as words and flags."""

import json
import re
from typing import Any

from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import excerpt
from eidolon.scorers.core.records import Placed

SEGMENTS = "annotations"
"""The field of the segments in M-HalDetect (Gunjal et al. 2024)."""
RIGHT, WRONG = "ACCURATE", "INACCURATE"
OPEN = ("ANALYSIS", "UNSURE")
"""Labels of text that people call neither right nor wrong."""
DATA = (
    "Responses with people's labels on segments for score --metric detection; data: "
    "github.com/hendryx-scale/mhal-detect, val_raw.json; licence: CC BY-NC 4.0; images of COCO val2014: their own"
)

_WORD = re.compile(r"\S+")
_LETTER = re.compile(r"[^\W_]")


def unlabelled(placed: Placed, words: str, flags: str, number: int) -> Placed:
    """Return a record with words and flags instead of labelled segments; any other record as it is.

    Words are separated by spaces. People flag a word if an INACCURATE segment holds one of its letters or digits. Its
    flag is null if no INACCURATE or ACCURATE segment does. `words` and `flags` are the names of the two fields. The
    `number` of the record becomes its sample id, because there are several responses to an image.

    Raises:
        UserError: the segments are not as published, or not those of the response.
    """
    row = placed.row
    if SEGMENTS not in row or words in row:
        return placed
    response = row.get("response")
    if not isinstance(response, str):
        raise UserError(f"{placed.place}: field 'response' must be a string, found {excerpt(response)}")
    labels = _labels(row[SEGMENTS], response, placed.place)
    found = [*_WORD.finditer(response)]
    human = [_flag(labels[word.start() : word.end()], word[0]) for word in found]
    made = {words: [word[0] for word in found], flags: human}
    return placed._replace(row={"sample_id": str(number)} | row | made)


def _flag(labels: list[str | None], word: str) -> bool | None:
    there = {label for label, letter in zip(labels, word, strict=True) if _LETTER.match(letter)} or {*labels}
    return True if WRONG in there else False if RIGHT in there else None


def _labels(value: Any, response: str, place: str) -> list[str | None]:
    """Return the label of each character of the response, None where no segment is."""
    if isinstance(value, str):  # a table of the Hub holds the list as a text
        try:
            value = json.loads(value)
        except ValueError:
            raise UserError(f"{place}: field {SEGMENTS!r} is not valid JSON: {excerpt(value)}") from None
    if not isinstance(value, list):
        raise UserError(f"{place}: field {SEGMENTS!r} must be a list, found {excerpt(value)}")
    labels: list[str | None] = [None] * len(response)
    for number, segment in enumerate(value):
        start, end, label = _segment(segment, response, f"{place}: {SEGMENTS}[{number}]")
        labels[start:end] = [label] * (end - start)
    return labels


def _segment(segment: Any, response: str, place: str) -> tuple[int, int, str]:
    if not isinstance(segment, dict):
        raise UserError(f"{place}: must be an object, found {excerpt(segment)}")
    start, end, label = (segment.get(name) for name in ("start", "end", "label"))
    known = (RIGHT, WRONG, *OPEN)
    if label not in known:
        raise UserError(f"{place}: field 'label' must be one of {', '.join(known)}, found {excerpt(label)}")
    if type(start) is not int or type(end) is not int or not 0 <= start <= end <= len(response):
        raise UserError(
            f"{place}: fields 'start' and 'end' must lie in the response of {len(response)} characters, found "
            f"{excerpt(start)} and {excerpt(end)}"
        )
    if isinstance(text := segment.get("text"), str) and text.strip() != response[start:end].strip():
        raise UserError(
            f"{place}: field 'text' is {excerpt(text)}, and the response has {excerpt(response[start:end])} there"
        )
    return start, end, str(label)
