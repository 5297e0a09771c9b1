"""THRONE from files: one of answers a judge, and the instances of the images."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eidolon.benchmark.data.coco_format import coco_records, read_coco
from eidolon.benchmark.data.json_rows import read_json_object
from eidolon.benchmark.store.files import JUDGEMENTS, SAMPLES
from eidolon.benchmark.store.record import SampleRow
from eidolon.benchmark.tasks.score_files.run import AnswerRequest, AnswerRun, lines
from eidolon.scorers.core.calibration import Calibration
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import excerpt, read_bytes, read_image_id
from eidolon.scorers.core.response_lines import read_responses
from eidolon.scorers.core.scores import Family, Scores, Variant
from eidolon.scorers.core.signature import hashed, signature
from eidolon.scorers.core.types import ImageId, Judgement, Mention, Response, Verdict
from eidolon.scorers.judges.agreement import by_position, calibrate, first_parts
from eidolon.scorers.judges.lexicon import LexiconJudge
from eidolon.scorers.judges.votes import VotedCells, check_threshold, is_yes
from eidolon.scorers.metrics.scoring import assemble, category_values, values_of
from eidolon.scorers.metrics.throne import Throne, VotedImage, cell_counts, check_mode


@dataclass(frozen=True, slots=True, eq=False)
class Annotated:
    """Images with their true categories, from a COCO file."""

    categories: tuple[str, ...]
    """In the order of their ids, which is that of the answers."""
    truth: dict[str, NDArray[np.bool_]]
    """By the image id as a string, as the answers name it; shape (categories,)."""
    image_ids: dict[str, ImageId]


@dataclass(frozen=True, slots=True, eq=False)
class Votes:
    """What the judges say on every cell."""

    judges: tuple[str, ...]
    formats: int
    images: tuple[str, ...]
    yes: NDArray[np.bool_]
    """Shape (judges, formats, images, categories)."""

    @property
    def voters(self) -> int:
        """Votes on each cell."""
        return len(self.judges) * self.formats


def prepare(
    request: AnswerRequest,
    answers: Sequence[Path],
    annotations: Path,
    *,
    mode: str = "compat",
    thresholds: Sequence[int] = (),
    responses: Path | None = None,
    fields: Mapping[str, str] | None = None,
) -> AnswerRun:
    """Read and check all inputs. The first threshold is the main one; without any, all must agree.

    With the `responses` that the answers are about, agreement is also told by position in them.
    """
    check_mode(mode)
    content, document = read_coco(annotations)
    annotated = _read_annotated(document, annotations)
    contents = [read_bytes(path) for path in answers]
    votes = _read_votes(answers, contents, annotated, annotations)
    wanted = [check_threshold(k, votes.voters) for k in thresholds or (votes.voters,)]
    if len(set(wanted)) != len(wanted):
        raise UserError(f"--threshold {','.join(map(str, wanted))}: names a threshold twice")
    images = tuple(annotated.image_ids[name] for name in votes.images)
    said = None if responses is None else _read_said(responses, fields or {}, images, annotated.categories)
    counts = votes.yes.sum(axis=(0, 1))
    samples = [
        VotedImage(image_id, counts[i], annotated.truth[name])
        for i, (name, image_id) in enumerate(zip(votes.images, images, strict=True))
    ]
    metrics = [Throne(mode, k, votes.voters, len(annotated.categories)) for k in wanted]
    decided = {metric.threshold: metric.cells(samples) for metric in metrics}
    line = signature(
        dataset=hashed(annotations.stem, content),
        judge=f"votes(judges={'+'.join(votes.judges)},formats={votes.formats})",
        policy=f"throne(mode={mode},threshold={wanted[0]}of{votes.voters})",
        n=len(images),
        resamples=request.resamples,
        seed=request.seed,
    )

    def family(metric: Throne) -> Family:
        values: dict[str, Any] = values_of(
            metric, metric.statistics(samples), images, seed=request.seed, resamples=request.resamples
        )
        per_category = category_values(
            metric.by_category(),
            metric.category_statistics(samples),
            images,
            annotated.categories,
            seed=request.seed,
            resamples=request.resamples,
        )
        return Family(per_category=per_category if metric is metrics[0] else None, **values)

    def scores() -> Scores:
        main = decided[wanted[0]]
        return assemble(
            {"throne": family(metrics[0])},
            images,
            signature=line,
            counts={"throne": cell_counts(main)},
            calibration=_calibration(votes, main, wanted[0], said, annotated.categories),
            variants=[
                Variant(
                    label=f"threshold={metric.threshold}",
                    settings={"threshold": metric.threshold, "mode": mode},
                    metrics={"throne": family(metric)},
                )
                for metric in metrics[1:]
            ],
            seed=request.seed,
            resamples=request.resamples,
        )

    def sample_lines() -> str:
        return lines(
            SampleRow(
                sample_id=name,
                image_id=image_id,
                objects=tuple(sorted(_names(annotated, annotated.truth[name]))),
            )
            for name, image_id in zip(votes.images, images, strict=True)
        )

    return AnswerRun(
        path=request.out,
        config={
            "verb": "score",
            "metrics": ["throne"],
            "answers": {name: _digest(data) for name, data in zip(votes.judges, contents, strict=True)},
            "annotations": _digest(content),
            **({} if responses is None else {"responses": _digest(read_bytes(responses))}),
            "thresholds": wanted,
            "mode": mode,
            "seed": request.seed,
            "resamples": request.resamples,
        },
        sample_ids=votes.images,
        files={SAMPLES: sample_lines, JUDGEMENTS: _judgements(votes, images, annotated, decided[wanted[0]])},
        scores=scores,
        main=f"threshold={wanted[0]}",
    )


def _read_annotated(document: dict[str, Any], path: Path) -> Annotated:
    names: dict[int, str] = {}
    for place, category in coco_records(document, "categories", path):
        number, name = category.get("id"), category.get("name")
        if isinstance(number, bool) or not isinstance(number, int) or not isinstance(name, str):
            raise UserError(
                f"{place}: needs a whole number 'id' and a string 'name', found {excerpt(category)}"
            )
        if number in names or name in names.values():
            raise UserError(f"{place}: category {excerpt(name)} (id {number}) is there twice")
        names[number] = name
    if not names:
        raise UserError(f"{path}: holds no categories")
    position = {number: i for i, number in enumerate(sorted(names))}
    truth: dict[str, NDArray[np.bool_]] = {}
    image_ids: dict[str, ImageId] = {}

    def add(value: object, place: str) -> NDArray[np.bool_]:
        image_id = read_image_id(value, place)
        if image_ids.setdefault(str(image_id), image_id) != image_id:
            raise UserError(f"{place}: image {excerpt(image_id)} is there as a number and as a string")
        return truth.setdefault(str(image_id), np.zeros(len(position), dtype=bool))

    for place, image in coco_records(document, "images", path):
        add(image.get("id"), place)
    for place, annotation in coco_records(document, "annotations", path):
        number = annotation.get("category_id")
        if not isinstance(number, int) or number not in position:
            raise UserError(f"{place}: 'category_id' {excerpt(number)} is not among the categories")
        add(annotation.get("image_id"), place)[position[number]] = True
    return Annotated(tuple(names[number] for number in sorted(names)), truth, image_ids)


def _read_votes(
    paths: Sequence[Path], contents: Sequence[bytes], annotated: Annotated, annotations: Path
) -> Votes:
    """Read the answers of all judges; they must answer on the same images with the same formats."""
    if len({path.resolve() for path in paths}) != len(paths):
        raise UserError(f"--answers {' '.join(map(str, paths))}: names a file twice")
    known: dict[str, bool] = {}
    tables = []
    for path, content in zip(paths, contents, strict=True):
        table = read_json_object(content, path)
        if not table:
            raise UserError(f"{path}: holds no answers")
        for name, answers in table.items():
            _check_answers(name, answers, path, annotated, annotations)
        tables.append(table)
    first, images = tables[0], tuple(tables[0])
    length = len(first[images[0]])
    votes = []
    for path, table in zip(paths, tables, strict=True):
        if difference := sorted(set(first) ^ set(table)):
            here, there = (path, paths[0]) if difference[0] in first else (paths[0], path)
            raise UserError(f"{here}: has no answers for image {difference[0]!r}, which {there} has")
        for name in images:
            if len(table[name]) != length:
                raise UserError(
                    f"{path}: image {name!r} has {len(table[name])} answers where image {images[0]!r} of "
                    f"{paths[0]} has {length}; every judge is asked the same questions"
                )
        flat = [_vote(answer, known) for name in images for answer in table[name]]
        shape = (len(images), length // len(annotated.categories), len(annotated.categories))
        votes.append(np.array(flat, dtype=bool).reshape(shape).transpose(1, 0, 2))
    return Votes(_judge_names(paths), votes[0].shape[0], images, np.stack(votes))


def _check_answers(name: str, answers: object, path: Path, annotated: Annotated, annotations: Path) -> None:
    categories = len(annotated.categories)
    if name not in annotated.truth:
        raise UserError(f"{path}: image {excerpt(name)} is not in {annotations}")
    if not isinstance(answers, list):
        raise UserError(f"{path}: image {name!r}: expected a list of answers, found {excerpt(answers)}")
    if not answers or len(answers) % categories:
        raise UserError(
            f"{path}: image {name!r} has {len(answers)} answers, which is no multiple of the {categories} "
            f"categories of {annotations}"
        )
    for index, answer in enumerate(answers):
        if not isinstance(answer, str):
            raise UserError(
                f"{path}: image {name!r}: answer {index} must be a string, found {excerpt(answer)}"
            )


def _vote(answer: str, known: dict[str, bool]) -> bool:
    found = known.get(answer)
    if found is None:
        found = known[answer] = is_yes(answer)
    return found


@dataclass(frozen=True, slots=True)
class Said:
    """What the answers are about, and who says where in it a category is named."""

    responses: Sequence[Response]
    """In the order of the images."""
    reader: LexiconJudge


def _read_said(
    path: Path, fields: Mapping[str, str], images: Sequence[ImageId], categories: tuple[str, ...]
) -> Said:
    """Read one response an image; the categories must be the lexicon's, which is to find them."""
    reader = LexiconJudge()
    for name in categories:
        if name not in reader.vocabulary:
            raise UserError(
                f"--responses {path}: the lexicon {reader.lexicon.name} does not know the category {name!r}, so "
                "agreement cannot be told by position; leave --responses out"
            )
    found: dict[ImageId, Response] = {}
    for line in read_responses(read_bytes(path), path, fields):
        if found.setdefault(line.response.image_id, line.response) is not line.response:
            raise UserError(
                f"{path}:{line.line}: image {excerpt(line.response.image_id)} has a response before; answers are "
                "about one an image"
            )
    for image_id in images:
        if image_id not in found:
            raise UserError(f"--responses {path}: has no response to image {excerpt(image_id)}")
    return Said([found[image_id] for image_id in images], reader)


def _calibration(
    votes: Votes, cells: VotedCells, threshold: int, said: Said | None, categories: tuple[str, ...]
) -> Calibration:
    found = calibrate(votes.yes, votes.judges, cells.ignored, threshold)
    if said is None:
        return found
    parts = first_parts(said.responses, said.reader, categories)
    positions = by_position(votes.yes, votes.judges, cells.ignored, parts, said.reader.signature())
    return found.model_copy(update={"by_position": positions})


def _judge_names(paths: Sequence[Path]) -> tuple[str, ...]:
    stems = tuple(path.stem for path in paths)
    return (
        stems if len(set(stems)) == len(stems) else tuple(f"{stem}.{i + 1}" for i, stem in enumerate(stems))
    )


def _judgements(
    votes: Votes, images: Sequence[ImageId], annotated: Annotated, cells: VotedCells
) -> Callable[[], str]:
    """Return the text of `judgements.jsonl`: the categories that are present or ignored, with the votes.

    A judge that is asked about the whole response says nothing about where; the span is empty.
    """

    def mention(image: int, category: int) -> Mention:
        verdict: Verdict = "ignored"
        if not cells.ignored[image, category]:
            verdict = "grounded" if cells.truth[image, category] else "hallucinated"
        return Mention(
            category=annotated.categories[category],
            text="",
            start=0,
            end=0,
            word=0,
            verdict=verdict,
            votes={
                f"{judge}/{m + 1}": int(votes.yes[j, m, image, category])
                for j, judge in enumerate(votes.judges)
                for m in range(votes.formats)
            },
        )

    def text() -> str:
        return lines(
            Judgement(
                sample_id=votes.images[i],
                image_id=image_id,
                mentions=tuple(
                    mention(i, int(c)) for c in np.flatnonzero(cells.predicted[i] | cells.ignored[i])
                ),
            )
            for i, image_id in enumerate(images)
        )

    return text


def _names(annotated: Annotated, truth: NDArray[np.bool_]) -> list[str]:
    return [annotated.categories[i] for i in np.flatnonzero(truth)]


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
