"""Responses that exist already, read from a file with their ground truth, to be judged and scored."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from eidolon.benchmark.data.categories import CategoryMap, read_names
from eidolon.benchmark.data.coco_format import Truth, read_captions
from eidolon.benchmark.data.ground_truth import find_image, objects_in, sources_of
from eidolon.benchmark.data.picture_files import find_pictures
from eidolon.benchmark.data.truth_file import SOURCE, FileTruth, read_truth
from eidolon.benchmark.settings.config import ConfigRecord, Inputs, deciding
from eidolon.benchmark.settings.load import Given
from eidolon.benchmark.settings.score import ScoreSettings
from eidolon.benchmark.store.record import SampleRow
from eidolon.benchmark.tasks.checking.checks import TaskChecks, TaskFile
from eidolon.benchmark.tasks.describe.checks import DESCRIBED
from eidolon.benchmark.tasks.describe.work import POLICY, JudgedWork
from eidolon.benchmark.tasks.plugins import (
    affordable,
    check_fit,
    make_judge,
    make_metrics,
    matches_references,
    needs_references,
    training_warnings,
)
from eidolon.benchmark.tasks.protocol import Producer, Run
from eidolon.benchmark.tasks.score_files.checks.responses import ResponsesChecks
from eidolon.benchmark.tasks.score_files.inputs import check_fields, content_hashes, one_path
from eidolon.benchmark.tasks.score_files.source_texts import (
    IMPORT_BATCH,
    common_prompt,
    looks,
    references_text,
    truth_text,
)
from eidolon.benchmark.tasks.score_files.work import FileProducer
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.image_ids import ImageIds
from eidolon.scorers.core.input_files import excerpt, read_bytes
from eidolon.scorers.core.judge import Judge, judge_settings
from eidolon.scorers.core.metric import Metric, Sources
from eidolon.scorers.core.notes import InputNote, assumed, warning
from eidolon.scorers.core.response_lines import FIELDS, ResponseLine, match_images, read_responses
from eidolon.scorers.core.signature import Signature, hashed
from eidolon.scorers.core.types import ImageId, Response
from eidolon.scorers.judges.judged_text import text_rules
from eidolon.scorers.judges.matching import join

TRUTH_FIELDS = (*FIELDS, "objects")
"""What `--field` names, in the files of responses and of objects."""


class ResponsesTask:
    """Judge and score responses that exist already."""

    name: ClassVar[str] = "responses"
    verb: ClassVar[Literal["score"]] = "score"
    run_files: ClassVar[tuple[TaskFile, ...]] = DESCRIBED
    fields: ClassVar[tuple[str, ...]] = (
        "responses",
        "objects",
        "captions",
        "names",
        "judge",
        "judge_options",
        "last_sentence",
        "fields",
        "images",
        "limit",
    )
    needs: ClassVar[tuple[str, ...]] = ("responses", "objects")

    def plan(self, given: Given[ScoreSettings], out: Path) -> tuple[Run, Producer]:
        """Read and check all inputs.

        Raises:
            UserError: a setting or a file is wrong, or judge and metrics do not fit together.
        """
        settings = given.settings
        check_fields(settings.fields, TRUTH_FIELDS)
        judge = make_judge(settings.judge, settings.judge_options)
        metrics = make_metrics(settings.metrics, judge)
        check_fit(judge, metrics)
        responses = one_path(settings.responses)
        content = read_bytes(responses)
        file = read_responses(content, responses, response_fields(settings.fields))
        lines = file.lines[: settings.limit]
        hints: list[str] = []
        if not settings.metrics:
            metrics = _affordable(metrics, len(lines), hints)
        read = _read_samples(settings, lines, judge, needs_references(judge, metrics))
        rows, truth, references = read.rows, read.truth, read.references
        found = read.responses
        dataset = hashed(one_path(settings.objects).stem, truth_text(truth) + references_text(references))
        keys = tuple((response.sample_id, response.generation) for response in found)
        rules = text_rules(judge, settings.last_sentence)
        signature = Signature(
            dataset=dataset,
            prompt=common_prompt(found),
            judge=judge.signature(),
            judge_settings=judge_settings(judge),
            text=rules.signature(),
            policy=POLICY,
            n=len(keys),
            resamples=settings.resamples,
            seed=settings.seed,
        )
        areas = {row.image_id: row.areas for row in rows}
        name = settings.label or out.resolve().name
        pictures = _pictures(settings, rows, hints)
        run = Run(
            path=out,
            name=name,
            config=ConfigRecord(
                verb="score",
                task=self.name,
                settings=deciding(settings, metrics=tuple(metric.family for metric in metrics)),
                inputs=Inputs(
                    files=content_hashes(responses=content),
                    notes=(*file.notes, *read.notes),
                    truth=dataset,
                    **looks(areas, {row.image_id: row.sources for row in rows}),
                    text=rules.version,
                    judge=judge.signature(),
                ),
            ),
            signature=signature,
            sample_ids=tuple(row.sample_id for row in rows),
            keys=keys,
            batch_size=IMPORT_BATCH,
            warnings=training_warnings(judge, None, truth),
            hints=tuple(hints),
            work=JudgedWork(
                name=name,
                samples=tuple(rows),
                keys=keys,
                judged_by=judge,
                rules=rules,
                metrics=metrics,
                signature=signature,
                seed=settings.seed,
                resamples=settings.resamples,
            ),
        )
        return run, FileProducer(found, pictures)

    def checks(self) -> TaskChecks:
        """Return what `eidolon check` asks of this task."""
        return ResponsesChecks()


def _affordable(metrics: Sequence[Metric], responses: int, hints: list[str]) -> tuple[Metric, ...]:
    """Return the metrics without those that take too long by default; a hint says which these are."""
    kept, dear = affordable(metrics, responses)
    if dear:
        every = ",".join(metric.family for metric in metrics)
        hints.append(
            f"{', '.join(dear)} left out, which takes long for {responses} responses; for all give --metric {every}"
        )
    return kept


def _pictures(settings: ScoreSettings, rows: Sequence[SampleRow], hints: list[str]) -> dict[str, Path]:
    """Return the file of each sample's image; say in a hint how many have none."""
    if settings.images is None:
        return {}
    found = find_pictures(settings.images, (row.image_id for row in rows))
    lacking = [row.image_id for row in rows if row.image_id not in found]
    if lacking:
        hints.append(
            f"--images {settings.images}: has no picture of {len(lacking)} of {len(rows)} samples; the first is of "
            f"image {excerpt(lacking[0])}"
        )
    return {row.sample_id: found[row.image_id] for row in rows if row.image_id in found}


@dataclass(frozen=True, slots=True)
class _SamplesRead:
    """The samples that were responded to, with their truth."""

    rows: list[SampleRow]
    responses: list[Response]
    """With the image ids of the truth."""
    truth: Truth
    references: dict[ImageId, tuple[str, ...]]
    """Those that the judge reads."""
    notes: tuple[InputNote, ...]


def _read_samples(
    settings: ScoreSettings, given: Sequence[ResponseLine], judge: Judge, needing: str | None
) -> _SamplesRead:
    """Read the truth of the images that were responded to. `needing` is what cannot do without references, for the
    message."""
    responses, objects_file = one_path(settings.responses), one_path(settings.objects)
    known = read_objects(settings, objects_file, judge)
    lines, truth, notes = join_truth(given, known, responses, objects_file)
    areas = {image_id: known.areas[image_id] for image_id in truth if known.areas.get(image_id)}
    captions, more = gather_captions(lines, responses, settings.captions, known.ids(objects_file))
    if needing:
        check_references(lines, captions, responses, needing)
    sources: dict[ImageId, Sources | None] = {}
    for image_id, objects in objects_in(captions, judge).items():
        sources[image_id] = sources_of(judge, truth[image_id], objects)
        truth[image_id] = join(judge, truth[image_id], objects)
    references = distinct(captions) if matches_references(judge) else {}
    rows: dict[str, SampleRow] = {}
    for line in lines:
        response = line.response
        source = sources.get(response.image_id)
        row = SampleRow(
            sample_id=response.sample_id,
            image_id=response.image_id,
            objects=tuple(sorted(truth[response.image_id])),
            references=references.get(response.image_id, ()),
            areas=areas.get(response.image_id, {}),
            annotated=source and tuple(sorted(source.annotated)),
            captioned=source and tuple(sorted(source.captioned)),
        )
        if rows.setdefault(row.sample_id, row) != row:
            raise UserError(f"{line.place}: sample id {row.sample_id!r} named another image before")
    found = [line.response for line in lines]
    return _SamplesRead([*rows.values()], found, truth, references, (*known.notes, *notes, *more))


def read_objects(settings: ScoreSettings, path: Path, judge: Judge) -> FileTruth:
    """Return the content of the file of objects, with the names of `--names` mapped to categories."""
    names = read_names(settings.names) if settings.names is not None else None
    return read_truth(path, CategoryMap(judge, names), settings.fields)


def response_fields(fields: Mapping[str, str]) -> dict[str, str]:
    """Return those of `--field` that the file of responses has."""
    return {ours: theirs for ours, theirs in fields.items() if ours in FIELDS}


def join_truth(
    given: Sequence[ResponseLine], known: FileTruth, responses: Path, objects: Path
) -> tuple[list[ResponseLine], Truth, list[InputNote]]:
    """Return the responses with the image ids of the truth, the truth of their images, and notes.

    Raises:
        UserError: an image has no truth, or its id may mean several.
    """
    ids = known.ids(objects)
    lines = match_images(given, ids)
    truth: Truth = {}
    for line in lines:
        image_id = find_image(ids, line.response.image_id, line.place, objects)
        truth[image_id] = known.objects[image_id]
    notes = ids.notes("responses", len(truth))
    if not any(truth.values()):
        notes.append(warning(SOURCE, "no objects", images=len(truth)))
    return lines, truth, notes


def gather_captions(
    lines: Sequence[ResponseLine], responses: Path, path: Path | None, ids: ImageIds
) -> tuple[dict[ImageId, list[str]], list[InputNote]]:
    """Return the reference captions of those images, from the captions file and the response lines, and notes.

    A captions file that knows none of the images is a UserError; the path of the responses is for its message. `ids`
    are those of the truth, which the responses have too.
    """
    wanted = dict.fromkeys(line.response.image_id for line in lines)
    captions: dict[ImageId, list[str]] = {image_id: [] for image_id in wanted}
    notes: list[InputNote] = []
    if path is not None:
        file = read_captions(path)
        matched = {given: ids.find(given, str(path)) for given in file.texts}
        for given, image_id in matched.items():
            if image_id in captions:
                captions[image_id].extend(file.texts[given])
        notes += file.notes
        other = {given: found for given, found in matched.items() if found in wanted and found != given}
        if other:
            notes.append(
                assumed(
                    "captions", "ids", count=len(other), of=len(wanted), example=[*next(iter(other.items()))]
                )
            )
        if lines and not any(captions.values()):
            raise UserError(
                f"{lines[0].place}: image {excerpt(lines[0].response.image_id)} is not in {path}; nor is any other "
                "image that was responded to"
            )
    for line in lines:
        captions[line.response.image_id].extend(line.references)
    found = {image_id: texts for image_id, texts in captions.items() if texts}
    if found and (bare := [image_id for image_id in wanted if image_id not in found]):
        source = "responses" if path is None else "captions"
        notes.append(warning(source, "captions", count=len(bare), of=len(wanted), first=bare[0]))
    return found, notes


def check_references(
    lines: Sequence[ResponseLine], captions: Mapping[ImageId, Sequence[str]], responses: Path, needing: str
) -> None:
    """Raise a UserError for the first response to an image without the captions that `needing` needs."""
    for line in lines:
        image_id = line.response.image_id
        if image_id not in captions:
            raise UserError(
                f"{line.place}: image {excerpt(image_id)} has no reference captions; {needing} "
                "needs them: give --captions or 'references' in the line"
            )


def distinct(captions: Mapping[ImageId, Sequence[str]]) -> dict[ImageId, tuple[str, ...]]:
    """Return the captions of each image, each once: every response to an image may bring them along."""
    return {image_id: tuple(dict.fromkeys(found)) for image_id, found in captions.items()}
