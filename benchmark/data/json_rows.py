"""Reads and checks files of JSON objects. Every mistake is a UserError that names file, line or item, and field."""

from collections.abc import Collection, Mapping
from json import JSONDecodeError
from pathlib import Path
from typing import Any

from eidolon.scorers.core.errors import UserError, did_you_mean
from eidolon.scorers.core.input_files import (
    clean,
    excerpt,
    parse_json,
    read_image_id,
)
from eidolon.scorers.core.records import read_records, text_of
from eidolon.scorers.core.types import ImageId

Row = tuple[str, dict[str, Any]]
"""The place of a row, for messages, and its content."""


def read_rows(
    content: bytes, path: Path, what: str, wanted: Collection[str] = ("id", "type", "response")
) -> list[Row]:
    """Return the rows of a file of any format of `records`. `what` names the rows in the message about an empty file.

    Raises:
        UserError: the file has none of the formats, or no rows.
    """
    rows = [(place, row) for place, _, row in read_records(content, path, wanted, id_field="id").rows]
    if not rows:
        raise UserError(f"{path}: holds no {what}")
    return rows


def read_json_object(content: bytes, path: Path) -> dict[str, Any]:
    """Return the content of a file that is one JSON object. Raises UserError for anything else."""
    try:
        value = parse_json(text_of(content, path))
    except ValueError as error:
        raise invalid_json(path, error) from None
    if not isinstance(value, dict):
        raise UserError(f"{path}: expected a JSON object, found {excerpt(value)}")
    return value


def invalid_json(path: Path, error: ValueError) -> UserError:
    """Return the UserError for a file that `parse_json` cannot parse."""
    line, reason = (error.lineno, error.msg) if isinstance(error, JSONDecodeError) else (1, str(error))
    return UserError(f"{path}:{line}: is not valid JSON ({reason})")


def text_field(row: Mapping[str, Any], field: str, where: str) -> str:
    """Return the value of a field that must be a string, else raise UserError."""
    value = required(row, field, where)
    if not isinstance(value, str):
        raise UserError(f"{where}: field {field!r} must be a string, found {excerpt(value)}")
    return clean(value)


def yes_no_field(row: Mapping[str, Any], field: str, where: str) -> bool:
    """Return whether a field is `yes`. Raises UserError if it is neither `yes` nor `no`, in any case."""
    value = text_field(row, field, where)
    if value.strip().lower() not in ("yes", "no"):
        raise UserError(f"{where}: field {field!r} must be yes or no, found {excerpt(value)}")
    return value.strip().lower() == "yes"


def id_field(row: Mapping[str, Any], field: str, where: str) -> ImageId:
    """Return the value of a field that must be a whole number or a string, else raise UserError."""
    value = required(row, field, where)
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise UserError(
            f"{where}: field {field!r} must be a whole number or a string, found {excerpt(value)}"
        )
    return read_image_id(value, where)


def required(row: Mapping[str, Any], field: str, where: str) -> Any:
    """Return the value of a field. Raises UserError if the field is missing."""
    if field not in row:
        fix = did_you_mean(field, list(row)) if row else ""
        raise UserError(f"{where}: field {field!r} is missing; found {excerpt(list(row))}{fix}")
    return row[field]
