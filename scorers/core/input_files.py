"""Reading the user's input files. An error in a file is a UserError that names the file and, if known, the line.

All files that a user names are opened here. Only regular files are opened, and only up to a size, so that no pipe,
device or endless file can block a command or fill the memory. `-` is the standard input where a flag takes one file.
"""

import errno
import io
import json
import os
import re
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.types import ImageId

MAX_INPUT_BYTES = 1 << 33
"""The largest input file, 8 GiB. The annotations of millions of objects take some gigabytes."""
MAX_STDIN_BYTES = 1 << 30
"""The most that is read of the standard input, 1 GiB, whose size is not known before."""
MAX_SMALL_BYTES = 1 << 24
"""The largest file of a person's own hand, 16 MiB: settings, a list of ids, a prompt."""
MAX_INTEGER = 2**63 - 1
"""The largest integer of an input, as in Parquet, Arrow and SQL. Nothing that a dataset counts or numbers is larger."""
STDIN = Path("-")
"""What a user writes for the standard input."""

_CHUNK_BYTES = 1 << 20

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_DECODER = json.JSONDecoder(strict=False)
_JSON_SPACE = " \t\n\r"
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


class UnreadableError(OSError):
    """A file is not one to read: it is no regular file, or too large. The text says what it is."""


def open_regular(path: Path, most: int = MAX_INPUT_BYTES) -> io.BufferedReader:
    """Open a regular file for reading bytes.

    Raises:
        UnreadableError: it is a folder, pipe, socket or device, or holds more than `most` bytes.
        OSError: it cannot be opened.
    """
    _check_regular(os.stat(path), most)
    # Another file may have this name by now. Without O_NONBLOCK, opening a pipe would wait for its writer.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        _check_regular(os.fstat(descriptor), most)
        return open(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_regular(path: Path, most: int = MAX_INPUT_BYTES) -> bytes:
    """Return the content of a regular file.

    Raises:
        UnreadableError: it is a folder, pipe, socket or device, or holds more than `most` bytes.
        OSError: it cannot be read.
    """
    with open_regular(path, most) as stream:
        return _read(stream, most, os.fstat(stream.fileno()).st_size)


def read_bytes(path: Path, most: int = MAX_INPUT_BYTES) -> bytes:
    """Return the content of a file of the user's, or of the standard input for `-`.

    Raises:
        UserError: the file cannot be read, is no regular file, or holds more than `most` bytes.
    """
    if path == STDIN:
        return _read_stdin(min(most, MAX_STDIN_BYTES))
    try:
        return read_regular(path, most)
    except UnreadableError as error:
        raise UserError(f"{path}: {error}") from None
    except (OSError, ValueError) as error:  # a NUL byte in the name
        raise UserError(f"{path}: {_why(error)}") from None


def open_file(path: Path) -> io.BufferedReader:
    """Open a file of the user's for reading bytes; not the standard input.

    Raises:
        UserError: it cannot be opened, is no regular file, or is too large.
    """
    try:
        return open_regular(path)
    except UnreadableError as error:
        raise UserError(f"{path}: {error}") from None
    except (OSError, ValueError) as error:  # a NUL byte in the name
        raise UserError(f"{path}: {_why(error)}") from None


def check_regular(path: Path) -> None:
    """Check that a file may be opened, without opening it.

    Raises:
        UserError: there is no such file, or it is no regular file.
    """
    try:
        _check_regular(os.stat(path), MAX_INPUT_BYTES)
    except UnreadableError as error:
        raise UserError(f"{path}: {error}") from None
    except (OSError, ValueError) as error:  # a NUL byte in the name
        raise UserError(f"{path}: {_why(error)}") from None


def _check_regular(found: os.stat_result, most: int) -> None:
    for is_kind, name in _KINDS:
        if is_kind(found.st_mode):
            raise UnreadableError(f"is {name}, not a file")
    if found.st_size > most:
        raise UnreadableError(_too_large(most))


def _why(error: OSError | ValueError) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        return "no such file (the name is too long for one)"
    return f"cannot be read ({error.strerror if isinstance(error, OSError) else error})"


def _read(stream: BinaryIO, most: int, expected: int = 0) -> bytes:
    """Return all bytes of a stream. It may hold more than expected: files grow, and those of /proc state no sizes."""
    chunks: list[bytes] = []
    left = most + 1
    while chunk := stream.read(min(left, max(expected + 1, _CHUNK_BYTES))):
        chunks.append(chunk)
        left -= len(chunk)
        expected = 0
        if left <= 0:
            raise UnreadableError(_too_large(most))
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _too_large(most: int) -> str:
    return f"is larger than {most >> 20:,} MiB, the most that is read"


def _read_stdin(most: int) -> bytes:
    stream = getattr(sys.stdin, "buffer", None)
    if stream is None:
        raise UserError("-: there is no standard input; give a file")
    try:
        kind = os.fstat(stream.fileno()).st_mode
    except io.UnsupportedOperation:  # a stream without a file, in a notebook
        kind = stat.S_IFREG
    if stat.S_ISCHR(kind) and not stream.isatty():
        raise UserError("-: the standard input is a device, which may be endless; give a file or a pipe")
    try:
        content = _read(stream, most)
    except UnreadableError as error:
        raise UserError(f"-: the standard input {error}") from None
    except OSError as error:
        raise UserError(f"-: {_why(error)}") from None
    if not content:
        raise UserError("-: the standard input is empty, or another flag has read it; give - once")
    return content


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
    start = len(text) - len(text.lstrip(_JSON_SPACE))
    value, end = decode_json(text, start)
    if rest := text[end:].lstrip(_JSON_SPACE):
        raise json.JSONDecodeError("Extra data", text, len(text) - len(rest))
    return value


def decode_json(text: str, start: int) -> tuple[Any, int]:
    """Return the JSON value that begins at a position of a text, and the position after it; see `parse_json`.

    Raises:
        ValueError: none begins there.
    """
    try:
        return _DECODER.raw_decode(text, start)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except json.JSONDecodeError:
        raise
    except ValueError:  # Python converts no longer ones, because that takes quadratic time
        raise ValueError(f"an integer of more than {sys.get_int_max_str_digits():,} digits") from None


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
    value = value[:width] if isinstance(value, str) else value
    try:
        text = json.dumps(value, ensure_ascii=True, default=repr)
    except (ValueError, TypeError, RecursionError):  # YAML allows self-references and non-string keys
        try:
            text = ascii(value)
        except ValueError:
            text = "an integer of too many digits"
    return text if len(text) <= width else text[: width - 1] + "…"


def read_image_id(value: object, where: str, field: str = "image_id") -> ImageId:
    """Return an id from a file. `where` (file and line) and `field` are for the message.

    Raises:
        UserError: the value is neither a whole number nor a string.
    """
    if isinstance(value, float) and value.is_integer():  # pandas writes 42.0 beside missing values
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise UserError(f"{where}: {field!r} must be a whole number or a string, found {excerpt(value)}")
    if isinstance(value, int) and abs(value) > MAX_INTEGER:
        raise UserError(
            f"{where}: {field!r} must be at most {MAX_INTEGER} or a string, found {excerpt(value)}"
        )
    return clean(value) if isinstance(value, str) else value


def clean(text: str) -> str:
    """Return the text with lone surrogates replaced, which UTF-8 cannot encode. Character offsets do not change."""
    return text if text.isascii() else _LONE_SURROGATE.sub("\ufffd", text)
