"""POPE's files read: the questions with their labels, and one answer to each."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from eidolon.benchmark.data.json_rows import id_field, text_field, yes_no_field
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.field_names import (
    IMAGE,
    JSON,
    QUESTION_ID,
    RESPONSE,
    FieldFinder,
    format_note,
    one_text,
)
from eidolon.scorers.core.image_ids import image_number, same_image
from eidolon.scorers.core.input_files import clean, excerpt
from eidolon.scorers.core.notes import InputNote, assumed, warning
from eidolon.scorers.core.records import Placed, read_records
from eidolon.scorers.core.types import ImageId

FIELDS = ("question_id", "image", "text", "label", "question", "answer", "logprobs")
"""The first four are the questions', the last three and the id the answers'."""
OF_A_RUN = ("sample_id", "response")
"""What `responses.jsonl` of a run calls the id of the question, and the answer."""
_ASKED = ("question", "prompt", "query", "input", "text")
"""Fields of an answer that may hold the question that was asked."""
_LABELS = ("label", "target", "gt", "gt_answer", "gt_ans", "ground_truth")
_WANTED = frozenset((*FIELDS, *_ASKED, *_LABELS, *OF_A_RUN, *RESPONSE, *IMAGE, *QUESTION_ID))
_ARTICLES = frozenset(("a", "an"))


class AskedQuestion(NamedTuple):
    """A question about an image, and its true answer."""

    image: ImageId
    text: str
    truth: bool


@dataclass(frozen=True, slots=True)
class AnswerFile:
    """The answer to each question, by its id, and what was assumed to read them."""

    texts: dict[str, str]
    logprobs: dict[str, dict[str, float]]
    """Log-probabilities of the first token of each answer, in nats, by token, where the file has them."""
    notes: tuple[InputNote, ...]


def read_questions(
    content: bytes, path: Path, fields: Mapping[str, str]
) -> tuple[dict[str, AskedQuestion], tuple[InputNote, ...]]:
    """Return the questions by id, in the order of the file, and notes. `fields` maps our field names to the file's.

    Raises:
        UserError: the file is wrong, or an id is there twice.
    """
    records = read_records(content, path, {*_WANTED, *fields.values()}, id_field="question_id")
    if not records.rows:
        raise UserError(f"{path}: holds no questions")
    finder = FieldFinder(records.rows, path, "questions", _there(fields, FIELDS[:4], records.rows))
    question_id, image = finder.value("question_id", QUESTION_ID, (int, str)), finder.image("image")
    text = finder.text("text", ("question", "query"))
    label = finder.value("label", ("answer", *_LABELS), str)
    asked: dict[str, AskedQuestion] = {}
    spots: dict[str, str] = {}
    for place, spot, row in records.rows:
        number = str(id_field(row, question_id, place))
        if number in asked:
            raise UserError(f"{place}: question id {excerpt(number)} stands on {spots[number]} already")
        spots[number] = spot
        asked[number] = AskedQuestion(
            id_field(row, image, place), text_field(row, text, place), yes_no_field(row, label, place)
        )
    return asked, (*format_note(records, "questions", JSON), *finder.notes)


def read_answers(
    content: bytes, path: Path, fields: Mapping[str, str], asked: Mapping[str, AskedQuestion], questions: Path
) -> AnswerFile:
    """Return the answers, joined with the questions by id where the records have one, else in order.

    What an answer says about its question, as the text, the image or the label, is compared with the question.

    Raises:
        UserError: the file is wrong, a question has no answer or two, or the answers are to other questions.
    """
    records = read_records(
        content, path, {*_WANTED, *fields.values()}, id_field="question_id", value_field="answer"
    )
    rows = records.rows
    if not rows:
        raise UserError(f"{path}: holds no answers")
    given = _there(fields, ("question_id", "question"), rows)
    finder = FieldFinder(rows, path, "answers", given | {k: v for k, v in fields.items() if k == "answer"})
    id_name, answer = _names_of_answers(finder, path, given, fields)
    by_id = finder.has(id_name)
    if not by_id and len(rows) != len(asked):
        raise UserError(
            f"{path}: holds {len(rows)} answers to the {len(asked)} questions of {questions}; without {id_name!r} "
            "there must be one for each, in order"
        )
    texts: dict[str, str] = {}
    logprobs: dict[str, dict[str, float]] = {}
    logprobs_name = fields.get("logprobs", "logprobs")
    places: dict[str, str] = {}
    answered: list[tuple[Placed, AskedQuestion]] = []
    for placed, following in zip(rows, [*asked, *[""] * len(rows)], strict=False):
        place, _, row = placed
        number = _known_id(str(id_field(row, id_name, place)), asked) if by_id else following
        if number not in asked:
            raise UserError(f"{place}: question id {excerpt(number)} is not in {questions}")
        if number in texts:
            raise UserError(f"{place}: question id {excerpt(number)} is answered at {places[number]} already")
        places[number] = place
        answered.append((placed, asked[number]))
        value = one_text(row.get(answer))
        texts[number] = clean(value) if isinstance(value, str) else text_field(row, answer, place)
        if row.get(logprobs_name) is not None:
            logprobs[number] = _first_token(row[logprobs_name], f"{place}: field {logprobs_name!r}")
    notes = _compare(answered, finder, answer, given.get("question"), questions)
    if missing := [number for number in asked if number not in texts]:
        raise UserError(
            f"{path}: question id {excerpt(missing[0])} of {questions} has no answer ({len(missing)} of {len(asked)} "
            "have none)"
        )
    return AnswerFile(texts, logprobs, (*format_note(records, "answers", JSON), *finder.notes, *notes))


def _first_token(value: object, where: str) -> dict[str, float]:
    """Return log-probabilities by token, from such an object or from an endpoint's list of `token` and `logprob`."""
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        value = {item.get("token"): item.get("logprob") for item in value}
    if not isinstance(value, dict) or not all(
        isinstance(token, str)
        and isinstance(number, int | float)
        and not isinstance(number, bool)
        and number <= 0
        for token, number in value.items()
    ):
        raise UserError(
            f'{where} must give the log-probability of each token, as {{"Yes": -0.1, "No": -2.4}}, found '
            f"{excerpt(value)}"
        )
    return {token: float(number) for token, number in value.items()}


def _there(fields: Mapping[str, str], ours: Sequence[str], rows: Sequence[Placed]) -> dict[str, str]:
    """Return those of `--field` that a file has; the name may be that of the other file."""
    given = {name: fields[name] for name in ours if name in fields}
    return {name: theirs for name, theirs in given.items() if any(theirs in placed.row for placed in rows)}


def _names_of_answers(
    finder: FieldFinder, path: Path, given: Mapping[str, str], fields: Mapping[str, str]
) -> tuple[str, str]:
    """Return the names of the question's id and of the answer."""
    of_a_run = all(map(finder.has, OF_A_RUN)) and not any(map(finder.has, ("question_id", "answer")))
    if of_a_run and not {"question_id", "answer"} & fields.keys():
        return OF_A_RUN
    id_name = finder.value("question_id", QUESTION_ID, (int, str))
    others = [name for name in RESPONSE if name not in ("answer", "text", "caption") and finder.has(name)]
    if "answer" not in fields and finder.has("answer") and others:
        raise UserError(
            f"{path}: has both 'answer' and {others[0]!r}, and one may be the label; choose with --field "
            "answer=NAME"
        )
    return id_name, finder.text("answer", but=("text",) if others else ())


def _known_id(number: str, asked: Mapping[str, AskedQuestion]) -> str:
    """Return the id of a question, which an answer may write padded or as `1.0`."""
    if number not in asked and (whole := image_number(number)) is not None and str(whole) in asked:
        return str(whole)
    return number


Pairs = Sequence[tuple[Placed, AskedQuestion]]


def _compare(
    answered: Pairs, finder: FieldFinder, answer: str, question: str | None, questions: Path
) -> list[InputNote]:
    """Raise a UserError for answers that are to other questions; return notes on what could not be compared."""
    notes: list[InputNote] = []
    names = (question,) if question else _ASKED
    asked = next((name for name in names if name != answer and finder.has(name)), None)
    compared = False
    if asked is not None:
        prompts = {str(placed.row.get(asked)) for placed, _ in answered}
        if len(prompts) == 1 and len({question.text for _, question in answered}) > 1 and not question:
            notes.append(assumed("answers", "not compared", name=asked))
        else:
            _compare_prompts(answered, asked, questions)
            compared = True
    image = next((name for name in IMAGE if finder.has(name)), None)
    if image is not None:
        _compare_images(answered, image, questions, sure=not compared)
    label = next((name for name in _LABELS if name != answer and finder.has(name)), None)
    if label is not None:
        notes += _compare_labels(answered, label)
    return notes


def _compare_prompts(answered: Pairs, name: str, questions: Path) -> None:
    """The prompt of an answer holds its question; where the questions were put otherwise, their words."""
    pairs = [(placed, question, placed.row[name]) for placed, question in answered if name in placed.row]
    texts = [(placed, question, text) for placed, question, text in pairs if isinstance(text, str)]
    common = set.intersection(*(_words(question.text) for _, question, _ in texts)) if texts else set()

    def holds(question: AskedQuestion, text: str) -> bool:
        return _plain(question.text) in _plain(text)

    def names(question: AskedQuestion, text: str) -> bool:
        return _words(question.text) - common - _ARTICLES <= _words(text)

    put_otherwise = len(texts) > 1 and not any(holds(question, text) for _, question, text in texts)
    fits = names if put_otherwise else holds
    wrong = [(placed, question, text) for placed, question, text in texts if not fits(question, text)]
    if wrong:
        placed, question, text = wrong[0]
        raise UserError(
            f"{placed.place}: answers {excerpt(text)} where the question of {questions} is {excerpt(question.text)} "
            f"({len(wrong)} of {len(answered)} answers are to other questions); give the questions that were asked"
        )


def _compare_images(answered: Pairs, name: str, questions: Path, *, sure: bool) -> None:
    """The image of an answer is that of its question. Without `sure`, images may all have other names."""
    known = [
        (placed, question.image, given)
        for placed, question in answered
        if _is_id(given := placed.row.get(name)) and given is not None
    ]
    wrong = [pair for pair in known if not same_image(pair[1], pair[2])]
    if wrong and (sure or len(wrong) < len(known)):
        placed, image, given = wrong[0]
        raise UserError(
            f"{placed.place}: is about image {excerpt(given)} where the question of {questions} is about "
            f"{excerpt(image)} ({len(wrong)} of {len(answered)} answers are about other images); give the questions "
            "that were asked"
        )


def _compare_labels(answered: Pairs, name: str) -> list[InputNote]:
    wrong = [
        placed
        for placed, question in answered
        if _is_label(label := placed.row.get(name))
        and (str(label).strip().lower() == "yes") != question.truth
    ]
    if not wrong:
        return []
    return [warning("answers", "labels", count=len(wrong), of=len(answered), name=name, first=wrong[0].spot)]


def _is_id(value: object) -> bool:
    return isinstance(value, int | str) and not isinstance(value, bool) and len(str(value)) <= 1024


def _is_label(value: Any) -> bool:
    return isinstance(value, str) and value.strip().lower() in ("yes", "no")


def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _words(text: str) -> set[str]:
    return set(re.findall(r"[^\W_]+", text.casefold()))
