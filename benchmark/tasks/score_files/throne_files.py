"""THRONE's files read: the instances of the images, and the answers of each judge."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eidolon.benchmark.data.coco_format import read_instances
from eidolon.benchmark.data.json_rows import read_json_object
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.image_ids import ImageIds
from eidolon.scorers.core.input_files import excerpt
from eidolon.scorers.core.notes import InputNote
from eidolon.scorers.core.types import ImageId
from eidolon.scorers.judges.votes import is_yes


@dataclass(frozen=True, slots=True, eq=False)
class Annotated:
    """Images with their true categories, from a COCO file."""

    categories: tuple[str, ...]
    """In the order of their ids, which is that of the answers."""
    truth: dict[str, NDArray[np.bool_]]
    """By the image id as a string, as the answers name it; shape (categories,)."""
    image_ids: dict[str, ImageId]
    ids: ImageIds
    """To find images that the answers name otherwise."""
    notes: tuple[InputNote, ...] = ()
    """What is odd in the annotations."""

    def names(self, truth: NDArray[np.bool_]) -> list[str]:
        """Return the names of the true categories, from a row of `truth`."""
        return [self.categories[i] for i in np.flatnonzero(truth)]


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


def read_annotated(document: dict[str, Any], path: Path) -> Annotated:
    found = read_instances(document, path, "annotations")
    names = found.categories
    if not names:
        raise UserError(f"{path}: holds no categories")
    for number, name in names.items():
        if other := next((n for n, also in names.items() if also == name and n != number), None):
            raise UserError(
                f"{path}: category {excerpt(name)} is there twice, with the ids {other} and {number}"
            )
    ordered = [names[number] for number in sorted(names)]
    truth: dict[str, NDArray[np.bool_]] = {}
    image_ids: dict[str, ImageId] = {}
    for image_id, objects in found.objects.items():
        if image_ids.setdefault(str(image_id), image_id) != image_id:
            raise UserError(f"{path}: image {excerpt(image_id)} is there as a number and as a string")
        truth[str(image_id)] = np.array([name in objects for name in ordered], dtype=bool)
    ids = ImageIds(found.objects, path, found.files)
    return Annotated(tuple(ordered), truth, image_ids, ids, found.notes)


def read_votes(
    paths: Sequence[Path], contents: Sequence[bytes], annotated: Annotated, annotations: Path
) -> Votes:
    """Read the answers of all judges; they must answer on the same images with the same formats."""
    if len({path.resolve() for path in paths}) != len(paths):
        raise UserError(f"--answers {' '.join(map(str, paths))}: names a file twice")
    known: dict[str, bool] = {}
    tables = []
    for path, content in zip(paths, contents, strict=True):
        given = read_json_object(content, path)
        if not given:
            raise UserError(f"{path}: holds no answers")
        table: dict[str, Any] = {}
        for name, answers in given.items():
            place = f"{path}: {excerpt(name)}"
            image_id = annotated.ids.find(name, place)
            known_name = name if image_id is None else str(image_id)
            if known_name in table:
                raise UserError(f"{place}: image {known_name!r} has answers under another name too")
            table[known_name] = answers
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


def _judge_names(paths: Sequence[Path]) -> tuple[str, ...]:
    stems = tuple(path.stem for path in paths)
    return (
        stems if len(set(stems)) == len(stems) else tuple(f"{stem}.{i + 1}" for i, stem in enumerate(stems))
    )
