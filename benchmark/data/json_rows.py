"""Files of questions and answers, read and checked; every mistake in one is a UserError that says where."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from eidolon.scorers.core.errors import UserError, did_you_mean
from eidolon.scorers.core.input_files import (
    clean,
    decode_text,
    excerpt,
    iterate_objects,
    parse_json,
    read_image_id,
)
from eidolon.scorers.core.types import ImageId

Row = tuple[str, dict[str, Any]]
"""Where a row stands, for messages, and the row."""


def read_rows(content: bytes, path: Path, what: str) -> list[Row]:
    """Read a JSON list of objects or JSONL, told apart by the first character; none at all is a UserError."""
    text = decode_text(content, path)
    rows = [*_list_rows(text, path)] if text.lstrip().startswith("[") else [*_line_rows(text, path)]
    if not rows:
        raise UserError(f"{path}: holds no {what}")
    return rows


def read_json_object(content: bytes, path: Path) -> dict[str, Any]:
    """Read a file that is one JSON object."""
    try:
        value = parse_json(decode_text(content, path))
    except ValueError as error:
        raise UserError(
            f"{path}:{getattr(error, 'lineno', 1)}: is not valid JSON ({getattr(error, 'msg', error)})"
        ) from None
    if not isinstance(value, dict):
        raise UserError(f"{path}: expected a JSON object, found {excerpt(value)}")
    return value


def text_field(row: Mapping[str, Any], field: str, where: str) -> str:
    """Return a field that must be a string."""
    value = required(row, field, where)
    if not isinstance(value, str):
        raise UserError(f"{where}: field {field!r} must be a string, found {excerpt(value)}")
    return clean(value)


def yes_no_field(row: Mapping[str, Any], field: str, where: str) -> bool:
    """Return a field that must be `yes` or `no`, in any case."""
    value = text_field(row, field, where)
    if value.strip().lower() not in ("yes", "no"):
        raise UserError(f"{where}: field {field!r} must be yes or no, found {excerpt(value)}")
    return value.strip().lower() == "yes"


def id_field(row: Mapping[str, Any], field: str, where: str) -> ImageId:
    """Return a field that must be a whole number or a string."""
    value = required(row, field, where)
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise UserError(
            f"{where}: field {field!r} must be a whole number or a string, found {excerpt(value)}"
        )
    return read_image_id(value, where)


def required(row: Mapping[str, Any], field: str, where: str) -> Any:
    """Return a field that must be there."""
    if field not in row:
        mend = did_you_mean(field, list(row)) if row else ""
        raise UserError(f"{where}: field {field!r} is missing; found {excerpt(list(row))}{mend}")
    return row[field]


def _line_rows(text: str, path: Path) -> Iterator[Row]:
    return ((f"{path}:{number}", row) for number, row in iterate_objects(text, path))


def _list_rows(text: str, path: Path) -> Iterator[Row]:
    try:
        values = parse_json(text)
    except ValueError as error:
        raise UserError(
            f"{path}:{getattr(error, 'lineno', 1)}: is not valid JSON ({getattr(error, 'msg', error)})"
        ) from None
    for index, value in enumerate(values):
        if not isinstance(value, dict):
            raise UserError(f"{path}: item {index}: expected a JSON object, found {excerpt(value)}")
        yield f"{path}: item {index}", value
