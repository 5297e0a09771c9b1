"""The responses of a file without their texts: ids in columns, and the truth of their images, in little memory."""

from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import overload

import numpy as np

from eidolon.benchmark.data.coco_format import Truth
from eidolon.benchmark.data.ground_truth import find_image
from eidolon.benchmark.data.truth_file import SOURCE, AnnotatedTruth, FileTruth
from eidolon.benchmark.store.batch_file import Key
from eidolon.benchmark.store.record import SampleRow
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import excerpt
from eidolon.scorers.core.judge import Evidence
from eidolon.scorers.core.metric import Sources
from eidolon.scorers.core.notes import InputNote, warning
from eidolon.scorers.core.response_lines import ResponseSource
from eidolon.scorers.core.types import ImageId
from eidolon.scorers.statistics.joint_bootstrap import IntArray


class Keys(Sequence[Key]):
    """(sample id, generation) of every response, made when they are asked for."""

    def __init__(self, sample_ids: Sequence[str], generations: Sequence[int]) -> None:
        self._sample_ids, self._generations = sample_ids, generations

    def __len__(self) -> int:
        return len(self._sample_ids)

    def __iter__(self) -> Iterator[Key]:
        return zip(self._sample_ids, self._generations, strict=True)

    @overload
    def __getitem__(self, index: int) -> Key: ...
    @overload
    def __getitem__(self, index: slice) -> list[Key]: ...
    def __getitem__(self, index: int | slice) -> Key | list[Key]:
        if isinstance(index, slice):
            return [*zip(self._sample_ids[index], self._generations[index], strict=True)]
        return self._sample_ids[index], self._generations[index]


@dataclass(slots=True)
class ResponseTable:
    """The responses of a file in order, column by column."""

    source: ResponseSource
    spot: Callable[[int], str]
    """The place of a response in the file, by its position: `line 3`."""
    sample_ids: list[str]
    image_ids: list[ImageId]
    """As the file has them."""
    generations: array  # type: ignore[type-arg]
    named: bytearray
    """Whether each response has a sample id; else it is that of the image."""
    prompt: str | None
    """What all responses answer, None where they do not say, or say different things."""
    has_references: bool
    """Whether any response brings reference captions."""

    def place(self, index: int) -> str:
        """Return the file and the place of a response in it, for messages."""
        spot = self.spot(index)
        path = self.source.path
        return f"{path}:{spot.removeprefix('line ')}" if spot.startswith("line ") else f"{path}: {spot}"

    def check_once(self, field_name: str = "sample_id") -> None:
        """Raise a UserError for the second response to a sample, unless it is another generation."""
        ids, generations = self.sample_ids, self.generations
        if len(set(ids)) == len(ids):
            return
        found: tuple[int, int] | None = None
        seen: dict[int, int] = {}
        before = None
        for i in sorted(range(len(ids)), key=ids.__getitem__):
            if ids[i] != before:
                before, seen = ids[i], {}
            first = seen.setdefault(generations[i], i)
            if first != i and (found is None or i < found[0]):
                found = i, first
        if found is not None:
            index, first = found
            hint = "" if self.named[index] else f"; several responses to one image need a {field_name!r} each"
            raise UserError(
                f"{self.place(index)}: sample id {excerpt(ids[index])} is already on {self.spot(first)}{hint}"
            )

    def cut(self, limit: int | None) -> None:
        """Keep the first responses alone."""
        if limit is not None:
            for column in (self.sample_ids, self.image_ids, self.generations, self.named):
                del column[limit:]


def read_table(source: ResponseSource, limit: int | None) -> ResponseTable:
    """Return the responses of a file, those after `limit` checked and left out.

    Raises:
        UserError: a response is invalid, or there are two to a sample, or none at all.
    """
    sample_ids: list[str] = []
    image_ids: list[ImageId] = []
    generations, numbers, named = array("Q"), array("Q"), bytearray()
    spots: list[str] = []
    prompts: set[str | None] = set()
    has_references = False
    for number, line in enumerate(source):
        response = line.response
        # One text for both ids where they are the same.
        same = isinstance(response.image_id, str) and response.image_id == response.sample_id
        sample_ids.append(str(response.image_id) if same else response.sample_id)
        image_ids.append(response.image_id)
        generations.append(response.generation)
        named.append(line.named)
        if line.spot.startswith("line "):
            numbers.append(int(line.spot[5:]))
        else:
            spots.append(line.spot)
        if (limit is None or number < limit) and len(prompts) < 2:
            prompts.add(response.prompt)
        has_references = has_references or bool(line.references)
    table = ResponseTable(
        source=source,
        spot=spots.__getitem__ if spots else lambda index: f"line {numbers[index]}",
        sample_ids=sample_ids,
        image_ids=image_ids,
        generations=generations,
        named=named,
        prompt=prompts.pop() if len(prompts) == 1 else None,
        has_references=has_references,
    )
    table.check_once(source.names["sample_id"])
    if not sample_ids:
        raise UserError(f"{source.path}: holds no responses")
    table.cut(limit)
    return table


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What is known of an image."""

    objects: frozenset[str]
    areas: Mapping[str, float]
    sources: Sources | None
    references: tuple[str, ...]
    unsure: frozenset[str] = frozenset()
    """Categories that the annotator of the truth left open."""
    unasked: frozenset[str] = frozenset()
    """Categories that it did not look for."""
    labelled: frozenset[str] | None = None
    """The true categories, where the image is in its labelled part."""

    @property
    def evidence(self) -> Evidence:
        """What a judge's verdicts follow from."""
        return Evidence(self.objects, self.references, self.unsure | self.unasked)


@dataclass
class TruthTable:
    """The truth of the images that were responded to, in the order of the responses."""

    image_ids: list[ImageId]
    images: IntArray
    """The position in `image_ids` of the image of each response."""
    objects: list[frozenset[str]]
    """The objects of each image; images share equal sets."""
    areas: dict[int, dict[str, float]] = field(default_factory=dict)
    """By the position of the image, where anything is known."""
    sources: dict[int, Sources] = field(default_factory=dict)
    references: dict[int, tuple[str, ...]] = field(default_factory=dict)
    unsure: dict[int, frozenset[str]] = field(default_factory=dict)
    labelled: dict[int, frozenset[str]] = field(default_factory=dict)
    unasked: frozenset[str] = frozenset()
    annotator: str | None = None
    """Who made the truth, for the signature; None where it is people's."""

    def of(self, image: int) -> ImageFacts:
        """Return what is known of an image, by its position."""
        return ImageFacts(
            self.objects[image],
            self.areas.get(image, {}),
            self.sources.get(image),
            self.references.get(image, ()),
            self.unsure.get(image, frozenset()),
            self.unasked,
            self.labelled.get(image),
        )

    def truth(self) -> Iterator[tuple[ImageId, frozenset[str]]]:
        """Yield each image with its objects."""
        return zip(self.image_ids, self.objects, strict=True)


@dataclass
class ScoredSamples:
    """The samples that were responded to."""

    responses: ResponseTable
    truth: TruthTable

    @cached_property
    def keys(self) -> Keys:
        """(sample id, generation) of every response."""
        return Keys(self.responses.sample_ids, self.responses.generations)

    @cached_property
    def first(self) -> Sequence[int]:
        """The position of the first response to each sample, in order."""
        ids = self.responses.sample_ids
        if len(set(ids)) == len(ids):
            return range(len(ids))
        found: dict[str, int] = {}
        for index, sample_id in enumerate(ids):
            found.setdefault(sample_id, index)
        return array("Q", found.values())

    @cached_property
    def sample_ids(self) -> Sequence[str]:
        """The ids of the samples, in order."""
        ids = self.responses.sample_ids
        return ids if len(self.first) == len(ids) else [ids[i] for i in self.first]

    def rows(self) -> Iterator[SampleRow]:
        """Yield the samples with their truth."""
        return (self.row(index) for index in self.first)

    def row(self, index: int) -> SampleRow:
        """Return the sample of a response, by its position."""
        image = int(self.truth.images[index])
        known = self.truth.of(image)
        source = known.sources
        return SampleRow(
            sample_id=self.responses.sample_ids[index],
            image_id=self.truth.image_ids[image],
            objects=tuple(sorted(known.objects)),
            references=known.references,
            areas=dict(known.areas),
            annotated=source and tuple(sorted(source.annotated)),
            captioned=source and tuple(sorted(source.captioned)),
            unsure=tuple(sorted(known.unsure)),
            unasked=tuple(sorted(known.unasked)),
            labelled=None if known.labelled is None else tuple(sorted(known.labelled)),
        )

    def check_images(self) -> None:
        """Raise a UserError for the second response to a sample where it is to another image."""
        if len(self.first) == len(self.keys):
            return
        image_of: dict[str, int] = {}
        for index, sample_id in enumerate(self.responses.sample_ids):
            image = int(self.truth.images[index])
            if image_of.setdefault(sample_id, image) != image:
                place = self.responses.place(index)
                raise UserError(f"{place}: sample id {sample_id!r} named another image before")


def join_truth(
    table: ResponseTable, known: FileTruth, objects: Path, vocabulary: Sequence[str] = ()
) -> tuple[TruthTable, list[InputNote]]:
    """Return the truth of the images that were responded to, and notes.

    The image ids of the responses, and sample ids that were taken from them, become those of the truth. `vocabulary`
    is that of the judge: what an annotator did not look for is unknown.

    Raises:
        UserError: an image has no truth, or its id may mean several.
    """
    ids = known.ids(objects)
    truth: Truth = known.objects
    position: dict[ImageId, int] = {}
    images = np.zeros(len(table.image_ids), dtype=np.int32)
    missing: int | None = None
    for index, given in enumerate(table.image_ids):
        found = given if given in truth else ids.find(given, table.place(index))
        if found is None:
            missing = index if missing is None else missing
            continue
        if found != given and not table.named[index]:
            table.sample_ids[index] = str(found)
        images[index] = position.setdefault(found, len(position))
    table.check_once()
    if missing is not None:
        find_image(ids, table.image_ids[missing], table.place(missing), objects)
    image_ids = [*position]
    table.image_ids = []  # those of the truth take their place
    joined = TruthTable(
        image_ids,
        images,
        [truth[image_id] for image_id in image_ids],
        {i: known.areas[image_id] for i, image_id in enumerate(image_ids) if known.areas.get(image_id)},
    )
    if known.annotated is not None:
        _add_annotator(joined, known.annotated, vocabulary)
    notes = ids.notes("responses", len(image_ids))
    if not any(joined.objects):
        notes.append(warning(SOURCE, "no objects", images=len(image_ids)))
    return joined, notes


def _add_annotator(joined: TruthTable, known: AnnotatedTruth, vocabulary: Sequence[str]) -> None:
    """Add what the annotator of the truth left open, and its labelled part."""
    joined.annotator = known.header.truth()
    joined.unasked = frozenset(vocabulary) - known.names
    for i, image_id in enumerate(joined.image_ids):
        if unsure := known.unsure.get(image_id):
            joined.unsure[i] = unsure
        if (labelled := known.labelled.get(image_id)) is not None:
            joined.labelled[i] = labelled
