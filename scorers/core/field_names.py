"""The fields of other programs' files: under which well-known names a response, an image or a truth may stand."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.notes import InputNote, assumed
from eidolon.scorers.core.record_stream import StreamedRecords
from eidolon.scorers.core.records import Format, Placed, Records, name_of

RESPONSE = (
    "response",
    "caption",
    "text",
    "answer",
    "output",
    "prediction",
    "pred",
    "generated_text",
    "generated_caption",
    "generated_response",
    "model_output",
    "model_response",
    "model_answer",
    "model_prediction",
    "description",
    "completion",
    "filtered_resps",
    "resps",
    "outputs",
)
"""POPE's and AMBER's programs, CHAIR, LLaVA, VLMEvalKit, lmms-eval, transformers' pipelines and others."""
IMAGE = (
    "image_id",
    "image",
    "file_name",
    "filename",
    "image_file",
    "image_name",
    "image_path",
    "img",
    "img_id",
    "img_name",
    "imageid",
    "imgid",
    "cocoid",
    "coco_id",
    "image_source",
    "coco_url",
)
ID = ("id",)
"""Taken where nothing else names the image."""
QUESTION_ID = ("question_id", "questionid", "qid", "id", "index")
OBJECTS = ("objects", "labels", "categories", "classes", "truth")
LABEL = ("label", "labelname", "category", "category_name", "class", "class_name")
"""One category a record, as in the tables of Open Images."""
REFERENCES = ("references", "captions", "caption", "raw", "text")

_PREFERRED = (("filtered_resps", "resps"),)
"""(better, worse): the second is not looked at beside the first."""
_LONGEST_ID = 1024
"""Characters. What is longer is a picture in text form, not the name of one."""


def format_note(
    records: Records | StreamedRecords, source: str, usual: Sequence[Format] = ("jsonl",)
) -> list[InputNote]:
    """Return what was assumed about the format of a file; nothing for those that are `usual`."""
    if records.format in usual:
        return []
    return [assumed(source, "format", format=records.format, **({"key": records.key} if records.key else {}))]


JSON: Sequence[Format] = ("jsonl", "json array")
"""The formats of POPE's and AMBER's own files."""


class FieldFinder:
    """Finds the name that each of our fields has in one file, and keeps notes of what was assumed."""

    def __init__(self, rows: Iterable[Placed], path: Path, source: str, given: Mapping[str, str]) -> None:
        """`given` maps our names to the file's, as the user says it with `--field`."""
        self._path, self._source, self._given = path, source, given
        self._first: dict[str, Any] = {}
        for placed in rows:
            for key, value in placed.row.items():
                if self._first.get(key) is None:
                    self._first[key] = value
        self.notes: list[InputNote] = []

    def has(self, name: str) -> bool:
        """Tell whether any record has a field of that very name."""
        return name in self._first

    def text(self, ours: str, known: Iterable[str] = RESPONSE, but: Collection[str] = ()) -> str:
        """Return the name of a field that holds a text; ours where no well-known one is there.

        Raises:
            UserError: several are there, and none has our name.
        """
        return self._find(ours, known, _is_text, but)

    def image(self, ours: str = "image_id") -> str:
        """Return the name of the field that names the image; ours where there is none.

        Raises:
            UserError: several are there, and none has our name.
        """
        name = self._find(ours, IMAGE, _is_id)
        if name in self._first or ours in self._given:
            return name
        if _is_picture(self._first.get("question_id")):  # lmms-eval's captions of COCO
            return self._take(ours, "question_id")
        return self._find(ours, ID, _is_id)

    def value(self, ours: str, known: Iterable[str], kinds: type | tuple[type, ...]) -> str:
        """Return the name of a field whose value is of a kind; ours where no well-known one is there.

        Raises:
            UserError: several are there, and none has our name.
        """
        return self._find(ours, known, lambda value: isinstance(value, kinds))

    def _find(self, ours: str, known: Iterable[str], fits: Any, but: Collection[str] = ()) -> str:
        if ours in self._given:
            return self._given[ours]
        if ours in self._first:
            return ours
        wanted = {ours, *known}
        found = [
            key
            for key, value in self._first.items()
            if key not in but and name_of(key) in wanted and fits(value)
        ]
        for better, worse in _PREFERRED:
            if better in found and worse in found:
                found.remove(worse)
        if len(found) > 1:
            listed = ", ".join(map(repr, found))
            raise UserError(
                f"{self._path}: the {ours} may be in each of the fields {listed}; choose one with --field {ours}=NAME"
            )
        return self._take(ours, found[0]) if found else ours

    def _take(self, ours: str, name: str) -> str:
        self.notes.append(assumed(self._source, "field", field=ours, name=name))
        return name


def one_text(value: object) -> object:
    """Return the text in a list of one, however nested, as `resps` of lmms-eval; any other value as it is."""
    while isinstance(value, list) and len(value) == 1:
        value = value[0]
    return value


def _is_text(value: object) -> bool:
    return isinstance(one_text(value), str)


def _is_id(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= _LONGEST_ID
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_picture(value: object) -> bool:
    from eidolon.scorers.core.image_ids import is_file_name

    return isinstance(value, str) and is_file_name(value)
