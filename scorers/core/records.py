"""The records of a file, whatever its format: JSON lines, arrays and objects, tables of commas or tabs, gzip or not.

Each record comes with its place, so that a message about it names file and line, item or key.
"""

import csv
import io
import json
import re
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import MAX_INPUT_BYTES, decode_json, decode_text, excerpt

Format: TypeAlias = Literal["jsonl", "json array", "json objects", "json by id", "json list", "csv", "tsv"]
"""`json objects`: one after another, over several lines or without line breaks. `json list`: the only list of records
in an object. `json by id`: an object whose keys are ids."""

GZIP = b"\x1f\x8b"
UTF16 = re.compile(rb"\xff\xfe[\t-~]\0|\xfe\xff\0[\t-~]")
"""A byte order mark and an ASCII character, with which text that PowerShell writes begins."""
_CONTINUED = ("{", "[", ",")
"""Ends of the first line of a JSON object that spans several lines. A line that is an object ends with `}`."""
_DELIMITERS = {",": "csv", "\t": "tsv", ";": "csv"}
_TABLES = (".csv", ".tsv", ".tab")
_PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
_OF_DOCUMENT = frozenset(
    (
        "question_id",
        "image_id",
        "image",
        "image_source",
        "file_name",
        "image_name",
        "image_path",
        "id",
        "question",
        "prompt",
        "coco_url",
    )
)
"""What lmms-eval's `doc` tells about the sample; its other fields hold the truth, such as `answer`."""


class Placed(NamedTuple):
    """A record with its place."""

    place: str
    """With the file, for messages: `answers.jsonl:3`, `answers.json: item 3`."""
    spot: str
    """Within the file: `line 3`, `item 3`."""
    row: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Records:
    """All records of a file."""

    rows: list[Placed]
    format: Format
    key: str | None = None
    """The key of the list, of a `json list`."""


def text_of(content: bytes, path: Path) -> str:
    """Return the text of a file: UTF-8 or, with its byte order mark, UTF-16; decompressed if it is gzip.

    Raises:
        UserError: it is damaged, too large when decompressed, or no text.
    """
    if content.startswith(GZIP):
        content = _decompressed(content, path)
    if UTF16.match(content):
        try:
            return content.decode("utf-16")
        except UnicodeDecodeError:
            pass  # the message of decode_text names line and byte
    return decode_text(content, path)


def name_of(field: str) -> str:
    """Return a field's name in the form in which names are compared: `Image ID` is `image_id`."""
    return "_".join(field.strip().casefold().replace("-", " ").replace("_", " ").split())


def read_records(
    content: bytes,
    path: Path,
    wanted: Collection[str],
    *,
    id_field: str = "image_id",
    value_field: str = "response",
) -> Records:
    """Return the records of a file. Its content decides the format, and the ending `.csv` or `.tsv` where it does not.

    `wanted` holds the names of fields (see `name_of`) that show that an object is a record, not a container of records.
    An object `{id: text}` becomes records with `id_field` and `value_field`; one `{id: record}` gives each its id.

    Raises:
        UserError: the content has none of the formats.
    """
    text = text_of(content, path)
    start = text.lstrip()[:1]
    if start not in ("{", "[") and (delimiter := _delimiter(text, path, wanted)):
        return Records([*_table(text, path, delimiter)], "tsv" if delimiter == "\t" else "csv")
    if start == "[":
        found = Records([*_items(text, path)], "json array")
    else:
        found = _objects(text, path)
        if len(found.rows) == 1:
            found = _opened(found, text, path, wanted, id_field, value_field)
    return Records([placed._replace(row=flat(placed.row)) for placed in found.rows], found.format, found.key)


def _decompressed(content: bytes, path: Path) -> bytes:
    parts, size = [], 0
    while content.startswith(GZIP):  # a file may hold several streams, one after another
        stream = zlib.decompressobj(wbits=31)
        try:
            part = stream.decompress(content, MAX_INPUT_BYTES + 1 - size)
        except zlib.error as error:
            raise UserError(f"{path}: is not a valid gzip file ({error})") from None
        size += len(part)
        if size > MAX_INPUT_BYTES:
            raise UserError(f"{path}: is larger than {MAX_INPUT_BYTES >> 20:,} MiB when decompressed")
        if not stream.eof:
            raise UserError(f"{path}: is a gzip file whose end is missing")
        parts.append(part)
        content = stream.unused_data
    return b"".join(parts)


def _invalid(path: Path, line: int, error: ValueError, said: str = "") -> UserError:
    reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
    return UserError(f"{path}:{line}: is not valid JSON ({reason})" + (f": {said}" if said else ""))


def _values(text: str) -> Iterator[tuple[int, Any]]:
    """Yield (position, value) of the JSON values of a text, which white space or commas may separate."""
    position = _next(text, 0)
    while position < len(text):
        value, end = decode_json(text, position)
        yield position, value
        position = _next(text, end)


def _next(text: str, position: int) -> int:
    while position < len(text) and (text[position].isspace() or (text[position] == "," and position)):
        position += 1
    return position


def _items(text: str, path: Path) -> Iterator[Placed]:
    numbers = count()
    try:
        values = [value for _, value in _values(text)]
    except ValueError as error:
        raise _invalid(path, getattr(error, "lineno", 1), error) from None
    for value in values:
        for item in value if isinstance(value, list) else [value]:
            number = next(numbers)
            if not isinstance(item, dict):
                raise UserError(f"{path}: item {number}: expected a JSON object, found {excerpt(item)}")
            yield Placed(f"{path}: item {number}", f"item {number}", item)


def _objects(text: str, path: Path) -> Records:
    if spans_lines(text.lstrip().partition("\n")[0].strip()):
        return Records([*_spanning(text, path)], "json objects")
    rows = [*_lines(text, path)]
    spots = {placed.spot for placed in rows}
    return Records(rows, "jsonl" if len(spots) == len(rows) else "json objects")


def _lines(text: str, path: Path) -> Iterator[Placed]:
    for number, line in enumerate(text.split("\n"), 1):
        yield from line_records(line, number, path)


def line_records(line: str, number: int, path: Path) -> list[Placed]:
    """Return the records on one line, numbered from 1, in the order of the file; none on a blank one.

    Raises:
        UserError: it holds something else than JSON objects.
    """
    line = line.strip()
    try:
        if line.startswith("{"):
            value, end = decode_json(line, 0)
            if end == len(line):  # nearly every line: one object
                return [Placed(f"{path}:{number}", f"line {number}", value)]
        values = [value for _, value in _values(line)]
    except ValueError as error:
        raise _invalid(path, number, error, excerpt(line)) from None
    return [_placed(value, number, path, line) for value in values]


def spans_lines(first: str) -> bool:
    """Tell whether a JSON object that begins on a line ends on a later one."""
    try:
        decode_json(first, 0)
    except ValueError:
        return first.endswith(_CONTINUED)
    return False


def _spanning(text: str, path: Path) -> Iterator[Placed]:
    line, counted = 1, 0
    try:
        for position, value in _values(text):
            line, counted = line + text.count("\n", counted, position), position
            yield _placed(value, line, path, value)
    except ValueError as error:
        raise _invalid(path, getattr(error, "lineno", line), error) from None


def _placed(value: object, line: int, path: Path, said: object) -> Placed:
    if not isinstance(value, dict):
        raise UserError(f"{path}:{line}: expected a JSON object, found {excerpt(said)}")
    return Placed(f"{path}:{line}", f"line {line}", value)


def _opened(
    found: Records, text: str, path: Path, wanted: Collection[str], id_field: str, value_field: str
) -> Records:
    """Return the records in an object that is none itself; the object where it holds none."""
    whole = found.rows[0].row
    if any(name_of(key) in wanted for key in whole):
        return found
    lists = {key: value for key, value in whole.items() if _holds_records(value, wanted)}
    if len(lists) > 1:
        raise UserError(
            f"{path}: holds several lists of records ({', '.join(map(excerpt, lists))}); give a file with one"
        )
    for key, values in lists.items():
        rows = []
        for index, item in enumerate(values):
            spot = f"{key}[{index}]"
            if not isinstance(item, dict):
                raise UserError(f"{path}: {spot}: expected a JSON object, found {excerpt(item)}")
            rows.append(Placed(f"{path}: {spot}", spot, item))
        return Records(rows, "json list", key)
    if not _is_by_id(whole):
        return found
    _check_twice(text, path)
    rows = [
        Placed(
            f"{path}: {excerpt(key)}",
            excerpt(key),
            {id_field: key, **(value if isinstance(value, dict) else {value_field: value})},
        )
        for key, value in whole.items()
    ]
    return Records(rows, "json by id")


def _holds_records(value: object, wanted: Collection[str]) -> bool:
    first = value[0] if isinstance(value, list) and value else None
    return isinstance(first, dict) and any(name_of(key) in wanted for key in first)


def _is_by_id(whole: dict[str, Any]) -> bool:
    """Tell whether the keys of an object look like ids, and its values are of one kind."""
    named = all(any(c.isdigit() for c in key) or key.lower().endswith(_PICTURES) for key in whole)
    kinds = {type(value) for value in whole.values()}
    return bool(whole) and named and len(kinds) == 1 and kinds <= {str, list, dict}


def _check_twice(text: str, path: Path) -> None:
    """Raise a UserError for a key that an object has twice: JSON readers keep the last."""
    pairs = json.loads(text, strict=False, object_pairs_hook=list)
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise UserError(f"{path}: {excerpt(key)} is there twice")
        seen.add(key)


def flat(row: dict[str, Any]) -> dict[str, Any]:
    """Return a record of lmms-eval with what its `doc` tells about the sample; others as they are."""
    document = row.get("doc")
    if not isinstance(document, dict) or not row.keys() & {"doc_id", "resps", "filtered_resps"}:
        return row
    return {key: value for key, value in document.items() if name_of(key) in _OF_DOCUMENT} | row


def _delimiter(text: str, path: Path, wanted: Collection[str]) -> str | None:
    """Return what separates the cells of a table, None if the text is none."""
    header = text.lstrip().partition("\n")[0]
    suffix = Path(path.stem if path.suffix == ".gz" else path.name).suffix.lower()

    def known(delimiter: str) -> tuple[int, int]:
        cells = [cell.strip().strip('"') for cell in header.split(delimiter)]
        return sum(name_of(cell) in wanted for cell in cells), len(cells)

    best = max(_DELIMITERS, key=known)
    names, cells = known(best)
    if suffix in _TABLES:
        return "\t" if suffix != ".csv" and not names and "\t" in header else best
    return best if names and cells > 1 else None


def _table(text: str, path: Path, delimiter: str) -> Iterator[Placed]:
    """Yield the rows of a table as records of strings, with the line on which each begins."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    line = 1
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise UserError(f"{path}:{line}: is not a valid table ({error})") from None
        if cells is None:
            return
        place, spot, line = f"{path}:{line}", f"line {line}", reader.line_num + 1
        if not any(cell.strip() for cell in cells):
            continue
        if header is None:
            header = [cell.strip() for cell in cells]
            if twice := next((name for name in header if name and header.count(name) > 1), None):
                raise UserError(f"{place}: has two columns {twice!r}")
            continue
        if len(cells) != len(header):
            raise UserError(
                f"{place}: has {len(cells)} cells where the header has {len(header)}; a text with "
                f"{excerpt(delimiter)} in it must be in quotes"
            )
        yield Placed(place, spot, {name: cell for name, cell in zip(header, cells, strict=True) if name})
