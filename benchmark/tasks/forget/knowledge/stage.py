"""The probe of knowledge of a run: `knowledge.jsonl` grows with the answers, then `knowledge.json` is computed.

An interview that failed for lack of memory is repeated by the next session.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from eidolon.benchmark.store.atomic import write_atomically
from eidolon.benchmark.store.batch_file import BatchFile, Key
from eidolon.benchmark.store.batch_writer import Stage, batch_by_batch, complete, is_complete
from eidolon.benchmark.store.files import KNOWLEDGE, KNOWLEDGE_LINES, SCORES
from eidolon.benchmark.tasks.forget.knowledge.design import (
    ABSENT,
    WORDINGS,
    AskedObjects,
    make_candidates,
    questions_about,
)
from eidolon.benchmark.tasks.forget.knowledge.detail import SCHEMA, KnowledgeDetail
from eidolon.benchmark.tasks.forget.measurement import Measurement, ModelSource, is_readable, read_document
from eidolon.benchmark.terminal.log import timed
from eidolon.models.base.model import Failure, Interview, Odds, Request
from eidolon.scorers.core.judge import Judge, locates_mentions
from eidolon.scorers.core.metric import JudgedSample
from eidolon.scorers.forgetting.judge_position import JudgePosition, judge_position
from eidolon.scorers.forgetting.knowledge import measure_knowledge
from eidolon.scorers.forgetting.knowledge_records import ProbedImage, ProbedObject
from eidolon.scorers.forgetting.rivals.judge_errors import FalseAlarms

SENTENCES = 400
"""Most sentences that are moved to test the judge."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class KnowledgeSettings:
    """How the model is asked about the objects."""

    batch_size: int
    seed: int
    judge: Judge | None = None
    """The judge of the descriptions: how often it errs in late sentences is measured. None: it is not."""

    def config(self) -> dict[str, Any]:
        """Return the settings that the run's config does not hold elsewhere."""
        return {"absent": ABSENT, "wordings": list(WORDINGS)}


def probe_knowledge(settings: KnowledgeSettings, measurement: Measurement) -> KnowledgeDetail:
    """Complete both files of the probe, and return the content of `knowledge.json`.

    Raises:
        UserError: the model cannot be interviewed, or a file is not one that this run wrote.
    """
    folder, source = measurement.folder, measurement.source
    candidates = make_candidates(measurement.rows, settings.seed)
    keys = [(sample_id, 0) for sample_id in candidates]
    file = BatchFile(folder.path / KNOWLEDGE_LINES, ProbedImage, keys, settings.batch_size)
    finished = read_document(folder.path / KNOWLEDGE, KnowledgeDetail)
    if finished is not None and is_complete(file) and finished.signature == measurement.signature:
        return finished
    folder.forget(KNOWLEDGE, SCORES)

    def ask(batch: Sequence[Key]) -> list[ProbedImage]:
        readable = [key for key in batch if is_readable(source, key[0])]
        model = source.scoring_model()
        odds = model.interview([_interview(candidates[key[0]], source) for key in readable])
        found: Mapping[Key, Sequence[Odds] | Failure] = dict(zip(readable, odds, strict=True))
        lost = Failure("the image cannot be read")
        return [_probed(candidates[key[0]], found.get(key, lost)) for key in batch]

    def after_batch(records: Sequence[ProbedImage], done: int) -> None:
        measurement.count_usage()
        for record in records:
            if record.error is not None:
                fields = {"sample": record.sample_id, "reason": record.error}
                _log.warning("interview failed", extra={"fields": fields})

    stage: Stage[ProbedImage] = Stage(
        label=f"{measurement.name}, knowledge",
        tokens=lambda record: len(record.objects) * len(WORDINGS),
        failed=lambda record: record.error is not None,
        after_batch=after_batch,
    )
    lines = complete(file, batch_by_batch("knowledge asked", "images", ask), stage)
    first = {sample.response.sample_id: sample for sample in reversed(measurement.judged)}
    with timed("knowledge measured", images=len(lines)):
        place = _read_at_each_place(settings, first)
        detail = detail_of(lines, first, measurement.signature, seed=settings.seed, place=place)
    write_atomically(folder.path / KNOWLEDGE, detail.to_json())
    return detail


def detail_of(
    lines: Sequence[ProbedImage],
    first: Mapping[str, JudgedSample],
    signature: str,
    *,
    seed: int,
    place: JudgePosition | None,
) -> KnowledgeDetail:
    """Return the content of `knowledge.json`, from its lines and the first judged response to each sample.

    `place` says how the judge reads early and late sentences. Without it the verdict is that judge errors are not held.
    """
    return KnowledgeDetail(
        schema=SCHEMA,
        signature=signature,
        absent=ABSENT,
        wordings=WORDINGS,
        failed=sum(line.error is not None for line in lines),
        judge_position=place,
        found=measure_knowledge(lines, first, seed=seed, alarms=alarms_of(place)),
    )


def alarms_of(place: JudgePosition | None) -> FalseAlarms | None:
    """Return the judge's false alarms by position, None where they were not measured."""
    if place is None or place.added_per_100_words is None:
        return None
    # If none was seen, or an earlier version wrote the file, each may have hidden a true object: the worse case.
    in_place = 1.0 if place.added_in_place is None else place.added_in_place
    return FalseAlarms(
        place.added_per_100_words,
        place.added_standard_error or 0.0,
        in_place,
        place.missed_per_100_words or 0.0,
        place.missed_standard_error or 0.0,
    )


def _read_at_each_place(
    settings: KnowledgeSettings, first: Mapping[str, JudgedSample]
) -> JudgePosition | None:
    """Return how the judge reads a sentence of each response, moved to the start and to the end."""
    if settings.judge is None or not locates_mentions(settings.judge):
        return None
    return judge_position(settings.judge, [*first.values()], seed=settings.seed, sentences=SENTENCES)


def _interview(asked: AskedObjects, source: ModelSource) -> Interview:
    picture = source.picture(asked.sample_id)
    assert picture is not None
    # Before the description: the prompt is the question alone.
    request = Request(asked.sample_id, asked.image_id, picture, "", is_question=True)
    return Interview(request, (), asked.questions())


def _probed(asked: AskedObjects, found: Sequence[Odds] | Failure) -> ProbedImage:
    failure = found if isinstance(found, Failure) else None
    margins = iter(()) if isinstance(found, Failure) else iter([odds.margin for odds in found])
    objects = tuple(
        ProbedObject(about=name, truth=truth, log_odds=tuple(next(margins) for _ in questions_about(name)))
        for name, truth in (() if failure else asked.objects)
    )
    return ProbedImage(
        sample_id=asked.sample_id,
        image_id=asked.image_id,
        objects=objects,
        unasked=asked.unasked,
        error=failure and failure.reason,
        transient=failure is not None and failure.transient,
    )
