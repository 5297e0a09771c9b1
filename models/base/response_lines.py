"""Responses that exist already, read from a JSONL file; every mistake in it names the file and the line."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any, get_args

from eidolon.scorers.core.errors import UserError, did_you_mean
from eidolon.scorers.core.types import FinishReason, ImageId, Response

FIELDS = ("response", "image_id", "sample_id", "references")
"""What a line may hold that is read; further fields are ignored."""

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class ResponseLine:
    """One response with the line it stood on (from 1) and the reference captions it brought along."""

    line: int
    response: Response
    references: tuple[str, ...] = ()


def user_path(text: str) -> Path:
    """Return a path as the user wrote it, `~` resolved; the home of an unknown user is a UserError."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise UserError(f"{text}: there is no such user whose home '~' could be") from None


def read_bytes(path: Path) -> bytes:
    """Return a file's content; a file that cannot be read is a UserError."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise UserError(f"{path}: is a folder, not a file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error


def decode_text(content: bytes, path: Path) -> str:
    """Decode UTF-8, with or without a byte order mark; anything else is a UserError."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path}:{line}: is not UTF-8 text (byte 0x{content[error.start]:02x}); is this a binary file?"
        ) from error


def parse_json(text: str) -> Any:
    """Parse JSON, raw control characters in strings included; raises ValueError where it is malformed."""
    try:
        return json.loads(text, strict=False)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def iterate_objects(text: str, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (line number from 1, JSON object) for every line that is not blank."""
    for number, line in enumerate(text.split("\n"), 1):
        if not (line := line.strip()):
            continue
        try:
            value = parse_json(line)
        except ValueError as error:
            reason = getattr(error, "msg", str(error))
            raise UserError(f"{path}:{number}: is not valid JSON ({reason}): {excerpt(line)}") from None
        if not isinstance(value, dict):
            raise UserError(f"{path}:{number}: expected a JSON object, found {excerpt(line)}")
        yield number, value


def excerpt(value: object, width: int = 60) -> str:
    """Return a value as it can stand in a one-line message: escaped and cut."""
    try:
        text = json.dumps(value, ensure_ascii=True, default=repr)
    except (ValueError, TypeError, RecursionError):  # YAML can hold itself, and have keys JSON lacks
        text = ascii(value)
    return text if len(text) <= width else text[: width - 1] + "…"


def read_image_id(value: object, where: str, field: str = "image_id") -> ImageId:
    """Check that an image id, or another id, is a whole number or a string."""
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise UserError(f"{where}: {field!r} must be a whole number or a string, found {excerpt(value)}")
    return clean(value) if isinstance(value, str) else value


def clean(text: str) -> str:
    """Replace lone surrogates, which no UTF-8 file can hold; offsets do not change."""
    return text if text.isascii() else _LONE_SURROGATE.sub("\ufffd", text)


def read_responses(content: bytes, path: Path, fields: Mapping[str, str] | None = None) -> list[ResponseLine]:
    """Read a responses file. `fields` maps our field names (`FIELDS`) to the file's.

    A line holds `response` and `image_id` and/or `sample_id`; the one not given is taken from the other.
    Several responses to one image need a `sample_id` each. A null response beside an `error` stays an error.
    """
    return read_response_rows(iterate_objects(decode_text(content, path), path), path, fields)


def read_response_rows(
    rows: Iterable[tuple[int, dict[str, Any]]], path: Path, fields: Mapping[str, str] | None = None
) -> list[ResponseLine]:
    """Read responses from (line number, object) pairs of a file, as `read_responses` does."""
    names = {name: name for name in FIELDS} | dict(fields or {})
    unmet = dict(fields or {})
    lines: list[ResponseLine] = []
    seen: dict[tuple[str, int], int] = {}
    for number, row in rows:
        line = _read_line(row, number, f"{path}:{number}", names)
        unmet = {ours: theirs for ours, theirs in unmet.items() if theirs not in row}
        key = (line.response.sample_id, line.response.generation)
        if key in seen:
            mend = (
                ""
                if names["sample_id"] in row
                else "; several responses to one image need a 'sample_id' each"
            )
            raise UserError(
                f"{path}:{number}: sample id {excerpt(key[0])} stands on line {seen[key]} already{mend}"
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
            f"{where}: has neither {names['image_id']!r} nor {names['sample_id']!r}; {_mend('image_id', row)}"
        )
    identifier = read_image_id(sample_id if image_id is None else image_id, where)
    sample = identifier if sample_id is None else read_image_id(sample_id, where, "sample_id")

    field = names["response"]
    if field not in row:
        raise UserError(f"{where}: field {field!r} is missing; {_mend('response', row)}")
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
    """Take over what a run of ours recorded about a generation; the same names in a foreign file may mean
    something else, and count only where they fit."""
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


def _mend(field: str, row: Mapping[str, Any]) -> str:
    return f"use --field {field}=NAME if it has another name{did_you_mean(field, list(row)) if row else ''}"
