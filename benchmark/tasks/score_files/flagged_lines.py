"""Response lines with people's flags on their words, as lists, or in a published benchmark's layout."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from eidolon.benchmark.tasks.score_files.inputs import response_fields
from eidolon.benchmark.tasks.score_files.labelled_spans import SEGMENTS, unlabelled
from eidolon.benchmark.tasks.score_files.tagged_words import TAGGED, untagged
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import excerpt
from eidolon.scorers.core.notes import InputNote
from eidolon.scorers.core.records import read_records
from eidolon.scorers.core.response_lines import WANTED, ResponseLine, read_response_rows
from eidolon.scorers.metrics.detection import word_spans
from eidolon.scorers.metrics.flag_position import MarkedResponse

FLAGS = ("words", "human_hallucinated")


@dataclass(frozen=True, slots=True)
class Flagged:
    """A response line with its words, their spans, and people's flags."""

    line: ResponseLine
    words: tuple[str, ...]
    spans: tuple[tuple[int, int], ...]
    human: tuple[bool | None, ...]

    @property
    def marked(self) -> MarkedResponse:
        """What people marked, for the metric of positions."""
        return MarkedResponse(self.line.response.image_id, self.words, self.human)


def read_flagged(
    content: bytes, path: Path, fields: Mapping[str, str]
) -> tuple[list[Flagged], tuple[InputNote, ...]]:
    """Return the lines of a file, and what was assumed about it. `fields` are the file's names of our fields.

    Raises:
        UserError: the file, a line or a flag is wrong.
    """
    words_field, flags_field = (fields.get(name, name) for name in FLAGS)
    records = read_records(content, path, {*WANTED, *FLAGS, TAGGED, SEGMENTS, *fields.values()})
    records = replace(
        records,
        rows=[
            unlabelled(untagged(one, words_field, flags_field), words_field, flags_field, number)
            for number, one in enumerate(records.rows)
        ],
    )
    for placed in records.rows:
        _check_flags(placed.row, placed.place, words_field, flags_field)
    mine = response_fields(fields)
    response = mine.get("response", "response")
    completed = [
        placed
        if response in placed.row or "response" in mine
        else placed._replace(row=placed.row | {response: " ".join(placed.row[words_field])})
        for placed in records.rows
    ]
    file = read_response_rows(replace(records, rows=completed), path, mine)
    flagged = []
    for line, placed in zip(file.lines, records.rows, strict=True):
        words, human = tuple(placed.row[words_field]), tuple(placed.row[flags_field])
        try:
            spans = word_spans(words, line.response.response or " ".join(words))
        except ValueError as error:
            raise UserError(f"{line.place}: field {words_field!r}: {error}") from None
        flagged.append(Flagged(line, words, tuple(spans), human))
    return flagged, file.notes


def _check_flags(row: Mapping[str, Any], where: str, words: str, flags: str) -> None:
    kinds = (
        (words, str, "strings"),
        (flags, bool | None, "true and false, or null where people leave it open"),
    )
    for name, kind, what in kinds:
        if name not in row:
            raise UserError(
                f"{where}: field {name!r} is missing; --metric detection needs people's word flags"
            )
        value = row[name]
        if not isinstance(value, list) or not all(isinstance(item, kind) for item in value):
            raise UserError(f"{where}: field {name!r} must be a list of {what}, found {excerpt(value)}")
    if len(row[words]) != len(row[flags]):
        raise UserError(f"{where}: {len(row[flags])} flags in {flags!r} for {len(row[words])} words")
