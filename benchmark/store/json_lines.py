"""Records as JSON lines: text to write, and files to read."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from eidolon.scorers.core.errors import UserError

ModelT = TypeVar("ModelT", bound=BaseModel)


def to_lines(records: Iterable[object]) -> str:
    """Return records as JSON lines. A pydantic model is serialised by itself, anything else by `json`."""
    return "".join([f"{_dump(record)}\n" for record in records])


def read_lines(path: Path, record: type[ModelT]) -> list[ModelT]:
    """Return the records of a file that a run wrote.

    Raises:
        UserError: a line is not such a record.
    """
    import jsonlines

    with path.open("rb") as stream, jsonlines.Reader(stream, loads=record.model_validate_json) as reader:
        try:
            found: list[Any] = list(reader)
        except jsonlines.InvalidLineError as error:
            cause = error.__cause__ or error
            reason = cause.errors()[0]["msg"] if isinstance(cause, ValidationError) else cause
            raise UserError(
                f"{path}:{error.lineno}: is not a line this run wrote ({reason}); "
                "delete the file to do this stage again"
            ) from error
    return found


def _dump(record: Any) -> str:
    return record.model_dump_json() if isinstance(record, BaseModel) else json.dumps(record)
