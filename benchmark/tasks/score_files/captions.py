"""Reference captions of the images that were responded to, and the objects that they add to the truth."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from eidolon.benchmark.data.coco_format import read_captions
from eidolon.benchmark.data.ground_truth import objects_in, sources_of
from eidolon.benchmark.tasks.plugins import matches_references
from eidolon.benchmark.tasks.score_files.response_table import ResponseTable, TruthTable
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.image_ids import ImageIds
from eidolon.scorers.core.input_files import excerpt
from eidolon.scorers.core.judge import Judge
from eidolon.scorers.core.metric import Sources
from eidolon.scorers.core.notes import InputNote, assumed, warning
from eidolon.scorers.core.types import ImageId
from eidolon.scorers.judges.matching import join

AT_ONCE = 10_000
"""Captions that are read at once."""


def join_captions(
    table: ResponseTable,
    truth: TruthTable,
    path: Path | None,
    ids: ImageIds,
    judge: Judge,
    needing: str | None,
) -> list[InputNote]:
    """Add the objects of reference captions to the truth, and return notes.

    Captions come from a file and from the responses. Their texts are kept only for a judge that reads them itself.
    `ids` are those of the truth, and `needing` is what cannot do without captions, for the message.

    Raises:
        UserError: the file knows none of the images, or one lacks captions that `needing` needs.
    """
    if path is None and not table.has_references:
        if needing:
            _check_all(table, truth, bytearray(len(truth.image_ids)), needing)
        return []
    position = {image_id: i for i, image_id in enumerate(truth.image_ids)}
    captioned = bytearray(len(truth.image_ids))
    named: dict[int, frozenset[str]] = {}
    texts: dict[int, dict[str, None]] = {}
    keeps = matches_references(judge)
    notes: list[InputNote] = []
    for captions in _in_parts(_captions(table, truth, path, ids, position, captioned, notes)):
        for image_id, found in captions.items():
            captioned[position[image_id]] = 1
            if keeps:
                texts.setdefault(position[image_id], {}).update(dict.fromkeys(found))
        for image_id, objects in objects_in(captions, judge).items():
            image = position[image_id]
            named[image] = named.get(image, frozenset()) | objects
    bare = captioned.find(0)
    if any(captioned) and bare >= 0:
        source = "responses" if path is None else "captions"
        count = len(captioned) - sum(captioned)
        notes.append(warning(source, "captions", count=count, of=len(captioned), first=truth.image_ids[bare]))
    if needing:
        _check_all(table, truth, captioned, needing)
    truth.references = {image: (*found,) for image, found in sorted(texts.items())}
    _join(truth, named, judge)
    return notes


def _join(truth: TruthTable, named: Mapping[int, frozenset[str]], judge: Judge) -> None:
    """Add the named objects to those of each image. Equal sets and sources are shared."""
    sets = {objects: objects for objects in truth.objects}
    sources: dict[Sources, Sources] = {}
    for image, objects in sorted(named.items()):
        source = sources_of(judge, truth.objects[image], objects)
        if source is not None:
            truth.sources[image] = sources.setdefault(source, source)
        joined = join(judge, truth.objects[image], objects)
        truth.objects[image] = sets.setdefault(joined, joined)


def _captions(
    table: ResponseTable,
    truth: TruthTable,
    path: Path | None,
    ids: ImageIds,
    position: Mapping[ImageId, int],
    captioned: bytearray,
    notes: list[InputNote],
) -> Iterator[tuple[ImageId, str]]:
    """Yield each caption with its image, first those of the file, then those of the responses."""
    if path is not None:
        file = read_captions(path)
        found = ((given, ids.find(given, str(path))) for given in file.texts)
        matched = {given: image_id for given, image_id in found if image_id is not None}
        matched = {given: image_id for given, image_id in matched.items() if image_id in position}
        for given, image_id in matched.items():
            yield from ((image_id, text) for text in file.texts[given])
        notes += file.notes
        other = [[given, image_id] for given, image_id in matched.items() if image_id != given]
        if other:
            notes.append(assumed("captions", "ids", count=len(other), of=len(position), example=[*other[0]]))
        if not any(file.texts[given] for given in matched):
            raise UserError(
                f"{table.place(0)}: image {excerpt(truth.image_ids[0])} is not in {path}; nor is any other image that "
                "was responded to"
            )
    if table.has_references:
        for image, line in zip(truth.images.tolist(), table.source, strict=False):  # a limit leaves lines out
            yield from ((truth.image_ids[image], text) for text in line.references)


def _in_parts(captions: Iterable[tuple[ImageId, str]]) -> Iterator[dict[ImageId, list[str]]]:
    part: dict[ImageId, list[str]] = {}
    count = 0
    for image_id, text in captions:
        part.setdefault(image_id, []).append(text)
        count += 1
        if count == AT_ONCE:
            yield part
            part, count = {}, 0
    yield part


def _check_all(table: ResponseTable, truth: TruthTable, captioned: bytearray, needing: str) -> None:
    """Raise a UserError for the first response to an image without the captions that `needing` needs."""
    for index, image in enumerate(truth.images.tolist()):
        if not captioned[image]:
            raise UserError(
                f"{table.place(index)}: image {excerpt(truth.image_ids[image])} has no reference captions; {needing} "
                "needs them: give --captions or 'references' in the line"
            )
