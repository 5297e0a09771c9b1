"""AMBER from files: annotations, word relations, and answers to questions and prompts alike."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from eidolon.benchmark.data.amber_format import GENERATIVE, item_id
from eidolon.benchmark.data.json_rows import (
    Row,
    id_field,
    read_json_object,
    read_rows,
    required,
    text_field,
    yes_no_field,
)
from eidolon.benchmark.settings.config import Inputs
from eidolon.benchmark.settings.load import Given
from eidolon.benchmark.settings.score import ScoreSettings
from eidolon.benchmark.store.files import RESPONSES
from eidolon.benchmark.store.json_lines import to_lines
from eidolon.benchmark.tasks.checking.checks import TaskChecks, TaskFile
from eidolon.benchmark.tasks.protocol import Producer, Run
from eidolon.benchmark.tasks.rows import ANSWERS, FREE_FORM, AnswerRow, FreeFormRow, parsed, yes_no
from eidolon.benchmark.tasks.score_files.checks.amber import FILES, AmberChecks
from eidolon.benchmark.tasks.score_files.inputs import check_fields, content_hashes, one_answer_file, one_path
from eidolon.benchmark.tasks.score_files.work import AnswersTask, AnswersWork, answers_run
from eidolon.scorers.core.errors import UserError, did_you_mean
from eidolon.scorers.core.field_names import JSON, RESPONSE, FieldFinder, format_note, one_text
from eidolon.scorers.core.input_files import clean, decode_text, excerpt, read_bytes
from eidolon.scorers.core.notes import InputNote
from eidolon.scorers.core.records import read_records
from eidolon.scorers.core.scores import Family, Scores
from eidolon.scorers.core.signature import Signature, hashed
from eidolon.scorers.core.types import ImageId, Response
from eidolon.scorers.metrics.amber import TYPES, Amber, ClosedAnswer, FreeAnswer
from eidolon.scorers.metrics.amber_words import (
    MATCHINGS,
    LexiconMatcher,
    VectorMatcher,
    WordMatcher,
    vocabulary_of,
)
from eidolon.scorers.metrics.scoring import assemble, named_counts, values_of
from eidolon.scorers.metrics.throne import check_mode
from eidolon.scorers.statistics.bootstrap import column_sums

FIELDS = ("id", "response")
"""The fields of an answer."""
Relations = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Annotation:
    """What is asked about an item, and what is true: yes or no, or the objects that are there or feared."""

    kind: str
    truth: bool = False
    objects: tuple[str, ...] = ()
    feared: tuple[str, ...] = ()


class AmberTask(AnswersTask):
    """AMBER from files: annotations, word relations, and answers to questions and prompts alike."""

    name: ClassVar[str] = "amber"
    verb: ClassVar[Literal["score"]] = "score"
    run_files: ClassVar[tuple[TaskFile, ...]] = FILES
    fields: ClassVar[tuple[str, ...]] = (
        "annotations",
        "relations",
        "answers",
        "mode",
        "matching",
        "safe_words",
        "questions",
        "fields",
    )
    needs: ClassVar[tuple[str, ...]] = ("annotations", "relations", "answers")

    def plan(self, given: Given[ScoreSettings], out: Path) -> tuple[Run, Producer]:
        """Read and check all inputs.

        The setting `questions` names the image of each item, so that intervals can respect it; without it every item
        is a cluster of its own.

        Raises:
            UserError: a setting or a file is wrong.
        """
        settings = given.settings
        check_mode(settings.mode)
        check_fields(settings.fields, FIELDS)
        if settings.matching not in MATCHINGS:
            hint = did_you_mean(settings.matching, MATCHINGS)
            raise UserError(f"--matching {settings.matching}: unknown matching{hint}")
        contents = {
            name: read_bytes(path)
            for name, path in (
                ("annotations", settings.annotations),
                ("relations", settings.relations),
                ("answers", one_answer_file(settings)),
                ("safe_words", settings.safe_words),
                ("questions", settings.questions),
            )
            if path is not None
        }
        items = read_items(settings, contents)
        metric = items.metric
        samples = items.samples
        signature = Signature(
            dataset=hashed(one_path(settings.annotations).stem, contents["annotations"]),
            judge=f"amber(matching={metric.matcher.signature()},safe_words={len(metric.safe_words)})",
            policy=f"amber(mode={settings.mode},intervals={items.unit})",
            n=len(samples),
            resamples=settings.resamples,
            seed=settings.seed,
        )
        closed = [sample for sample in samples if isinstance(sample, ClosedAnswer)]
        free = [sample for sample in samples if isinstance(sample, FreeAnswer)]
        return answers_run(
            self.name,
            settings,
            out,
            inputs=Inputs(
                files=content_hashes(**contents), judge=metric.matcher.signature(), notes=items.notes
            ),
            signature=signature,
            sample_ids=[str(sample.item_id) for sample in samples],
            work=AnswersWork(
                files={
                    RESPONSES: lambda: to_lines(_response(sample) for sample in samples),
                    **(
                        {ANSWERS: lambda: to_lines(_row(sample, metric) for sample in closed)}
                        if closed
                        else {}
                    ),
                    **({FREE_FORM: lambda: to_lines(_free_row(s, metric) for s in free)} if free else {}),
                },
                compute=lambda: score_items(items, settings, signature),
                main=f"mode={settings.mode}",
            ),
        )

    def checks(self) -> TaskChecks:
        """Return what `eidolon check` asks of this task."""
        return AmberChecks()


@dataclass(frozen=True, slots=True)
class Items:
    """The answered items, and how they are scored."""

    samples: Sequence[ClosedAnswer | FreeAnswer]
    metric: Amber
    unit: str
    """What intervals resample: `images` or `items`."""
    requested: int
    """Items of the same kinds in the annotations."""
    notes: tuple[InputNote, ...] = ()
    """What was assumed about the answers."""


def read_items(settings: ScoreSettings, contents: Mapping[str, bytes]) -> Items:
    """Read all files into items.

    Raises:
        UserError: a file is wrong, or two of them do not belong together.
    """
    annotations, relations, answers = map(
        one_path, (settings.annotations, settings.relations, one_answer_file(settings))
    )
    related = _read_relations(contents["relations"], relations)
    known = _read_annotations(
        read_rows(contents["annotations"], annotations, "annotations"), related, relations
    )
    texts, notes = _read_answers(contents["answers"], answers, settings.fields, known, annotations)
    image_of = _read_images(contents, settings.questions)
    safe = _read_words(contents, settings.safe_words)
    matcher: WordMatcher = (LexiconMatcher if settings.matching == "lexicon" else VectorMatcher)(
        vocabulary_of(related)
    )
    kinds = {known[number].kind for number in texts}
    return Items(
        samples=[
            _sample(number, text, known[number], image_of, settings.questions)
            for number, text in texts.items()
        ],
        metric=Amber(settings.mode, related, matcher, safe),
        unit="items" if settings.questions is None else "images",
        requested=sum(annotation.kind in kinds for annotation in known.values()),
        notes=notes,
    )


def score_items(items: Items, settings: ScoreSettings, signature: Signature) -> Scores:
    """Return the scores of the items."""
    metric, images = items.metric, [sample.image_id for sample in items.samples]
    statistics = metric.statistics(items.samples)
    values: dict[str, Any] = values_of(
        metric, statistics, images, seed=settings.seed, resamples=settings.resamples
    )
    return assemble(
        {"amber": Family(**values)},
        images,
        signature=signature.line(),
        counts={"amber": named_counts(metric.columns, column_sums(statistics))},
        over=items.unit,
        requested=items.requested,
        seed=settings.seed,
        resamples=settings.resamples,
    )


def _read_relations(content: bytes, path: Path) -> Relations:
    relations: dict[str, tuple[str, ...]] = {}
    for word, associated in read_json_object(content, path).items():
        if not isinstance(associated, list) or not all(isinstance(other, str) for other in associated):
            raise UserError(
                f"{path}: {excerpt(word)} must have a list of strings, found {excerpt(associated)}"
            )
        relations[word] = tuple(associated)
    if not relations:
        raise UserError(f"{path}: holds no words")
    return relations


def _read_annotations(rows: Sequence[Row], relations: Relations, path: Path) -> dict[int, Annotation]:
    known: dict[int, Annotation] = {}
    for place, row in rows:
        number = item_id(row, place)
        if number in known:
            raise UserError(f"{place}: id {number} is annotated already")
        kind = text_field(row, "type", place)
        if kind == GENERATIVE:
            truth, feared = (_objects(row, name, relations, path, place) for name in ("truth", "hallu"))
            known[number] = Annotation(kind, objects=truth, feared=feared)
        elif kind in TYPES:
            known[number] = Annotation(kind, truth=yes_no_field(row, "truth", place))
        else:
            raise UserError(
                f"{place}: unknown type {excerpt(kind)}{did_you_mean(kind, [*TYPES, GENERATIVE])}"
            )
    return known


def _objects(
    row: Mapping[str, Any], name: str, relations: Relations, path: Path, place: str
) -> tuple[str, ...]:
    value = required(row, name, place)
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise UserError(f"{place}: field {name!r} must be a list of strings, found {excerpt(value)}")
    for word in value:
        if word not in relations:
            raise UserError(f"{place}: {excerpt(word)} of {name!r} is not in {path}")
    return tuple(value)


def _read_answers(
    content: bytes, file: Path, fields: Mapping[str, str], known: Mapping[int, Annotation], path: Path
) -> tuple[dict[int, str], tuple[InputNote, ...]]:
    records = read_records(content, file, {*FIELDS, *RESPONSE, *fields.values()}, id_field="id")
    if not records.rows:
        raise UserError(f"{file}: holds no answers")
    finder = FieldFinder(records.rows, file, "answers", fields)
    id_name, response = fields.get("id", "id"), finder.text("response")
    answers: dict[int, str] = {}
    for place, _, row in records.rows:
        number = item_id(row, place, id_name)
        if number not in known:
            raise UserError(f"{place}: id {number} is not in {path}")
        if number in answers:
            raise UserError(f"{place}: id {number} is answered already")
        value = one_text(row.get(response))
        answers[number] = clean(value) if isinstance(value, str) else text_field(row, response, place)
    return answers, (*format_note(records, "answers", JSON), *finder.notes)


def _read_images(contents: Mapping[str, bytes], path: Path | None) -> dict[int, ImageId]:
    if path is None:
        return {}
    rows = read_rows(contents["questions"], path, "questions")
    return {item_id(row, place): id_field(row, "image", place) for place, row in rows}


def _read_words(contents: Mapping[str, bytes], path: Path | None) -> frozenset[str]:
    return frozenset() if path is None else frozenset(decode_text(contents["safe_words"], path).split())


def _sample(
    number: int, text: str, annotation: Annotation, image_of: Mapping[int, ImageId], questions: Path | None
) -> ClosedAnswer | FreeAnswer:
    if questions is not None and number not in image_of:
        if annotation.kind != GENERATIVE:
            raise UserError(f"{questions}: has no image for id {number}, which is answered")
        # The first items are the images themselves: query n of the free-form task is about AMBER_n.jpg.
        image_id: ImageId = f"AMBER_{number}.jpg"
    else:
        image_id = image_of.get(number, number)
    if annotation.kind == GENERATIVE:
        return FreeAnswer(number, image_id, annotation.objects, annotation.feared, text)
    return ClosedAnswer(number, image_id, TYPES[annotation.kind], annotation.truth, text)


def _response(sample: ClosedAnswer | FreeAnswer) -> Response:
    text = sample.answer if isinstance(sample, ClosedAnswer) else sample.response
    return Response(sample_id=str(sample.item_id), image_id=sample.image_id, response=text)


def _row(sample: ClosedAnswer, metric: Amber) -> AnswerRow:
    return AnswerRow(
        sample_id=str(sample.item_id),
        image_id=sample.image_id,
        dimension=sample.dimension,
        truth=yes_no(sample.truth),
        parsed={metric.mode: parsed(metric.parse(sample.answer))},
    )


def _free_row(sample: FreeAnswer, metric: Amber) -> FreeFormRow:
    named = metric.named(sample)
    return FreeFormRow(
        sample_id=str(sample.item_id),
        image_id=sample.image_id,
        nouns=named.nouns,
        hallucinated=named.hallucinated,
        covered=tuple(sample.truth[i] for i in sorted(named.covered)),
        feared=tuple(sample.feared[i] for i in sorted(named.feared)),
        true_objects=sample.truth,
        feared_objects=sample.feared,
    )
