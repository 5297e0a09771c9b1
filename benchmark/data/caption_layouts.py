"""The files of benchmarks of long captions: references and annotated scene graphs, and captions to score."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from eidolon.benchmark.data.json_rows import id_field, invalid_json, required, text_field
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.field_names import IMAGE, RESPONSE, FieldFinder, format_note, one_text
from eidolon.scorers.core.input_files import clean, excerpt, parse_json
from eidolon.scorers.core.notes import InputNote
from eidolon.scorers.core.records import read_records, text_of
from eidolon.scorers.judges.caption_graphs import Graph
from eidolon.scorers.judges.graph_coverage import AnnotatedObject, check_masks

REFERENCES = ("GT_Caption_GPT4O", "GT_Caption_GPT4V", "GT_Caption_Gemini15Pro")
"""The references of DetailCaps-4870."""
FIELDS = ("response",)
"""What `--field` names."""
DESCRIPTIONS = {"short": "short_description", "extended": "extend_description"}
"""The two descriptions that CompreCap has of each object."""
_IDS = ("sample_id", *IMAGE, "question_id", "id")


@dataclass(frozen=True, slots=True)
class CaptionData:
    """Where a benchmark of captions is, and its licence."""

    data: str
    licence: str


CAPTION_DATA: Mapping[str, CaptionData] = {
    "detailcaps": CaptionData(
        "References for score --metric capture; data: Hugging Face foundation-multimodal-models/DetailCaps-4870, as "
        "JSON lines",
        "CC BY-NC-SA 4.0; images of COCO, SAM, LAION, CC, SBU, Coyo and Flickr: their own",
    ),
    "comprecap": CaptionData(
        "Scene graphs for score --metric comprecap; data: Hugging Face FanLu31/CompreCap, anno.json and images",
        "CC BY 4.0; images of COCO (Flickr): their own",
    ),
}
"""By name, for `eidolon list datasets`."""


@dataclass(frozen=True, slots=True)
class GivenCaptions:
    """The caption of each sample, in the order of the samples, and what was assumed about the file."""

    texts: Mapping[str, str]
    failed: Mapping[str, str]
    """Why a sample has no caption: the error of its request."""
    notes: tuple[InputNote, ...] = ()


@dataclass(frozen=True, slots=True)
class ParsedCaption:
    """The graph of a caption, and those of its references."""

    said: Graph
    references: tuple[Graph, ...]


@dataclass(frozen=True, slots=True)
class PublishedRatings:
    """What the released program of CompreCap says of a caption, by the name or phrase that it is about."""

    objects: Mapping[str, float]
    attributes: Mapping[str, float]
    relations: Mapping[str, float]


def read_references(content: bytes, path: Path) -> dict[str, tuple[str, ...]]:
    """Return the references of each image: rows of DetailCaps-4870, or any rows with a list `references`.

    Raises:
        UserError: the file is wrong, or a row has no reference.
    """
    found: dict[str, tuple[str, ...]] = {}
    for place, _, row in read_records(content, path, (*_IDS, "references", *map(str.lower, REFERENCES))).rows:
        name = _name(row, place)
        if isinstance(listed := row.get("references"), list):
            texts = [text for text in listed if isinstance(text, str)]
        else:
            texts = [text_field(row, field, place) for field in REFERENCES if row.get(field) is not None]
        texts = [clean(text) for text in texts if text.strip()]
        if not texts:
            raise UserError(f"{place}: has no references: {', '.join(REFERENCES)}, or a list 'references'")
        _add(found, name, tuple(texts), place)
    if not found:
        raise UserError(f"{path}: holds no references")
    return found


def read_annotations(content: bytes, path: Path, description: str) -> dict[str, tuple[AnnotatedObject, ...]]:
    """Return the annotated objects of each image of CompreCap's `anno.json`.

    Raises:
        UserError: the file is wrong.
    """
    found: dict[str, tuple[AnnotatedObject, ...]] = {}
    for place, _, row in read_records(content, path, ("image", "info")).rows:
        info = required(row, "info", place)
        if not isinstance(info, list) or not info or not all(isinstance(item, dict) for item in info):
            raise UserError(f"{place}: field 'info' must be a list of objects, found {excerpt(info)}")
        objects = tuple(
            _annotated(item, description, f"{place}: info {number}") for number, item in enumerate(info, 1)
        )
        try:
            check_masks([item.mask for item in objects if item.mask is not None])
        except ValueError as error:
            raise UserError(f"{place}: field 'mask_out': {error}") from None
        _add(found, text_field(row, "image", place), objects, place)
    if not found:
        raise UserError(f"{path}: holds no images")
    return found


def _annotated(item: Mapping[str, Any], description: str, place: str) -> AnnotatedObject:
    relations = item.get("relation") or []
    if isinstance(relations, str):
        relations = [relations]
    if not isinstance(relations, list) or not all(isinstance(one, str) for one in relations):
        raise UserError(f"{place}: field 'relation' must be a list of strings, found {excerpt(relations)}")
    mask = item.get("mask_out")
    return AnnotatedObject(
        text_field(item, "category", place),
        text_field(item, description, place),
        tuple(map(clean, relations)),
        mask if isinstance(mask, str) and len(mask) > 1 else None,
    )


def read_captions(
    content: bytes, path: Path, samples: Sequence[str], fields: Mapping[str, str]
) -> GivenCaptions:
    """Return a caption for each sample: rows with an image and a response, or an object {image: caption}.

    An image is named as in the benchmark, by its file name, by that without its ending, or by the number of that. A
    sample whose request failed (`error` in place of a response) has no caption.

    Raises:
        UserError: the file is wrong, a sample has no caption or two, or a caption is of no sample.
    """
    wanted = {*RESPONSE, *_IDS, *fields.values()}
    records = read_records(content, path, wanted, id_field="image", value_field="response")
    finder = FieldFinder(records.rows, path, "answers", fields)
    response = finder.text("response")
    known = _known_names(samples)
    texts: dict[str, str] = {}
    failed: dict[str, str] = {}
    for place, _, row in records.rows:
        name = _name(row, place, known)
        sample = known.get(name) or known.get(PurePosixPath(name).name) or known.get(PurePosixPath(name).stem)
        if sample is None:
            raise UserError(f"{place}: {excerpt(name)} is none of the {len(samples)} images")
        value = one_text(row.get(response))
        if value is None and isinstance(error := row.get("error"), str):
            _add(failed, sample, clean(error), place)
            continue
        _add(
            texts, sample, clean(value) if isinstance(value, str) else text_field(row, response, place), place
        )
    if missing := [sample for sample in samples if sample not in texts and sample not in failed]:
        raise UserError(
            f"{path}: image {excerpt(missing[0])} has no caption ({len(missing)} of {len(samples)} have none)"
        )
    return GivenCaptions(
        {sample: texts[sample] for sample in samples if sample in texts},
        failed,
        (*format_note(records, "answers", ("jsonl", "json array", "json by id")), *finder.notes),
    )


def read_graphs(content: bytes, path: Path) -> dict[str, ParsedCaption] | None:
    """Return the parsed graphs of captions and references, as CAPTURE's program returns them; None for another file.

    Raises:
        UserError: a row is wrong.
    """
    rows = read_records(content, path, ("cand_parsed", *RESPONSE, *_IDS), id_field="image").rows
    if not rows or "cand_parsed" not in rows[0].row:
        return None
    found: dict[str, ParsedCaption] = {}
    for place, _, row in rows:
        references = required(row, "gt_parsed", place)
        if not isinstance(references, list) or not references:
            raise UserError(
                f"{place}: field 'gt_parsed' must be a list of graphs, one for each reference, found "
                f"{excerpt(references)}"
            )
        parsed = ParsedCaption(
            _graph(required(row, "cand_parsed", place), f"{place}: field 'cand_parsed'"),
            tuple(
                _graph(graph, f"{place}: field 'gt_parsed' {number}")
                for number, graph in enumerate(references, 1)
            ),
        )
        _add(found, str(id_field(row, "sample_key", place)), parsed, place)
    return found


def _graph(value: Any, place: str) -> Graph:
    """Return a graph `[objects, {object: attributes}, relations]`."""
    if not isinstance(value, list) or len(value) != 3:
        raise UserError(
            f"{place} must be [objects, {{object: attributes}}, relations], found {excerpt(value)}"
        )
    objects, attributes, relations = value
    if not _strings(objects):
        raise UserError(f"{place}: its objects must be a list of strings, found {excerpt(objects)}")
    if not isinstance(attributes, dict) or not all(_strings(one) for one in attributes.values()):
        raise UserError(
            f"{place}: its attributes must be lists of strings by object, found {excerpt(attributes)}"
        )
    if not isinstance(relations, list) or not all(_strings(one) and len(one) == 3 for one in relations):
        raise UserError(
            f"{place}: its relations must be lists of subject, relation and object, found {excerpt(relations)}"
        )
    return Graph(
        tuple(objects),
        {name: tuple(values) for name, values in attributes.items()},
        tuple((one[0], one[1], one[2]) for one in relations),
    )


def read_ratings(content: bytes, path: Path) -> dict[str, PublishedRatings] | None:
    """Return the ratings of CompreCap's released program, its `…_result.json`; None for another file.

    Raises:
        UserError: a rating is wrong.
    """
    try:
        value = parse_json(text_of(content, path))
    except ValueError as error:
        if text_of(content, path).count("\n") > 0:
            return None  # lines of JSON, or a table
        raise invalid_json(path, error) from None
    if not (isinstance(value, list) and len(value) == 2 and isinstance(value[1], dict)):
        return None
    by_image = value[1]
    if not all(isinstance(one, dict) and "attribute" in one for one in by_image.values()):
        return None
    return {
        image: PublishedRatings(
            *(_ratings(one, field, f"{path}: {image}") for field in ("object", "attribute", "relation"))
        )
        for image, one in by_image.items()
    }


def _ratings(row: Mapping[str, Any], field: str, place: str) -> dict[str, float]:
    value = required(row, field, place)
    if not isinstance(value, dict):
        raise UserError(f"{place}: field {field!r} must be an object, found {excerpt(value)}")
    for name, rating in value.items():
        if isinstance(rating, bool) or not isinstance(rating, int | float):
            raise UserError(f"{place}: {field} {excerpt(name)} must be a number, found {excerpt(rating)}")
    return {name: float(rating) for name, rating in value.items()}


def _known_names(samples: Sequence[str]) -> dict[str, str]:
    """Return the sample of each name that only one sample has: its own, its file's, that without ending, its number."""
    names: dict[str, str] = {}
    for shorten in (_number, lambda p: p.stem, lambda p: p.name, str):
        found: dict[str, list[str]] = {}
        for sample in samples:
            found.setdefault(shorten(PurePosixPath(sample)), []).append(sample)
        names |= {name: owners[0] for name, owners in found.items() if len(owners) == 1}
    return names | {sample: sample for sample in samples}


def _number(path: PurePosixPath) -> str:
    return str(int(path.stem)) if path.stem.isascii() and path.stem.isdigit() else path.stem


def _name(row: Mapping[str, Any], place: str, known: Mapping[str, str] | None = None) -> str:
    """Return what names the image of a row: of several fields the first whose value is known."""
    there = [field for field in _IDS if row.get(field) is not None]
    if not there:
        raise UserError(f"{place}: field 'image' is missing; found {excerpt(list(row))}")
    names = [str(id_field(row, field, place)) for field in there]
    return next((name for name in names if name in (known or {})), names[0])


def _add(found: dict[str, Any], name: str, value: Any, place: str) -> None:
    if name in found:
        raise UserError(f"{place}: image {excerpt(name)} is there already")
    found[name] = value


def _strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)
