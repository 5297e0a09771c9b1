"""The evaluation file of MMHal-Bench's released program: a list of chat completions, one for each answer."""

from json import JSONDecodeError
from pathlib import Path
from typing import Any

from eidolon.benchmark.data.json_rows import invalid_json
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import excerpt, parse_json
from eidolon.scorers.core.records import text_of


def read_evaluation(content: bytes, path: Path, answers: int) -> list[str]:
    """Return the judge's reply about each answer, in order.

    Raises:
        UserError: the file is no list of chat completions, or not one for each of the `answers`.
    """
    try:
        rows = parse_json(text_of(content, path))
    except (JSONDecodeError, ValueError) as error:
        raise invalid_json(path, error) from None
    if not isinstance(rows, list):
        raise UserError(f"{path}: must be a list of chat completions, found {excerpt(rows)}")
    if len(rows) != answers:
        raise UserError(f"{path}: holds {len(rows)} chat completions for {answers} answers")
    return [_reply(row, f"{path}: item {number}") for number, row in enumerate(rows)]


def _reply(row: Any, place: str) -> str:
    value, name = row, ""
    for step in ("choices", 0, "message", "content"):
        name = f"{name}[{step}]" if isinstance(step, int) else f"{name}.{step}".removeprefix(".")
        if isinstance(step, int):
            there = isinstance(value, list) and len(value) > step
        else:
            there = isinstance(value, dict) and step in value
        if not there:
            raise UserError(f"{place}: {name!r} is missing; a chat completion has it, found {excerpt(row)}")
        value = value[step]
    if not isinstance(value, str):
        raise UserError(f"{place}: {name!r} must be a string, found {excerpt(value)}")
    return value
