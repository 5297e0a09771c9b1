"""The parts of AMBER's file format that its dataset and its metric share."""

from collections.abc import Mapping
from typing import Any

from eidolon.benchmark.data.json_rows import required
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.image_ids import image_number
from eidolon.scorers.core.input_files import excerpt

GENERATIVE = "generative"
"""The `type` of a free-form item in AMBER's annotations; all other types are kinds of questions."""


def item_id(row: Mapping[str, Any], place: str, name: str = "id") -> int:
    """Return the number of an item. Raises UserError, with `place`, where it is missing or no whole number."""
    value = required(row, name, place)
    if isinstance(value, str) and (number := image_number(value)) is not None:
        return number
    if not isinstance(value, int) or isinstance(value, bool):
        raise UserError(f"{place}: field {name!r} must be a whole number, found {excerpt(value)}")
    return value
