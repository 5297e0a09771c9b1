"""The generative cloze of a run: `cloze.jsonl` grows with the scores, then `cloze.json` is computed."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from eidolon.benchmark.store.atomic import write_atomically
from eidolon.benchmark.store.batch_file import BatchFile, Key
from eidolon.benchmark.store.batch_writer import Stage, batch_by_batch, complete
from eidolon.benchmark.store.files import CLOZE, CLOZE_LINES, SCORES
from eidolon.benchmark.store.folder import RunFolder
from eidolon.benchmark.store.json_lines import read_lines
from eidolon.benchmark.tasks.forget.cloze.design import (
    FRAME,
    ClozeDesign,
    ClozeText,
    completions,
    given,
    make_design,
)
from eidolon.benchmark.tasks.forget.cloze.detail import SCHEMA, ClozeDetail, MissingBeginnings
from eidolon.benchmark.tasks.forget.measurement import Measurement, is_readable, read_document
from eidolon.benchmark.tasks.forget.retention.design import Namer
from eidolon.benchmark.terminal.log import timed
from eidolon.models.base.model import CompletingModel, Failure, Request, ScoredRequest
from eidolon.scorers.forgetting.cloze import ClozeContext, ClozeSummary, ScoredName, measure_cloze, no_cloze

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ClozeSettings:
    """How names are scored."""

    prompt: str
    """What the model was asked for its descriptions."""
    lengths: tuple[int, ...]
    batch_size: int
    seed: int
    resamples: int

    def config(self) -> dict[str, Any]:
        """Return the settings that the run's config does not hold elsewhere."""
        return {"frame": FRAME}


def score_cloze(settings: ClozeSettings, measurement: Measurement, namer: Callable[[], Namer]) -> ClozeDetail:
    """Complete both files, and return the content of `cloze.json`.

    A model that gives no probabilities of given texts gets a document that says so.

    Raises:
        UserError: a file is not one that this run wrote.
    """
    folder = measurement.folder
    finished = _read_finished(folder)
    if finished is not None and finished.signature == measurement.signature:
        return finished
    folder.forget(CLOZE, SCORES)
    model = measurement.source.scoring_model()
    missing: tuple[MissingBeginnings, ...] = ()
    if not isinstance(model, CompletingModel):
        found = no_cloze("the model gives no probabilities of given texts")
    else:
        readable = [row for row in measurement.rows if is_readable(measurement.source, row.sample_id)]
        first = {response.sample_id: response for response in reversed(measurement.responses)}
        with timed("cloze designed"):
            design = make_design(
                readable, first, model, namer(), lengths=settings.lengths, seed=settings.seed
            )
        lines = _score(settings, measurement, design, model)
        missing = tuple(
            MissingBeginnings(n=n, images=images, reason=reason)
            for n, reasons in sorted(design.missing.items())
            for reason, images in sorted(reasons.items())
        )
        with timed("cloze measured", contexts=len(lines)):
            found = measure_again(lines, seed=settings.seed, resamples=settings.resamples)
    detail = ClozeDetail(
        schema=SCHEMA, signature=measurement.signature, frame=FRAME, missing=missing, found=found
    )
    write_atomically(folder.path / CLOZE, detail.to_json())
    return detail


def measure_again(lines: Sequence[ClozeContext], *, seed: int, resamples: int) -> ClozeSummary:
    """Return the results of the lines of `cloze.jsonl`."""
    if not lines:
        return no_cloze("no description is long enough and leaves a true object unnamed")
    return measure_cloze(lines, seed=seed, resamples=resamples)


def _score(
    settings: ClozeSettings, measurement: Measurement, design: ClozeDesign, model: CompletingModel
) -> Sequence[ClozeContext]:
    """Complete `cloze.jsonl`, and return all its records."""
    texts = {(text.sample_id, text.number): text for text in design.texts}

    def score(keys: Sequence[Key]) -> list[ClozeContext]:
        batch = [texts[key] for key in keys]
        found = model.score_completions([_completion(text, settings, measurement, model) for text in batch])
        return [_record(text, scores) for text, scores in zip(batch, found, strict=True)]

    def after_batch(records: Sequence[ClozeContext], done: int) -> None:
        measurement.count_usage()
        for record in records:
            if record.error is not None:
                fields = {"sample": record.sample_id, "n": record.n, "reason": record.error}
                _log.warning("cloze failed", extra={"fields": fields})

    file = BatchFile(measurement.folder.path / CLOZE_LINES, ClozeContext, [*texts], settings.batch_size)
    stage: Stage[ClozeContext] = Stage(
        label=f"{measurement.name}, cloze",
        tokens=lambda record: record.tokens,
        failed=lambda record: record.error is not None,
        after_batch=after_batch,
    )
    return complete(file, batch_by_batch("cloze scored", "contexts", score), stage)


def _completion(
    text: ClozeText, settings: ClozeSettings, measurement: Measurement, model: CompletingModel
) -> ScoredRequest:
    picture = measurement.source.picture(text.sample_id)
    assert picture is not None
    request = Request(text.sample_id, text.image_id, picture, settings.prompt)
    return ScoredRequest(request, given(text, model), completions(text, model))


def _record(text: ClozeText, found: Sequence[float] | Failure) -> ClozeContext:
    failure = found if isinstance(found, Failure) else None
    scores = () if isinstance(found, Failure) else found
    return ClozeContext(
        sample_id=text.sample_id,
        generation=text.number,
        image_id=text.image_id,
        n=text.n,
        tokens=len(text.own.tokens),
        names=tuple(
            ScoredName(about=about, truth=truth, log_probability=score)
            for (about, truth), score in zip(text.names, scores, strict=failure is None)
        ),
        error=failure and failure.reason,
        transient=failure is not None and failure.transient,
    )


def _read_finished(folder: RunFolder) -> ClozeDetail | None:
    """Return the document of an earlier session, None if there is still something to score."""
    finished, lines = read_document(folder.path / CLOZE, ClozeDetail), folder.path / CLOZE_LINES
    if finished is None:
        return None
    if not lines.exists():
        return None if finished.found.images else finished
    return None if any(line.transient for line in read_lines(lines, ClozeContext)) else finished
