"""The file that `eidolon annotate` writes: a header line with its provenance, then a line an image.

It is a file of objects like any other. Readers of objects skip the header and honour `unsure`.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field, JsonValue, TypeAdapter, ValidationError

from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.types import ImageId, Record

SCHEMA: Literal["eidolon/annotation/1"] = "eidolon/annotation/1"


class Cut(Record):
    """From a probability to present, absent or unsure."""

    rule: str
    """How `low` and `high` were chosen, in words."""
    high: float | None
    """Smallest probability of a present name. Null where the labelled part allows none."""
    low: float
    """A name below this probability is absent. From `low` to `high` it is unsure."""


class Platt(Record):
    """p = 1 / (1 + exp(-(slope · score + offset of the name))): a logistic regression on the labelled part."""

    slope: float
    offsets: dict[str, float]


class LabelledPart(Record):
    """The labelled part: images whose truth is known, and how well the annotator does on them."""

    file: str
    sha256: str
    images: int
    folds: int
    """Each labelled image is annotated with a calibration and a cut that are chosen on the other folds."""
    precision: float | None
    """The share of cells (image, name), of those that are present here, that is truly so. Null without such cells."""
    recall: float | None
    """The share of truly present cells that is present here; unsure ones are left out."""
    unsure: float
    """The share of cells that is unsure."""


class AnnotationHeader(Record):
    """The first line of the file: how its other lines were made."""

    model_config = ConfigDict(extra="forbid", serialize_by_alias=True)

    schema_: Literal["eidolon/annotation/1"] = Field(alias="schema")
    annotator: str
    """What `--with` names: `clip/NAME`."""
    names: tuple[str, ...]
    settings: dict[str, JsonValue]
    """The settings that decide the result."""
    identity: dict[str, JsonValue]
    """The checkpoint, its precision and device, and the versions of the programs."""
    key: str
    """Hash of all that decides the scores, as names and identity."""
    seed: int
    folder: str
    """The folder of the images, as seen from this file."""
    cut: Cut
    calibration: Platt | None = None
    labelled: LabelledPart | None = None
    images: int
    eidolon: str

    def truth(self) -> str:
        """Return the part `truth` of a score's signature: who says what is in the images."""
        checked = f"{self.labelled.images} labelled" if self.labelled else "unverified"
        return f"{self.annotator} ({checked})"


class AnnotatedImage(Record):
    """A line: what an annotator says of one image."""

    image_id: ImageId
    image: str
    """The file, inside the header's folder."""
    image_sha256: str
    objects: tuple[str, ...]
    """The names that are present."""
    unsure: tuple[str, ...] = ()
    """The names that are neither present nor absent."""
    labelled: tuple[str, ...] | None = None
    """The names that are truly present, where the image is in the labelled part."""
    probabilities: dict[str, float]
    scores: dict[str, float]
    """The annotator's own numbers, before calibration: log odds, or what is used as such."""
    areas: dict[str, float] = Field(default_factory=dict)
    """For present names with boxes, the share of the image that the largest box covers."""
    boxes: dict[str, tuple[tuple[float, float, float, float], ...]] = Field(default_factory=dict)
    """x0, y0, x1, y1 as shares of the image's sides."""
    counts: dict[str, int] = Field(default_factory=dict)
    found: dict[str, tuple[tuple[float, float, float, float, float], ...]] = Field(default_factory=dict)
    """All candidate boxes of each name with their scores, before the cut."""


def is_header(row: Mapping[str, Any]) -> bool:
    """Tell whether a record is the header of an annotation file."""
    return isinstance(found := row.get("schema"), str) and found.startswith("eidolon/annotation/")


def read_header(row: Mapping[str, Any], where: str) -> AnnotationHeader:
    """Return a checked header.

    Raises:
        UserError: it is not one of this version; the message begins with `where`.
    """
    try:
        return AnnotationHeader.model_validate_json(json.dumps(row))
    except ValidationError as error:
        problem = error.errors()[0]
        field = ".".join(map(str, problem["loc"]))
        raise UserError(
            f"{where}: is not the header of an annotation file of this version: {field}: {problem['msg']}"
        ) from error


def read_annotations(content: str, path: Path) -> tuple[AnnotationHeader, list[AnnotatedImage]]:
    """Return the header and the lines of a file that `eidolon annotate` wrote.

    Raises:
        UserError: it is no such file.
    """
    first, *rest = content.removesuffix("\n").split("\n")
    try:
        row = json.loads(first)
    except ValueError:
        row = None
    if not isinstance(row, dict) or not is_header(row):
        raise UserError(f"{path}: is not a file that eidolon annotate wrote")
    header = read_header(row, f"{path}:1")
    lines = []
    for number, line in enumerate(rest, 2):
        try:
            lines.append(AnnotatedImage.model_validate_json(line))
        except ValidationError as error:
            problem = error.errors()[0]
            field = ".".join(map(str, problem["loc"]))
            raise UserError(f"{path}:{number}: is no annotated image: {field}: {problem['msg']}") from error
    return header, lines


def read_boxes(value: object, where: str) -> dict[str, list[tuple[float, float, float, float]]]:
    """Return the checked `boxes` of a line.

    Raises:
        UserError: they are not lists of four numbers by name; the message begins with `where`.
    """
    try:
        return TypeAdapter(dict[str, list[tuple[float, float, float, float]]]).validate_python(value or {})
    except ValidationError as error:
        raise UserError(f"{where}: field 'boxes' must be {{name: [[x0, y0, x1, y1], …]}}") from error
