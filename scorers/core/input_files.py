"""Reading the user's input files. An error in a file is a UserError that names the file and, if known, the line."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.types import ImageId

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def user_path(text: str) -> Path:
    """Return the path that the user wrote, with `~` expanded.

    Raises:
        UserError: `~NAME` names an unknown user.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise UserError(f"{text}: there is no such user whose home '~' could be") from None


def read_bytes(path: Path) -> bytes:
    """Return the content of a file.

    Raises:
        UserError: the file cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise UserError(f"{path}: is a folder, not a file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error


def decode_text(content: bytes, path: Path) -> str:
    """Return the text of UTF-8 bytes, without a byte order mark.

    Raises:
        UserError: the bytes are not UTF-8.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path}:{line}: is not UTF-8 text (byte 0x{content[error.start]:02x}); is this a binary file?"
        ) from error


def parse_json(text: str) -> Any:
    """Return the value of a JSON text. Strings may contain raw control characters.

    Raises:
        ValueError: the text is not valid JSON.
    """
    try:
        return json.loads(text, strict=False)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def iterate_objects(text: str, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the JSON object of each line that is not blank, as (line number from 1, object).

    Raises:
        UserError: a line is not a JSON object.
    """
    for number, line in enumerate(text.split("\n"), 1):
        if not (line := line.strip()):
            continue
        try:
            value = parse_json(line)
        except ValueError as error:
            reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
            raise UserError(f"{path}:{number}: is not valid JSON ({reason}): {excerpt(line)}") from None
        if not isinstance(value, dict):
            raise UserError(f"{path}:{number}: expected a JSON object, found {excerpt(line)}")
        yield number, value


def excerpt(value: object, width: int = 60) -> str:
    """Return a value for a one-line message: as ASCII JSON, cut to `width` characters."""
    try:
        text = json.dumps(value, ensure_ascii=True, default=repr)
    except (ValueError, TypeError, RecursionError):  # YAML allows self-references and non-string keys
        text = ascii(value)
    return text if len(text) <= width else text[: width - 1] + "…"


def read_image_id(value: object, where: str, field: str = "image_id") -> ImageId:
    """Return an id from a file. `where` (file and line) and `field` are for the message.

    Raises:
        UserError: the value is neither a whole number nor a string.
    """
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise UserError(f"{where}: {field!r} must be a whole number or a string, found {excerpt(value)}")
    return clean(value) if isinstance(value, str) else value


def clean(text: str) -> str:
    """Return the text with lone surrogates replaced, which UTF-8 cannot encode. Character offsets do not change."""
    return text if text.isascii() else _LONE_SURROGATE.sub("\ufffd", text)
