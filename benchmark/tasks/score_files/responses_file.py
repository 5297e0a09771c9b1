"""Responses that exist already, read from a file with their ground truth, to be judged and scored."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal

from eidolon.benchmark.data.coco_format import read_document
from eidolon.benchmark.data.coco_licences import Attribution, attributions
from eidolon.benchmark.data.picture_files import find_pictures
from eidolon.benchmark.data.truth_file import FileTruth
from eidolon.benchmark.settings.config import ConfigRecord, Inputs, deciding
from eidolon.benchmark.settings.fields import AUTO
from eidolon.benchmark.settings.load import Given
from eidolon.benchmark.settings.score import ScoreSettings
from eidolon.benchmark.tasks.checking.checks import TaskChecks, TaskFile
from eidolon.benchmark.tasks.describe.checks import DESCRIBED
from eidolon.benchmark.tasks.describe.work import POLICY
from eidolon.benchmark.tasks.plugins import (
    affordable,
    check_annotated,
    check_fit,
    make_judge,
    make_metrics,
    needs_references,
    training_warnings,
)
from eidolon.benchmark.tasks.protocol import Producer, Run
from eidolon.benchmark.tasks.score_files.captions import join_captions
from eidolon.benchmark.tasks.score_files.checks.responses import ResponsesChecks
from eidolon.benchmark.tasks.score_files.inputs import (
    TRUTH_FIELDS,
    check_fields,
    one_path,
    read_objects,
    response_fields,
)
from eidolon.benchmark.tasks.score_files.response_table import (
    ResponseTable,
    ScoredSamples,
    TruthTable,
    join_truth,
    read_table,
)
from eidolon.benchmark.tasks.score_files.source_texts import (
    IMPORT_BATCH,
    looks,
    prompt_part,
    truth_hash,
    unknown_of,
)
from eidolon.benchmark.tasks.score_files.streamed_work import StreamedWork, StreamingProducer
from eidolon.benchmark.tasks.score_files.workers import cores
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import excerpt, read_bytes
from eidolon.scorers.core.judge import Judge, SlowJudge, judge_settings
from eidolon.scorers.core.metric import Metric
from eidolon.scorers.core.notes import InputNote
from eidolon.scorers.core.record_stream import open_records
from eidolon.scorers.core.records import text_of
from eidolon.scorers.core.response_lines import WANTED, ResponseSource, response_source
from eidolon.scorers.core.signature import Signature
from eidolon.scorers.core.types import ImageId
from eidolon.scorers.judges.judged_text import text_rules

SEVERAL_FROM = 20_000
"""Responses from which `--processes auto` starts several: they take longer than the start of a process."""


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
        "processes",
    )
    needs: ClassVar[tuple[str, ...]] = ("responses",)
    """And objects, unless the judge or a metric reads references, which are then the truth."""

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
        needing = _needing_references(settings, judge, metrics)
        source = open_responses(settings)
        table = read_table(source, settings.limit)
        hints: list[str] = []
        if not settings.metrics:
            metrics = _affordable(metrics, len(table.sample_ids), hints)
        truth, notes = _read_truth(settings, table, judge, needing)
        samples = ScoredSamples(table, truth)
        samples.check_images()
        dataset = _hash(settings, truth)
        rules = text_rules(judge, settings.last_sentence)
        signature = Signature(
            dataset=dataset,
            truth=truth.annotator,
            prompt=prompt_part(table.prompt),
            judge=judge.signature(),
            judge_settings=judge_settings(judge),
            text=rules.signature(),
            policy=POLICY,
            n=len(samples.keys),
            resamples=settings.resamples,
            seed=settings.seed,
        )
        name = settings.label or out.resolve().name
        pictures = _pictures(settings, samples, hints)
        processes = _processes(settings, judge, len(samples.keys))
        run = Run(
            path=out,
            name=name,
            config=ConfigRecord(
                verb="score",
                task=self.name,
                settings=deciding(settings, metrics=tuple(metric.family for metric in metrics)),
                inputs=Inputs(
                    files={"responses": source.sha256},
                    notes=(*source.notes(), *notes),
                    truth=dataset,
                    **looks(
                        {truth.image_ids[i]: found for i, found in truth.areas.items()},
                        {truth.image_ids[i]: found for i, found in truth.sources.items()},
                        _unknown(truth),
                    ),
                    annotator=truth.annotator,
                    text=rules.version,
                    judge=judge.signature(),
                ),
            ),
            signature=signature,
            sample_ids=samples.sample_ids,
            keys=samples.keys,
            batch_size=IMPORT_BATCH,
            warnings=training_warnings(judge, None, truth.image_ids),
            hints=tuple(hints),
            attribution=_attribution(settings, samples, pictures),
            work=StreamedWork(
                name=name,
                samples=samples,
                judged_by=judge,
                metrics=metrics,
                rules=rules,
                signature=signature,
                seed=settings.seed,
                resamples=settings.resamples,
                judge_name=settings.judge,
                judge_options=settings.judge_options,
                processes=processes,
            ),
        )
        return run, StreamingProducer(samples, processes, pictures)

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


def open_responses(settings: ScoreSettings) -> ResponseSource:
    """Return the responses of the settings' file.

    Raises:
        UserError: it cannot be read, or it is unclear which of its fields hold response and image.
    """
    path, given = one_path(settings.responses), response_fields(settings.fields)
    wanted = {*WANTED, *given.values()}
    file = open_records(path, wanted, value_field=given.get("response", "response"))
    return response_source(file.records, path, given, sha256=file.sha256)


def _processes(settings: ScoreSettings, judge: Judge, responses: int) -> int:
    """Return how many processes judge so many responses.

    Every process makes a judge of its own, which takes longer than the judging of a few responses. A judge that asks
    language models would load each of them again, unless the user names a number.
    """
    if settings.processes != AUTO:
        return int(settings.processes)
    return cores() if responses >= SEVERAL_FROM and not isinstance(judge, SlowJudge) else 1


def _pictures(settings: ScoreSettings, samples: ScoredSamples, hints: list[str]) -> dict[str, Path]:
    """Return the file of each sample's image; say in a hint how many have none."""
    if settings.images is None:
        return {}
    image_ids, images = samples.truth.image_ids, samples.truth.images
    found = find_pictures(settings.images, image_ids)
    pictures: dict[str, Path] = {}
    lacking: list[ImageId] = []
    for index in samples.first:
        image_id = image_ids[images[index]]
        if image_id in found:
            pictures[samples.responses.sample_ids[index]] = found[image_id]
        else:
            lacking.append(image_id)
    if lacking:
        hints.append(
            f"--images {settings.images}: has no picture of {len(lacking)} of {len(samples.first)} samples; the first "
            f"is of image {excerpt(lacking[0])}"
        )
    return pictures


def _attribution(
    settings: ScoreSettings, samples: ScoredSamples, pictures: Mapping[str, Path]
) -> tuple[Attribution, ...]:
    """Return source and licence of the pictures that the report may show, where the file of objects lists them."""
    if settings.objects is None or not pictures:
        return ()
    document = read_document(text_of(read_bytes(settings.objects), settings.objects), settings.objects)
    if document is None:
        return ()
    image_ids, images, ids = samples.truth.image_ids, samples.truth.images, samples.responses.sample_ids
    shown = {image_ids[images[index]] for index in samples.first if ids[index] in pictures}
    return attributions(document, settings.objects, shown)


def _read_truth(
    settings: ScoreSettings, table: ResponseTable, judge: Judge, needing: str | None
) -> tuple[TruthTable, list[InputNote]]:
    """Return the truth of the images that were responded to, and notes. `needing` is what cannot do without
    references, for the message. Without a file of objects, the truth is what the references name."""
    objects_file = _truth_file(settings)
    known = (
        FileTruth({image_id: frozenset() for image_id in table.image_ids})
        if settings.objects is None
        else read_objects(settings, settings.objects, judge)
    )
    if known.annotated is not None:
        check_annotated(judge, f"--objects {objects_file}")
    truth, notes = join_truth(table, known, objects_file, judge.vocabulary)
    more = join_captions(table, truth, settings.captions, known.ids(objects_file), judge, needing)
    return truth, [*known.notes, *notes, *more]


def _needing_references(settings: ScoreSettings, judge: Judge, metrics: Sequence[Metric]) -> str | None:
    """Return what needs reference captions, None if nothing does.

    Raises:
        UserError: there are no objects, and nothing reads references in their place.
    """
    needing = needs_references(judge, metrics)
    if settings.objects is None and needing is None:
        raise UserError("--objects: is missing; to score responses, give --responses and --objects")
    return needing


def _hash(settings: ScoreSettings, truth: TruthTable) -> str:
    """Return `name#hash` of the truth."""
    references = {truth.image_ids[i]: found for i, found in truth.references.items()}
    return truth_hash(_truth_file(settings).stem, truth.truth(), references)


def _truth_file(settings: ScoreSettings) -> Path:
    """Return the file that names the images of the truth: of objects, else of captions, else of responses."""
    return settings.objects or settings.captions or one_path(settings.responses)


def _unknown(truth: TruthTable) -> dict[ImageId, Sequence[object]]:
    """Return what the annotator of the truth leaves open, and its labels, by image; nothing without an annotator."""
    if truth.annotator is None:
        return {}
    facts = ((image_id, truth.of(i)) for i, image_id in enumerate(truth.image_ids))
    return {image_id: unknown_of(one.unsure, one.unasked, one.labelled) for image_id, one in facts}
