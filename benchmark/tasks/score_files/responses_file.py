"""A run over responses that exist already: everything `eidolon score` is told, read and checked."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from eidolon.benchmark.data.coco_format import Areas, Truth, read_captions
from eidolon.benchmark.data.ground_truth import find_truth, objects_in, read_truth, sources_of
from eidolon.benchmark.data.prompts import PRESETS, Prompt
from eidolon.benchmark.run.pipeline import Run
from eidolon.benchmark.run.plugins import (
    check_fit,
    make_judge,
    make_metrics,
    matches_references,
    needs_references,
)
from eidolon.benchmark.store.batch_file import BatchFile
from eidolon.benchmark.store.folder import RunFolder
from eidolon.benchmark.store.record import SampleRow
from eidolon.scorers.core.errors import UserError, did_you_mean
from eidolon.scorers.core.input_files import excerpt, read_bytes
from eidolon.scorers.core.metric import Sources
from eidolon.scorers.core.response_lines import FIELDS, ResponseLine, read_responses
from eidolon.scorers.core.signature import hashed
from eidolon.scorers.core.types import ImageId, Response
from eidolon.scorers.judges.matching import join
from eidolon.scorers.statistics.bootstrap import RESAMPLES

IMPORT_BATCH = 512
"""Responses written at once."""


@dataclass(frozen=True, slots=True)
class ScoreRequest:
    """What the command line says."""

    responses: Path
    objects: Path
    out: Path
    captions: Path | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    judge: str = "lexicon"
    judge_options: Mapping[str, str] = field(default_factory=dict)
    metrics: Sequence[str] = ()
    limit: int | None = None
    seed: int = 0
    resamples: int = RESAMPLES


@dataclass(frozen=True, slots=True)
class Import:
    """The producer of a run whose responses were read from a file."""

    responses: Sequence[Response]

    def prepare(self) -> None:
        """Do nothing: the file has been read."""

    def find_batch_size(self, keys: Sequence[tuple[str, int]]) -> None:
        """Leave it as it is."""

    def produce(self, folder: RunFolder, responses: BatchFile[Response]) -> None:
        """Write the responses that are not there yet."""
        for batch in responses.batches:
            responses.append(self.responses[responses.span(batch)])

    def picture(self, sample_id: str) -> None:
        """Return nothing: there are no pictures."""


def prepare(request: ScoreRequest) -> tuple[Run, Import]:
    """Read and check all inputs; nothing is written, and every mistake in them is a UserError."""
    for name, value in request.fields.items():
        if name not in FIELDS:
            raise UserError(f"--field {name}={value}: unknown field {name!r}{did_you_mean(name, FIELDS)}")
    judge = make_judge(request.judge, request.judge_options)
    metrics = make_metrics(request.metrics, judge)
    check_fit(judge, metrics)
    content = read_bytes(request.responses)
    lines = read_responses(content, request.responses, request.fields)[: request.limit]
    known = read_truth(request.objects, judge)
    truth = join_truth(lines, known.objects, request.responses, request.objects)
    areas = {image_id: known.areas[image_id] for image_id in truth if known.areas.get(image_id)}
    captions = gather_captions(lines, request.responses, request.captions)
    if needing := needs_references(judge, metrics):
        check_references(lines, captions, request.responses, needing)
    sources: dict[ImageId, Sources | None] = {}
    for image_id, objects in objects_in(captions, judge).items():
        sources[image_id] = sources_of(judge, truth[image_id], objects)
        truth[image_id] = join(judge, truth[image_id], objects)
    references = distinct(captions) if matches_references(judge) else {}
    responses = [line.response for line in lines]
    rows: dict[str, SampleRow] = {}
    for line in lines:
        response = line.response
        told = sources.get(response.image_id)
        row = SampleRow(
            sample_id=response.sample_id,
            image_id=response.image_id,
            objects=tuple(sorted(truth[response.image_id])),
            references=references.get(response.image_id, ()),
            areas=areas.get(response.image_id, {}),
            annotated=told and tuple(sorted(told.annotated)),
            captioned=told and tuple(sorted(told.captioned)),
        )
        if rows.setdefault(row.sample_id, row) != row:
            raise UserError(
                f"{request.responses}:{line.line}: sample id {row.sample_id!r} stood for another image before"
            )
    dataset = hashed(request.objects.stem, truth_text(truth) + references_text(references))
    run = Run(
        path=request.out,
        name=request.out.resolve().name,
        config={
            "verb": "score",
            "responses": hashlib.sha256(content).hexdigest(),
            "fields": dict(request.fields),
            "truth": dataset,
            **looks(areas, {row.image_id: row.sources for row in rows.values()}),
            "limit": request.limit,
            "judge": {"name": request.judge, "signature": judge.signature()},
            "metrics": [metric.family for metric in metrics],
            "seed": request.seed,
            "resamples": request.resamples,
        },
        samples=tuple(rows.values()),
        keys=tuple((response.sample_id, response.generation) for response in responses),
        batch_size=IMPORT_BATCH,
        judge=judge,
        metrics=metrics,
        dataset=dataset,
        prompt=common_prompt(responses),
        decoding=None,
        seed=request.seed,
        resamples=request.resamples,
    )
    return run, Import(responses)


def join_truth(lines: Sequence[ResponseLine], known: Truth, responses: Path, objects: Path) -> Truth:
    """Return the truth of the images that were responded to; the paths are for messages."""
    return {
        line.response.image_id: find_truth(known, line.response.image_id, f"{responses}:{line.line}", objects)
        for line in lines
    }


def gather_captions(
    lines: Sequence[ResponseLine], responses: Path, path: Path | None
) -> dict[ImageId, list[str]]:
    """Return the reference captions of those images, from the captions file and the response lines.

    A captions file that knows none of the images is a UserError; the path of the responses is for its message.
    """
    captions: dict[ImageId, list[str]] = {}
    known = read_captions(path) if path is not None else {}
    if path is not None and lines and not any(line.response.image_id in known for line in lines):
        first = lines[0]
        find_truth(
            known,
            first.response.image_id,
            f"{responses}:{first.line}",
            path,
            "nor is any other image that was responded to",
        )
    for line in lines:
        image_id = line.response.image_id
        if image_id not in captions:
            captions[image_id] = list(known.get(image_id, ()))
        captions[image_id].extend(line.references)
    return {image_id: found for image_id, found in captions.items() if found}


def check_references(
    lines: Sequence[ResponseLine], captions: Mapping[ImageId, Sequence[str]], responses: Path, needing: str
) -> None:
    """Raise a UserError for the first response to an image without the captions that `needing` needs."""
    for line in lines:
        image_id = line.response.image_id
        if image_id not in captions:
            raise UserError(
                f"{responses}:{line.line}: image {excerpt(image_id)} has no reference captions; {needing} "
                "needs them: give --captions or 'references' in the line"
            )


def distinct(captions: Mapping[ImageId, Sequence[str]]) -> dict[ImageId, tuple[str, ...]]:
    """Return the captions of each image, each once: every response to an image may bring them along."""
    return {image_id: tuple(dict.fromkeys(found)) for image_id, found in captions.items()}


def references_text(references: Mapping[ImageId, Sequence[str]]) -> str:
    """Return a text that is the same for the same references; empty without any."""
    return "".join(sorted("\n" + json.dumps([image_id, *found]) for image_id, found in references.items()))


def truth_text(truth: Truth) -> str:
    """Return a text that is the same for the same images and objects, whatever they were read from."""
    return "\n".join(sorted(json.dumps([image_id, sorted(objects)]) for image_id, objects in truth.items()))


def looks(areas: Areas, sources: Mapping[ImageId, Sources | None]) -> dict[str, str]:
    """Return the part of the configuration that says what is known of the objects beyond their being there, hashed;
    nothing where nothing is."""
    parts = {
        "areas": [json.dumps([i, sorted(found.items())]) for i, found in areas.items() if found],
        "sources": [
            json.dumps([i, sorted(told.annotated), sorted(told.captioned)])
            for i, told in sources.items()
            if told is not None
        ],
    }
    return {name: hashed(name, "\n".join(sorted(lines))) for name, lines in parts.items() if lines}


def common_prompt(responses: Sequence[Response]) -> str | None:
    """Return the prompt's part of the signature where all responses name the same one."""
    prompts = {response.prompt for response in responses}
    if len(prompts) != 1 or (text := prompts.pop()) is None:
        return None
    name = next((name for name, preset in PRESETS.items() if preset == text), "custom")
    return Prompt(name, text).signature()
