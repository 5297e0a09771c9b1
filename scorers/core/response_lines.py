"""Reading existing responses from a JSONL file. An error in the file is a UserError that names the line."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any, get_args

from eidolon.scorers.core.errors import UserError, did_you_mean
from eidolon.scorers.core.input_files import clean, decode_text, excerpt, iterate_objects, read_image_id
from eidolon.scorers.core.types import FinishReason, Response

FIELDS = ("response", "image_id", "sample_id", "references")
"""The fields of a line that are read; other fields are ignored."""


@dataclass(frozen=True, slots=True)
class ResponseLine:
    """One response of a file, with its line number (from 1) and the reference captions in that line."""

    line: int
    response: Response
    references: tuple[str, ...] = ()


def read_responses(content: bytes, path: Path, fields: Mapping[str, str] | None = None) -> list[ResponseLine]:
    """Return the responses of a JSONL file. `fields` maps our field names (`FIELDS`) to the file's names.

    A line has `response` and at least one of `image_id` and `sample_id`; a missing one is taken from the other.
    Several responses to one image need a `sample_id` each. A null response with an `error` stays an error.

    Raises:
        UserError: the file has no responses, or a line is invalid; the message names file, line and field.
    """
    return read_response_rows(iterate_objects(decode_text(content, path), path), path, fields)


def read_response_rows(
    rows: Iterable[tuple[int, dict[str, Any]]], path: Path, fields: Mapping[str, str] | None = None
) -> list[ResponseLine]:
    """Return the responses of a file's (line number, object) pairs; see `read_responses`."""
    names = {name: name for name in FIELDS} | dict(fields or {})
    unmet = dict(fields or {})
    lines: list[ResponseLine] = []
    seen: dict[tuple[str, int], int] = {}
    for number, row in rows:
        line = _read_line(row, number, f"{path}:{number}", names)
        unmet = {ours: theirs for ours, theirs in unmet.items() if theirs not in row}
        key = (line.response.sample_id, line.response.generation)
        if key in seen:
            hint = (
                ""
                if names["sample_id"] in row
                else "; several responses to one image need a 'sample_id' each"
            )
            raise UserError(
                f"{path}:{number}: sample id {excerpt(key[0])} is already on line {seen[key]}{hint}"
            )
        seen[key] = number
        lines.append(line)
    if not lines:
        raise UserError(f"{path}: holds no responses")
    for ours, theirs in unmet.items():
        raise UserError(f"--field {ours}={theirs}: no line of {path} has a field {theirs!r}")
    return lines


def _read_line(row: dict[str, Any], number: int, where: str, names: Mapping[str, str]) -> ResponseLine:
    image_id, sample_id = row.get(names["image_id"]), row.get(names["sample_id"])
    if image_id is None and sample_id is None:
        if null := next((names[name] for name in ("image_id", "sample_id") if names[name] in row), None):
            raise UserError(f"{where}: field {null!r} is null; a response needs the id of its image")
        raise UserError(
            f"{where}: has neither {names['image_id']!r} nor {names['sample_id']!r}; {_fix('image_id', row)}"
        )
    identifier = read_image_id(sample_id if image_id is None else image_id, where)
    sample = identifier if sample_id is None else read_image_id(sample_id, where, "sample_id")

    field = names["response"]
    if field not in row:
        raise UserError(f"{where}: field {field!r} is missing; {_fix('response', row)}")
    text, error = row[field], row.get("error")
    if text is None and isinstance(error, str) and error:
        text = None
    elif not isinstance(text, str):
        raise UserError(f"{where}: field {field!r} must be a string, found {excerpt(text)}")
    else:
        error = None

    generation = row.get("generation", 0)
    if not _is_count(generation):
        raise UserError(f"{where}: 'generation' must be a whole number from 0, found {excerpt(generation)}")
    return ResponseLine(
        number,
        Response(
            sample_id=str(sample),
            image_id=identifier,
            response=None if text is None else clean(text),
            generation=generation,
            error=None if error is None else clean(error),
            **_read_measures(row, text is None),
        ),
        _read_references(row.get(names["references"]), names["references"], where),
    )


def _read_measures(row: Mapping[str, Any], failed: bool) -> dict[str, Any]:
    """Return the fields that our own runs record about a generation.

    Another program's file may use these names for other things, so a value of another type is ignored.
    """
    found: dict[str, Any] = {"finish_reason": "error" if failed else "unknown"}
    if row.get("finish_reason") in get_args(FinishReason):
        found["finish_reason"] = row["finish_reason"]
    found |= {name: clean(row[name]) for name in ("prompt", "reasoning") if isinstance(row.get(name), str)}
    found |= {name: row[name] for name in ("prompt_tokens", "completion_tokens") if _is_count(row.get(name))}
    ends = row.get("token_ends")
    if isinstance(ends, list) and all(_is_count(end) for end in ends):
        found["token_ends"] = tuple(ends)
    logprobs = row.get("token_logprobs")
    if isinstance(logprobs, list) and all(_is_logprob(value) for value in logprobs):
        found["token_logprobs"] = tuple(logprobs)
    return found


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_logprob(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -inf < value <= 0


def _read_references(value: object, field: str, where: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise UserError(f"{where}: field {field!r} must be a list of strings, found {excerpt(value)}")
    return tuple(clean(text) for text in value)


def _fix(field: str, row: Mapping[str, Any]) -> str:
    return f"use --field {field}=NAME if it has another name{did_you_mean(field, list(row)) if row else ''}"
