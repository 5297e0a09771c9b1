"""Ground truth: read from files of objects, and joined with the objects that reference captions name."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from eidolon.benchmark.data.categories import judged_objects
from eidolon.benchmark.data.coco_format import Areas, Truth, read_box_areas, read_document, read_instances
from eidolon.benchmark.data.samples import Sample
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import decode_text, excerpt, iterate_objects, read_bytes, read_image_id
from eidolon.scorers.core.judge import Judge, OpenJudge, VotingJudge
from eidolon.scorers.core.metric import Sources
from eidolon.scorers.core.types import ImageId, Response
from eidolon.scorers.judges.matching import join

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class FileTruth:
    """The content of a file of objects."""

    objects: Truth
    areas: Areas = field(default_factory=dict)


def read_truth(path: Path, judge: Judge) -> FileTruth:
    """Return the objects that the judge reports, by image, from lines of objects or a COCO instances JSON.

    The content of the file decides which of the two it is.

    Raises:
        UserError: the file cannot be read, an object is no category of the judge, an image has two different lists of
            objects or areas, or an area is not from 0 to 1.
    """
    text = decode_text(read_bytes(path), path)
    document = read_document(text, path)
    if document is not None:
        truth = read_instances(document, path, judge)
        return FileTruth(truth, _judged_areas(truth, read_box_areas(document, path)))
    truth = {}
    areas: Areas = {}
    lines: dict[ImageId, int] = {}
    for number, row in iterate_objects(text, path):
        where = f"{path}:{number}"
        for name in ("image_id", "objects"):
            if name not in row:
                raise UserError(f"{where}: field {name!r} is missing; found {excerpt(list(row))}")
        image_id = read_image_id(row["image_id"], where)
        objects = row["objects"]
        if not isinstance(objects, list) or not all(isinstance(name, str) for name in objects):
            raise UserError(f"{where}: field 'objects' must be a list of strings, found {excerpt(objects)}")
        found = frozenset(judged_objects(objects, judge, where))
        sizes = read_areas(row.get("areas"), objects, where)
        if truth.setdefault(image_id, found) != found:
            raise UserError(f"{where}: image {excerpt(image_id)} has other objects on line {lines[image_id]}")
        if areas.setdefault(image_id, sizes) != sizes:
            raise UserError(f"{where}: image {excerpt(image_id)} has other areas on line {lines[image_id]}")
        lines.setdefault(image_id, number)
    if not truth:
        raise UserError(f"{path}: holds no images")
    return FileTruth(truth, _judged_areas(truth, areas))


def read_areas(value: object, objects: Sequence[str], where: str) -> dict[str, float]:
    """Return the checked `areas` of a line of objects: {category: share of the image}.

    Null is an empty dict. Raises UserError, with `where`, for anything else that is wrong.
    """
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise UserError(
            f"{where}: field 'areas' must be {{category: share of the image}}, found {excerpt(value)}"
        )
    for name, share in value.items():
        if name not in objects:
            raise UserError(f"{where}: field 'areas': {name!r} is not among the objects")
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
            raise UserError(f"{where}: field 'areas': {name!r} must be from 0 to 1, found {excerpt(share)}")
    return {name: float(share) for name, share in value.items()}


def _judged_areas(truth: Truth, areas: Areas) -> Areas:
    """Return the areas of the objects that the judge reports."""
    return {
        image_id: {name: share for name, share in found.items() if name in truth[image_id]}
        for image_id, found in areas.items()
    }


def objects_in(captions: Mapping[ImageId, Iterable[str]], judge: Judge) -> Truth:
    """Return the categories that the judge finds in the captions of each image; none in one that it cannot judge.

    Captions are short and many, so a judge with several votes reads them with its lexicon. A judge with an open
    vocabulary uses its reader for captions; without one the result is empty.
    """
    reader: Judge | None = judge
    if isinstance(judge, VotingJudge):
        reader = judge.reader() or judge
    elif isinstance(judge, OpenJudge):
        reader = judge.reader
    if reader is None:
        return {}
    texts = [(image_id, caption) for image_id, found in captions.items() for caption in found]
    responses = (
        Response(sample_id=str(index), image_id=image_id, response=caption)
        for index, (image_id, caption) in enumerate(texts)
    )
    named: dict[ImageId, set[str]] = {image_id: set() for image_id in captions}
    for (image_id, _), judgement in zip(texts, reader.judge(responses), strict=True):
        named[image_id].update(mention.category for mention in judgement.mentions)
    return {image_id: frozenset(names) for image_id, names in named.items()}


def sources_of(judge: Judge, objects: Collection[str], named: Collection[str]) -> Sources | None:
    """Return the sources of an image's ground truth: its annotated objects, and those that its captions name.

    None for a judge with an open vocabulary, where a noun may be another name for an annotated object.
    """
    return None if isinstance(judge, OpenJudge) else Sources(frozenset(objects), frozenset(named))


def join_references(samples: Sequence[Sample], judge: Judge) -> tuple[Sample, ...]:
    """Return the samples with the objects that the judge finds in their references added to the ground truth.

    This is the ground truth of CHAIR (Rohrbach et al. 2018). Samples without references stay unchanged.
    """
    captions: dict[ImageId, tuple[str, ...]] = {s.sample_id: s.references for s in samples if s.references}
    named = objects_in(captions, judge) if captions else {}
    return tuple(
        replace(
            sample,
            objects=tuple(sorted(join(judge, sample.objects, named[sample.sample_id]))),
            sources=sources_of(judge, sample.objects, named[sample.sample_id]),
        )
        if sample.sample_id in named
        else sample
        for sample in samples
    )


def find_truth(
    truth: Mapping[ImageId, T],
    image_id: ImageId,
    where: str,
    path: Path,
    fix: str = "a response needs the objects of its image",
) -> T:
    """Return the entry of an image. Raises UserError, with `where` and `fix`, if the file does not have it."""
    if image_id in truth:
        return truth[image_id]
    other: Callable[[Any], ImageId] = str if isinstance(image_id, int) else int
    try:
        if other(image_id) in truth:
            fix = "it is there as a string" if isinstance(image_id, int) else "it is there as a number"
    except ValueError:
        pass
    raise UserError(f"{where}: image {excerpt(image_id)} is not in {path}; {fix}")
