"""Reading existing responses from a file. An error in the file is a UserError that names the place."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

from eidolon.scorers.core.bounds import MAX_TOKEN_COUNT
from eidolon.scorers.core.errors import UserError, did_you_mean
from eidolon.scorers.core.field_names import IMAGE, RESPONSE, FieldFinder, format_note, one_text
from eidolon.scorers.core.image_ids import ImageIds
from eidolon.scorers.core.input_files import clean, excerpt, read_image_id
from eidolon.scorers.core.notes import InputNote
from eidolon.scorers.core.record_stream import StreamedRecords
from eidolon.scorers.core.records import Placed, Records, read_records
from eidolon.scorers.core.types import FinishReason, ImageId, Response

FINISH_REASONS = get_args(FinishReason)
FIELDS = ("response", "image_id", "sample_id", "references")
"""The fields of a record that are read; other fields are ignored."""
WANTED = frozenset((*FIELDS, *RESPONSE, *IMAGE, "question_id", "id", "error"))
"""Names of fields that show that an object is a record."""


@dataclass(frozen=True, slots=True)
class ResponseLine:
    """One response of a file, with its place and the reference captions in its record."""

    place: str
    """With the file, for messages."""
    spot: str
    """Within the file: `line 3`, `item 3`."""
    response: Response
    references: tuple[str, ...] = ()
    named: bool = True
    """Whether the record has a sample id; else it is that of the image."""


@dataclass(frozen=True, slots=True)
class ResponseFile:
    """The responses of a file, and what was assumed to read them."""

    lines: list[ResponseLine]
    notes: tuple[InputNote, ...] = ()


def read_responses(content: bytes, path: Path, fields: Mapping[str, str] | None = None) -> ResponseFile:
    """Return the responses of a file of any format of `records`.

    `fields` maps our field names (`FIELDS`) to the file's. A record has `response` and at least one of `image_id` and
    `sample_id`, or well-known fields in their place (see `field_names`); a missing id is taken from the other. Several
    responses to one image need a `sample_id` each. A null response with an `error` stays an error.

    Raises:
        UserError: the file has no responses, or a record is invalid; the message names file, place and field.
    """
    given = dict(fields or {})
    wanted = {*WANTED, *given.values()}
    records = read_records(content, path, wanted, value_field=given.get("response", "response"))
    return read_response_rows(records, path, given)


def read_response_rows(records: Records, path: Path, fields: Mapping[str, str] | None = None) -> ResponseFile:
    """Return the responses in the records of a file; see `read_responses`."""
    source = response_source(records, path, fields)
    lines = [*source]
    check_once(lines, source.names["sample_id"])
    if not lines:
        raise UserError(f"{path}: holds no responses")
    return ResponseFile(lines, source.notes())


@dataclass(frozen=True, slots=True)
class ResponseSource:
    """The responses of a file, read from its records each time that they are iterated.

    That every sample has one response is not checked.
    """

    records: Records | StreamedRecords
    path: Path
    names: Mapping[str, str]
    """Our field names with the file's."""
    assumed: tuple[InputNote, ...]
    """What was assumed about the fields."""
    sha256: str = ""
    """The hash of the file's content, where it is known."""

    def __iter__(self) -> Iterator[ResponseLine]:
        """Yield the responses in order.

        Raises:
            UserError: a record is invalid; the message names file, place and field.
        """
        return (self.line(placed) for placed in self.records.rows)

    def line(self, placed: Placed) -> ResponseLine:
        """Return the response in a record.

        Raises:
            UserError: it is invalid.
        """
        return _read_line(placed, self.names, self._hint)

    def notes(self) -> tuple[InputNote, ...]:
        """Return what was assumed, once all responses have been read."""
        return (*format_note(self.records, "responses"), *self.assumed)

    @property
    def _hint(self) -> str:
        return "; a table needs a header line" if self.records.format in ("csv", "tsv") else ""


def response_source(
    records: Records | StreamedRecords,
    path: Path,
    fields: Mapping[str, str] | None = None,
    sha256: str = "",
) -> ResponseSource:
    """Return the responses in the records of a file; see `read_responses`. All records are read once.

    Raises:
        UserError: a record is no JSON, or it is unclear which fields hold response and image.
    """
    given = dict(fields or {})
    finder = FieldFinder(records.rows, path, "responses", given)
    for ours, theirs in given.items():
        if records.rows and not finder.has(theirs):
            raise UserError(f"--field {ours}={theirs}: no line of {path} has a field {theirs!r}")
    names = {name: given.get(name, name) for name in FIELDS}
    names |= {"response": finder.text("response"), "image_id": finder.image()}
    return ResponseSource(records, path, names, tuple(finder.notes), sha256)


def check_once(lines: Iterable[ResponseLine], field: str = "sample_id") -> None:
    """Raise a UserError for the second response to a sample, unless it is another generation.

    `field` is what the file calls the sample id.
    """
    seen: dict[tuple[str, int], str] = {}
    for line in lines:
        key = (line.response.sample_id, line.response.generation)
        if key in seen:
            hint = "" if line.named else f"; several responses to one image need a {field!r} each"
            raise UserError(f"{line.place}: sample id {excerpt(key[0])} is already on {seen[key]}{hint}")
        seen[key] = line.spot


def match_images(lines: Sequence[ResponseLine], ids: ImageIds) -> list[ResponseLine]:
    """Return the responses with the image ids of another file, where that has the same image under another form.

    Raises:
        UserError: several images may be meant, or two responses are to one image and have no sample ids.
    """
    found = []
    for line in lines:
        image_id = ids.find(line.response.image_id, line.place)
        if image_id is not None and image_id != line.response.image_id:
            changed: dict[str, ImageId] = {"image_id": image_id}
            if not line.named:
                changed["sample_id"] = str(image_id)
            line = replace(line, response=line.response.model_copy(update=changed))
        found.append(line)
    check_once(found)
    return found


def _read_line(placed: Placed, names: Mapping[str, str], hint: str) -> ResponseLine:
    where, row = placed.place, placed.row
    image_id, sample_id = row.get(names["image_id"]), row.get(names["sample_id"])
    if image_id is None and sample_id is None:
        if null := next((names[name] for name in ("image_id", "sample_id") if names[name] in row), None):
            raise UserError(f"{where}: field {null!r} is null; a response needs the id of its image")
        raise UserError(
            f"{where}: has neither {names['image_id']!r} nor {names['sample_id']!r}; {_fix('image_id', row)}{hint}"
        )
    sample = None if sample_id is None else read_image_id(sample_id, where, names["sample_id"])
    identifier = sample if image_id is None else read_image_id(image_id, where, names["image_id"])
    assert identifier is not None

    field = names["response"]
    if field not in row:
        raise UserError(f"{where}: field {field!r} is missing; {_fix('response', row)}{hint}")
    text, error = one_text(row[field]), row.get("error")
    if text is None and isinstance(error, str) and error:
        text = None
    elif not isinstance(text, str):
        raise UserError(f"{where}: field {field!r} must be a string, found {excerpt(text)}")
    else:
        error = None

    generation = row.get("generation", 0)
    if (
        isinstance(generation, str) and generation.isascii() and generation.isdigit() and len(generation) < 10
    ):  # of a table
        generation = int(generation)
    if not _is_count(generation):
        raise UserError(f"{where}: 'generation' must be a whole number from 0, found {excerpt(generation)}")
    return ResponseLine(
        where,
        placed.spot,
        Response(
            sample_id=str(identifier if sample is None else sample),
            image_id=identifier,
            response=None if text is None else clean(text),
            generation=generation,
            error=None if error is None else clean(error),
            **_read_measures(row, text is None),
        ).bounded(),
        _read_references(row.get(names["references"]), names["references"], where),
        named=sample_id is not None,
    )


def _read_measures(row: Mapping[str, Any], failed: bool) -> dict[str, Any]:
    """Return the fields that our own runs record about a generation.

    Another program's file may use these names for other things, so a value of another type is ignored.
    """
    found: dict[str, Any] = {"finish_reason": "error" if failed else "unknown"}
    if row.get("finish_reason") in FINISH_REASONS:
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
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_TOKEN_COUNT


def _is_logprob(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -MAX_TOKEN_COUNT < value <= 0


def _read_references(value: object, field: str, where: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise UserError(f"{where}: field {field!r} must be a list of strings, found {excerpt(value)}")
    return tuple(clean(text) for text in value)


def _fix(field: str, row: Mapping[str, Any]) -> str:
    return f"use --field {field}=NAME if it has another name{did_you_mean(field, list(row)) if row else ''}"
