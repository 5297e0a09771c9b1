"""The answers to a benchmark's questions, joined by the fields that name a question, or else by their order."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from eidolon.benchmark.data.json_rows import id_field, text_field
from eidolon.benchmark.data.question_layouts import Layout, Questions
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.field_names import JSON, RESPONSE, FieldFinder, format_note, one_text
from eidolon.scorers.core.input_files import clean, excerpt
from eidolon.scorers.core.notes import InputNote
from eidolon.scorers.core.records import Placed, Records, read_records

FIELDS = ("response",)
"""What `--field` names."""
_IDS = ("sample_id", "question_id")
"""Fields that may hold the whole id: that of a run of ours, and the benchmarks' own."""


@dataclass(frozen=True, slots=True)
class GivenAnswers:
    """Each question's answer by its id, and the verdicts of the released program's judge where the file has them."""

    texts: dict[str, str]
    verdicts: dict[str, str]
    notes: tuple[InputNote, ...]


def read_answers(
    content: bytes, path: Path, layout: Layout, questions: Questions, fields: Mapping[str, str]
) -> GivenAnswers:
    """Return the answers, one for each question.

    Raises:
        UserError: the file is wrong, a question has no answer or two, or an answer is to no question.
    """
    wanted = {*RESPONSE, *layout.key, *_IDS, *fields.values()}
    records = read_records(content, path, wanted, id_field=_IDS[1], value_field="response")
    if not records.rows:
        raise UserError(f"{path}: holds no answers")
    finder = FieldFinder(records.rows, path, "answers", fields)
    answer = finder.text("response")
    ids = _ids(records, path, layout, questions)
    texts: dict[str, str] = {}
    verdicts: dict[str, str] = {}
    places: dict[str, str] = {}
    for number, (place, _, row) in zip(ids, records.rows, strict=True):
        if number not in questions:
            raise UserError(f"{place}: {excerpt(number)} is none of the {len(questions)} questions")
        if number in places:
            raise UserError(f"{place}: question {excerpt(number)} is answered at {places[number]} already")
        places[number] = place
        value = one_text(row.get(answer))
        texts[number] = clean(value) if isinstance(value, str) else text_field(row, answer, place)
        if layout.verdict is not None and row.get(layout.verdict) is not None:
            given = str(row[layout.verdict])
            if given not in layout.verdicts:
                raise UserError(
                    f"{place}: field {layout.verdict!r} must be one of {', '.join(layout.verdicts)}, found "
                    f"{excerpt(given)}"
                )
            verdicts[number] = layout.verdicts[given]
    if missing := [number for number in questions if number not in texts]:
        raise UserError(
            f"{path}: question {excerpt(missing[0])} has no answer ({len(missing)} of {len(questions)} have none)"
        )
    if verdicts and len(verdicts) < len(questions):
        raise UserError(
            f"{path}: {len(verdicts)} of {len(questions)} answers have a field {layout.verdict!r}; give all of them "
            "their verdict, or --mode fixed, which reads the answers themselves"
        )
    return GivenAnswers(texts, verdicts, (*format_note(records, "answers", JSON), *finder.notes))


def _ids(records: Records, path: Path, layout: Layout, questions: Questions) -> list[str]:
    """Return the id of each answer's question."""
    rows = records.rows
    whole = next((name for name in _IDS if all(_names(placed, name, questions) for placed in rows)), None)
    if whole is not None:
        return [str(id_field(row, whole, place)) for place, _, row in rows]
    if all(name in placed.row for placed in rows for name in layout.key):
        return ["/".join(str(id_field(row, name, place)) for name in layout.key) for place, _, row in rows]
    if named := next((name for name in (*layout.key, *_IDS) if name in rows[0].row), None):
        if len(layout.key) == 1 or named in _IDS:
            return [str(id_field(row, named, place)) for place, _, row in rows]
        lacking = next(name for name in layout.key if name not in rows[0].row)
        raise UserError(
            f"{rows[0].place}: field {lacking!r} is missing, which with {named!r} names the question"
        )
    if len(rows) != len(questions):
        raise UserError(
            f"{path}: holds {len(rows)} answers to {len(questions)} questions; without {', '.join(layout.key)} there "
            "must be one for each, in order"
        )
    return list(questions)


def _names(placed: Placed, name: str, questions: Questions) -> bool:
    return str(placed.row.get(name)) in questions
