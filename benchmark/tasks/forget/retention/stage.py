"""The retention probe of a run: `retention.jsonl` grows with the answers, then `retention.json` is computed.

An interview that failed for lack of memory is repeated by the next session.
"""

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from eidolon.benchmark.store.atomic import write_atomically
from eidolon.benchmark.store.batch_file import BatchFile, Key
from eidolon.benchmark.store.batch_writer import Stage, batch_by_batch, complete
from eidolon.benchmark.store.files import RETENTION, RETENTION_LINES, SCORES
from eidolon.benchmark.store.folder import RunFolder
from eidolon.benchmark.store.json_lines import read_lines
from eidolon.benchmark.store.record import SampleRow
from eidolon.benchmark.tasks.forget.measurement import Measurement, ModelSource, is_readable, read_document
from eidolon.benchmark.tasks.forget.retention.design import ABSENT, Context, Namer, ProbeDesign, make_design
from eidolon.benchmark.tasks.forget.retention.detail import SCHEMA, MissingContexts, RetentionDetail
from eidolon.benchmark.tasks.forget.retention.filler import filler
from eidolon.benchmark.tasks.forget.retention.lengths import LENGTHS
from eidolon.benchmark.terminal.log import timed
from eidolon.models.base.model import Failure, Interview, Odds, Request, ScoringModel
from eidolon.scorers.retention.measure import measure
from eidolon.scorers.retention.records import AnsweredContext, Condition, YesNoAnswer

if TYPE_CHECKING:
    from PIL import Image

INTERVIEWS = 16
"""Contexts per batch, unless the user sets another number."""

Pictures: TypeAlias = Mapping[str, Callable[[], "Image.Image"]]
"""How to decode the picture of each sample, by sample id."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RetentionSettings:
    """The settings of the probe."""

    prompt: str
    """What the model was asked before the text in its turn."""
    lengths: tuple[int, ...] = LENGTHS
    trained_tokens: int | None = None
    """Length of the longest training text in tokens, given by the user."""
    trained_words: int | None = None
    """The same in words, from the model's recipe."""
    batch_size: int = INTERVIEWS
    seed: int = 0
    resamples: int = 2000

    def config(self) -> dict[str, Any]:
        """Return the settings that the run's config does not hold elsewhere."""
        return {
            "lengths": [*self.lengths],
            "absent": ABSENT,
            "trained_tokens": self.trained_tokens,
            "trained_words": self.trained_words,
        }


def probe_retention(
    settings: RetentionSettings, measurement: Measurement, namer: Callable[[], Namer]
) -> RetentionDetail:
    """Complete both files of the probe, and return the content of `retention.json`.

    `namer` makes what finds the objects that a text names; it is called only if there is something to ask.

    Raises:
        UserError: the model cannot be interviewed, or a file is not one that this run wrote.
    """
    folder = measurement.folder
    finished = _read_finished(folder)
    if finished is not None and finished.signature == measurement.signature:
        return finished
    folder.forget(RETENTION, SCORES)
    model = measurement.source.scoring_model()
    pictures = _readable(measurement.rows, measurement.source)
    with timed("retention designed"):
        design = make_design(
            [row for row in measurement.rows if row.sample_id in pictures],
            measurement.responses,
            model,
            namer(),
            lengths=settings.lengths,
            seed=settings.seed,
        )
    answered = ask(settings, folder.path, measurement.name, design, model, pictures, measurement.count_usage)
    with timed("retention measured", contexts=len(answered)):
        found = measure(answered, seed=settings.seed, resamples=settings.resamples)
    detail = RetentionDetail(
        schema=SCHEMA,
        signature=measurement.signature,
        layout=model.layout,
        absent=ABSENT,
        lengths=settings.lengths,
        trained_tokens=trained_tokens(settings, model),
        max_positions=model.max_positions,
        images=len({context.image_id for context in design.contexts}),
        findings=found.findings,
        points=found.points,
        missing=_missing(design.missing, answered),
    )
    write_atomically(folder.path / RETENTION, detail.to_json())
    return detail


def ask(
    settings: RetentionSettings,
    folder: Path,
    name: str,
    design: ProbeDesign,
    model: ScoringModel,
    pictures: Pictures,
    count_usage: Callable[[], None] = lambda: None,
) -> Sequence[AnsweredContext]:
    """Complete `retention.jsonl` in a folder, and return all its records.

    `name` is shown beside the progress. `count_usage` is called after every batch.
    """
    contexts = {(context.sample_id, context.number): context for context in design.contexts}

    def interview(keys: Sequence[Key]) -> list[AnsweredContext]:
        batch = [contexts[key] for key in keys]
        odds = model.interview([_interview(context, settings.prompt, pictures) for context in batch])
        return [_answered(context, found) for context, found in zip(batch, odds, strict=True)]

    def after_batch(records: Sequence[AnsweredContext], done: int) -> None:
        count_usage()
        _log_failures(records)

    file = BatchFile(folder / RETENTION_LINES, AnsweredContext, [*contexts], settings.batch_size)
    stage: Stage[AnsweredContext] = Stage(
        label=f"{name}, retention",
        tokens=lambda record: record.n,
        failed=lambda record: record.error is not None,
        after_batch=after_batch,
    )
    return complete(file, batch_by_batch("retention asked", "contexts", interview), stage)


def trained_tokens(settings: RetentionSettings, model: ScoringModel) -> int | None:
    """Return the length of the longest training text in the model's own tokens, None if it is unknown.

    A length in words is converted by tokenizing that many words of filler.
    """
    if settings.trained_tokens is not None or settings.trained_words is None:
        return settings.trained_tokens
    words = filler("trained", settings.trained_words).split()[: settings.trained_words]
    return len(model.encode_reply(" ".join(words)))


def _log_failures(records: Sequence[AnsweredContext]) -> None:
    for record in records:
        if record.error is not None:
            fields = {"sample": record.sample_id, "condition": record.condition, "n": record.n}
            _log.warning("interview failed", extra={"fields": fields | {"reason": record.error}})


def _interview(context: Context, prompt: str, pictures: Pictures) -> Interview:
    before = context.condition == "before"
    text = f"{context.fact} {prompt}" if context.given and not before else context.fact
    picture = pictures[context.sample_id]()
    return Interview(
        Request(context.sample_id, context.image_id, picture, text, is_question=True),
        context.given,
        tuple(query.text for query in context.queries),
        before_image=before,
    )


def _answered(context: Context, found: Sequence[Odds] | Failure) -> AnsweredContext:
    failure = found if isinstance(found, Failure) else None
    odds = () if isinstance(found, Failure) else found
    return AnsweredContext(
        sample_id=context.sample_id,
        generation=context.number,
        image_id=context.image_id,
        condition=context.condition,
        n=context.n,
        donor=context.donor,
        answers=tuple(
            YesNoAnswer(
                kind=query.kind,
                about=query.about,
                truth=query.truth,
                named=query.named,
                log_yes=likely.yes,
                log_no=likely.no,
            )
            for query, likely in zip(context.queries, odds, strict=failure is None)
        ),
        error=failure and failure.reason,
        transient=failure is not None and failure.transient,
    )


def _readable(rows: Sequence[SampleRow], source: ModelSource) -> Pictures:
    """Return how to decode the picture of every sample that has a readable one.

    The pictures themselves are decoded only when they are used: all at once may not fit into memory.
    """

    def decode(sample_id: str) -> "Image.Image":
        picture = source.picture(sample_id)
        assert picture is not None
        return picture

    readable = (row.sample_id for row in rows if is_readable(source, row.sample_id))
    return {sample_id: partial(decode, sample_id) for sample_id in readable}


def _missing(
    counted: Mapping[tuple[Condition, int], Counter[str]], answered: Sequence[AnsweredContext]
) -> tuple[MissingContexts, ...]:
    """Return the contexts that could not be designed, and those whose interview failed."""
    found = {cell: Counter(reasons) for cell, reasons in counted.items()}
    first = {
        record.image_id: record.error for record in answered if record.condition is None and record.error
    }
    for record in answered:
        if record.condition is not None and (error := record.error or first.get(record.image_id)):
            found.setdefault((record.condition, record.n), Counter())[f"no answer: {error}"] += 1
    return tuple(
        MissingContexts(condition=condition, n=n, images=images, reason=reason)
        for (condition, n), reasons in sorted(found.items())
        for reason, images in sorted(reasons.items())
    )


def _read_finished(folder: RunFolder) -> RetentionDetail | None:
    """Return the document of an earlier session, None if there is still something to ask."""
    path, lines = folder.path / RETENTION, folder.path / RETENTION_LINES
    if not (path.exists() and lines.exists()):
        return None
    if any(record.transient for record in read_lines(lines, AnsweredContext)):
        return None
    return read_document(path, RetentionDetail)
