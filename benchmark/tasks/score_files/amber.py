"""AMBER from files: annotations, word relations, and answers to questions and prompts alike."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
from eidolon.benchmark.store.files import RESPONSES
from eidolon.benchmark.tasks.score_files.rows import AnswerRow, FreeFormRow, parsed, yes_no
from eidolon.benchmark.tasks.score_files.run import ANSWERS, FREE_FORM, AnswerRequest, AnswerRun, lines
from eidolon.scorers.core.errors import UserError, did_you_mean
from eidolon.scorers.core.input_files import decode_text, excerpt, read_bytes
from eidolon.scorers.core.scores import Family, Scores
from eidolon.scorers.core.signature import hashed, signature
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

Relations = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Annotation:
    """What is asked about an item, and what is true: yes or no, or the objects that are there or feared."""

    kind: str
    truth: bool = False
    objects: tuple[str, ...] = ()
    feared: tuple[str, ...] = ()


def prepare(
    request: AnswerRequest,
    annotations: Path,
    relations: Path,
    answers: Path,
    *,
    mode: str = "compat",
    matching: str = "lexicon",
    safe_words: Path | None = None,
    questions: Path | None = None,
) -> AnswerRun:
    """Read and check all inputs. `questions` names the image of each item, so that intervals can respect it;
    without it every item stands for itself."""
    check_mode(mode)
    if matching not in MATCHINGS:
        raise UserError(f"--matching {matching}: unknown matching{did_you_mean(matching, MATCHINGS)}")
    contents = {
        name: read_bytes(path)
        for name, path in (
            ("annotations", annotations),
            ("relations", relations),
            ("answers", answers),
            ("safe_words", safe_words),
            ("questions", questions),
        )
        if path is not None
    }
    related = _read_relations(contents["relations"], relations)
    known = _read_annotations(
        read_rows(contents["annotations"], annotations, "annotations"), related, relations
    )
    texts = _read_answers(read_rows(contents["answers"], answers, "answers"), known, annotations)
    image_of = _read_images(contents, questions)
    safe = _read_words(contents, safe_words)
    matcher: WordMatcher = (LexiconMatcher if matching == "lexicon" else VectorMatcher)(
        vocabulary_of(related)
    )
    metric = Amber(mode, related, matcher, safe)
    samples = [_sample(number, text, known[number], image_of, questions) for number, text in texts.items()]
    images = [sample.image_id for sample in samples]
    kinds = {known[number].kind for number in texts}

    def scores() -> Scores:
        statistics = metric.statistics(samples)
        values: dict[str, Any] = values_of(
            metric, statistics, images, seed=request.seed, resamples=request.resamples
        )
        return assemble(
            {"amber": Family(**values)},
            images,
            signature=signature(
                dataset=hashed(annotations.stem, contents["annotations"]),
                judge=f"amber(matching={matcher.signature()},safe_words={len(safe)})",
                policy=f"amber(mode={mode},intervals={'items' if questions is None else 'images'})",
                n=len(samples),
                resamples=request.resamples,
                seed=request.seed,
            ),
            counts={"amber": named_counts(metric.columns, column_sums(statistics))},
            over="items" if questions is None else "images",
            requested=sum(annotation.kind in kinds for annotation in known.values()),
            seed=request.seed,
            resamples=request.resamples,
        )

    closed = [sample for sample in samples if isinstance(sample, ClosedAnswer)]
    free = [sample for sample in samples if isinstance(sample, FreeAnswer)]
    return AnswerRun(
        path=request.out,
        config={
            "verb": "score",
            "metrics": ["amber"],
            **{name: hashlib.sha256(content).hexdigest() for name, content in contents.items()},
            "mode": mode,
            "matching": matcher.signature(),
            "seed": request.seed,
            "resamples": request.resamples,
        },
        sample_ids=[str(sample.item_id) for sample in samples],
        files={
            RESPONSES: lambda: lines(_response(sample) for sample in samples),
            **({ANSWERS: lambda: lines(_row(sample, metric) for sample in closed)} if closed else {}),
            **({FREE_FORM: lambda: lines(_free_row(sample, metric) for sample in free)} if free else {}),
        },
        scores=scores,
        main=f"mode={mode}",
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


def _read_answers(rows: Sequence[Row], known: Mapping[int, Annotation], path: Path) -> dict[int, str]:
    answers: dict[int, str] = {}
    for place, row in rows:
        number = item_id(row, place)
        if number not in known:
            raise UserError(f"{place}: id {number} is not in {path}")
        if number in answers:
            raise UserError(f"{place}: id {number} is answered already")
        answers[number] = text_field(row, "response", place)
    return answers


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
