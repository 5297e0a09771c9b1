"""Responses that exist already, read from a file with their ground truth, to be judged and scored."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal

from eidolon.benchmark.data.coco_format import Truth, read_captions
from eidolon.benchmark.data.ground_truth import find_truth, objects_in, read_truth, sources_of
from eidolon.benchmark.settings.config import ConfigRecord, Inputs, deciding
from eidolon.benchmark.settings.load import Given
from eidolon.benchmark.settings.score import ScoreSettings
from eidolon.benchmark.store.record import SampleRow
from eidolon.benchmark.tasks.checking.checks import TaskChecks, TaskFile
from eidolon.benchmark.tasks.describe.checks import DESCRIBED
from eidolon.benchmark.tasks.describe.work import POLICY, JudgedWork
from eidolon.benchmark.tasks.plugins import (
    check_fit,
    make_judge,
    make_metrics,
    matches_references,
    needs_references,
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
from eidolon.scorers.core.input_files import excerpt, read_bytes
from eidolon.scorers.core.judge import Judge, judge_settings
from eidolon.scorers.core.metric import Sources
from eidolon.scorers.core.response_lines import FIELDS, ResponseLine, read_responses
from eidolon.scorers.core.signature import Signature, hashed
from eidolon.scorers.core.types import ImageId
from eidolon.scorers.judges.matching import join


class ResponsesTask:
    """Judge and score responses that exist already."""

    name: ClassVar[str] = "responses"
    verb: ClassVar[Literal["score"]] = "score"
    run_files: ClassVar[tuple[TaskFile, ...]] = DESCRIBED
    fields: ClassVar[tuple[str, ...]] = (
        "responses",
        "objects",
        "captions",
        "judge",
        "judge_options",
        "fields",
        "limit",
    )
    needs: ClassVar[tuple[str, ...]] = ("responses", "objects")

    def plan(self, given: Given[ScoreSettings], out: Path) -> tuple[Run, Producer]:
        """Read and check all inputs.

        Raises:
            UserError: a setting or a file is wrong, or judge and metrics do not fit together.
        """
        settings = given.settings
        check_fields(settings.fields, FIELDS)
        judge = make_judge(settings.judge, settings.judge_options)
        metrics = make_metrics(settings.metrics, judge)
        check_fit(judge, metrics)
        responses = one_path(settings.responses)
        content = read_bytes(responses)
        lines = read_responses(content, responses, settings.fields)[: settings.limit]
        rows, truth, references = _read_samples(settings, lines, judge, needs_references(judge, metrics))
        found = [line.response for line in lines]
        dataset = hashed(one_path(settings.objects).stem, truth_text(truth) + references_text(references))
        keys = tuple((response.sample_id, response.generation) for response in found)
        signature = Signature(
            dataset=dataset,
            prompt=common_prompt(found),
            judge=judge.signature(),
            judge_settings=judge_settings(judge),
            policy=POLICY,
            n=len(keys),
            resamples=settings.resamples,
            seed=settings.seed,
        )
        areas = {row.image_id: row.areas for row in rows}
        run = Run(
            path=out,
            name=out.resolve().name,
            config=ConfigRecord(
                verb="score",
                task=self.name,
                settings=deciding(settings, metrics=tuple(metric.family for metric in metrics)),
                inputs=Inputs(
                    files=content_hashes(responses=content),
                    truth=dataset,
                    **looks(areas, {row.image_id: row.sources for row in rows}),
                    judge=judge.signature(),
                ),
            ),
            signature=signature,
            sample_ids=tuple(row.sample_id for row in rows),
            keys=keys,
            batch_size=IMPORT_BATCH,
            work=JudgedWork(
                name=out.resolve().name,
                samples=tuple(rows),
                keys=keys,
                judged_by=judge,
                metrics=metrics,
                signature=signature,
                seed=settings.seed,
                resamples=settings.resamples,
            ),
        )
        return run, FileProducer(found)

    def checks(self) -> TaskChecks:
        """Return what `eidolon check` asks of this task."""
        return ResponsesChecks()


def _read_samples(
    settings: ScoreSettings, lines: Sequence[ResponseLine], judge: Judge, needing: str | None
) -> tuple[list[SampleRow], Truth, dict[ImageId, tuple[str, ...]]]:
    """Return the samples that were responded to, the truth of their images, and the references that the judge reads.

    `needing` is what cannot do without references, for the message.
    """
    responses, objects_file = one_path(settings.responses), one_path(settings.objects)
    known = read_truth(objects_file, judge)
    truth = join_truth(lines, known.objects, responses, objects_file)
    areas = {image_id: known.areas[image_id] for image_id in truth if known.areas.get(image_id)}
    captions = gather_captions(lines, responses, settings.captions)
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
            raise UserError(
                f"{responses}:{line.line}: sample id {row.sample_id!r} named another image before"
            )
    return list(rows.values()), truth, references


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
