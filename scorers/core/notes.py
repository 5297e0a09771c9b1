"""What was assumed about an input file, and what is odd in it: data for the run's record, and one line for people."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

from pydantic import Field, JsonValue

from eidolon.scorers.core.types import Record

SHOWN = 6
"""Names that a line lists; the record has all."""


class InputNote(Record):
    """One assumption or warning about an input."""

    kind: Literal["assumed", "warning"]
    source: str
    """The setting that names the file: `responses`, `objects`, …"""
    what: str
    """Which note it is; a key of `TEXTS`."""
    detail: dict[str, JsonValue] = Field(default_factory=dict)

    def text(self) -> str:
        """Return the note as one line."""
        return f"--{self.source.replace('_', '-')}: {TEXTS[self.what](self.detail)}"


def assumed(source: str, what: str, **detail: JsonValue) -> InputNote:
    """Return a note about what was assumed."""
    return InputNote(kind="assumed", source=source, what=what, detail=detail)


def warning(source: str, what: str, **detail: JsonValue) -> InputNote:
    """Return a note about what may make the scores wrong."""
    return InputNote(kind="warning", source=source, what=what, detail=detail)


def _format(detail: Mapping[str, Any]) -> str:
    key = detail.get("key")
    return f"read as {detail['format']}" + (f", the list {key!r}" if key else "")


def _field(detail: Mapping[str, Any]) -> str:
    return f"the field {detail['name']!r} is read as {detail['field']!r}"


def _ids(detail: Mapping[str, Any]) -> str:
    given, found = detail["example"]
    return f"{detail['count']} of {detail['of']} ids are matched by number or file name, as {given!r} with {found!r}"


def _names(detail: Mapping[str, Any]) -> str:
    names = [f"{given!r} as {found!r}" for given, found in detail["names"].items()]
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"names are read as categories of the judge: {', '.join(names[:SHOWN])}{more}"


def _not_compared(detail: Mapping[str, Any]) -> str:
    return f"the field {detail['name']!r} is the same for all answers and is not compared with the questions"


def _no_objects(detail: Mapping[str, Any]) -> str:
    return (
        f"no annotation at all: none of the {detail['images']} images has an object; is this the file of a test split? "
        "Every object that a response names counts as hallucinated"
    )


def _orphans(detail: Mapping[str, Any]) -> str:
    return (
        f"{detail['count']} annotations are of images that are not in its 'images', the first of image "
        f"{detail['first']!r}"
    )


def _captions(detail: Mapping[str, Any]) -> str:
    return (
        f"{detail['count']} of {detail['of']} images have no reference caption, the first is {detail['first']!r}: "
        "their truth is the annotations alone, that of the others has the objects of the captions too"
    )


def _labels(detail: Mapping[str, Any]) -> str:
    return (
        f"{detail['count']} of {detail['of']} answers carry another label ({detail['name']!r}) than their question, "
        f"the first at {detail['first']}; are these the questions that were asked?"
    )


def _questions(detail: Mapping[str, Any]) -> str:
    return f"holds {detail['count']} questions; the benchmark has {detail['of']}"


TEXTS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "format": _format,
    "field": _field,
    "ids": _ids,
    "names": _names,
    "not compared": _not_compared,
    "no objects": _no_objects,
    "orphans": _orphans,
    "captions": _captions,
    "labels": _labels,
    "questions": _questions,
}
