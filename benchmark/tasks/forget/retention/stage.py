"""The retention probe of a run: `retention.jsonl` as the answers come, then `retention.json`.

An interview that failed for lack of memory is asked again by the next session, and its answers take its place.
"""

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from PIL import Image
from pydantic import ValidationError

from eidolon.benchmark.store.atomic import write_atomically
from eidolon.benchmark.store.batch_file import BatchFile
from eidolon.benchmark.store.files import RETENTION, RETENTION_LINES, SCORES
from eidolon.benchmark.store.folder import RunFolder
from eidolon.benchmark.store.record import SampleRow
from eidolon.benchmark.tasks.forget.retention.design import ABSENT, Context, Design, Namer, make_design
from eidolon.benchmark.tasks.forget.retention.detail import SCHEMA, Missing, RetentionDetail
from eidolon.benchmark.tasks.forget.retention.filler import filler
from eidolon.benchmark.tasks.forget.retention.lengths import LENGTHS
from eidolon.benchmark.terminal.log import timed
from eidolon.benchmark.terminal.progress import Meter, meter
from eidolon.models.base.model import Failure, Interview, Odds, Request, ScoringModel
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.types import Response
from eidolon.scorers.retention.measure import measure
from eidolon.scorers.retention.records import Answer, AnsweredContext, Condition

INTERVIEWS = 16
"""Contexts that are read together unless the user says otherwise."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RetentionSettings:
    """How the probe is made."""

    prompt: str
    """What the model was asked before the text that is put into its turn."""
    lengths: tuple[int, ...] = LENGTHS
    trained_tokens: int | None = None
    """Longest text of the model's training, as the user says, …"""
    trained_words: int | None = None
    """… or as its recipe says, in words."""
    batch_size: int = INTERVIEWS
    seed: int = 0
    resamples: int = 2000

    def config(self) -> dict[str, Any]:
        """Return what of it stands in the run's config beside what is there already."""
        return {
            "lengths": [*self.lengths],
            "absent": ABSENT,
            "trained_tokens": self.trained_tokens,
            "trained_words": self.trained_words,
        }


class Interviewer(Protocol):
    """Who is asked, and about which pictures."""

    def interviewee(self) -> ScoringModel:
        """Return the model, loaded."""
        ...

    def picture(self, sample_id: str) -> "Image.Image | None":
        """Return a sample's picture; raises whatever an unreadable one makes of it."""
        ...

    def usage(self) -> dict[str, int | float] | None:
        """Return what the loaded model counts, None where it counts nothing."""
        ...

    def release(self) -> None:
        """Let go of the model."""
        ...


def probe_retention(
    settings: RetentionSettings,
    folder: RunFolder,
    name: str,
    rows: Sequence[SampleRow],
    responses: Sequence[Response],
    signature: str,
    interviewer: Interviewer,
    namer: Callable[[], Namer],
    count: Callable[[], None] = lambda: None,
) -> RetentionDetail:
    """Bring both files to their end, from wherever they are, and return the content of the second.

    `count` is called after every batch that was asked.
    """
    done = _read_done(folder)
    if done is not None and done.signature == signature:
        return done
    folder.forget(RETENTION, SCORES)
    model = interviewer.interviewee()
    pictures = _readable(rows, interviewer)
    with timed("retention designed"):
        design = make_design(
            [row for row in rows if row.sample_id in pictures],
            responses,
            model,
            namer(),
            lengths=settings.lengths,
            seed=settings.seed,
        )
    held = ask(settings, folder.path, name, design, model, pictures, count)
    with timed("retention measured", contexts=len(held)):
        found = measure(held, seed=settings.seed, resamples=settings.resamples)
    detail = RetentionDetail(
        schema=SCHEMA,
        signature=signature,
        layout=model.layout,
        absent=ABSENT,
        lengths=settings.lengths,
        trained_tokens=trained_tokens(settings, model),
        max_positions=model.max_positions,
        images=len({context.image_id for context in design.contexts}),
        findings=found.findings,
        points=found.points,
        missing=_missing(design.missing, held),
    )
    write_atomically(folder.path / RETENTION, detail.to_json())
    return detail


def ask(
    settings: RetentionSettings,
    folder: Path,
    name: str,
    design: Design,
    model: ScoringModel,
    pictures: Mapping[str, Callable[[], Image.Image]],
    count: Callable[[], None] = lambda: None,
) -> Sequence[AnsweredContext]:
    """Ask what the folder's `retention.jsonl` lacks, batch by batch, and return it all.

    What failed for a reason that passes comes first.
    """
    contexts = design.contexts
    keys = [(context.sample_id, context.number) for context in contexts]
    held = BatchFile(folder / RETENTION_LINES, AnsweredContext, keys, settings.batch_size)
    failed = [context for context, one in zip(contexts, held.records, strict=False) if one.transient]
    again = [failed[i : i + settings.batch_size] for i in range(0, len(failed), settings.batch_size)]
    batches = [*again, *(contexts[held.span(batch)] for batch in held.batches)]
    with meter(f"{name}, retention", len(keys), len(held.records) - len(failed)) as progress:
        for number, now in enumerate(batches):
            with timed("retention asked", batch=number, contexts=len(now)):
                odds = model.interview([_interview(context, settings.prompt, pictures) for context in now])
                answered = [_held(context, found) for context, found in zip(now, odds, strict=True)]
            if number >= len(again):
                held.append(answered)
            elif healed := {(one.sample_id, one.generation): one for one in answered if not one.transient}:
                held.replace(healed)
            count()
            _show(progress, now, answered)
    return held.records


def _show(progress: Meter, contexts: Sequence[Context], answered: Sequence[AnsweredContext]) -> None:
    failed = [one for one in answered if one.error is not None]
    progress.advance(len(answered), sum(context.n for context in contexts), len(failed))
    for one in failed:
        what = {"sample": one.sample_id, "condition": one.condition, "n": one.n, "reason": one.error}
        _log.warning("interview failed", extra={"fields": what})


def _interview(context: Context, prompt: str, pictures: Mapping[str, Callable[[], Image.Image]]) -> Interview:
    before = context.condition == "before"
    told = f"{context.told} {prompt}" if context.given and not before else context.told
    picture = pictures[context.sample_id]()
    return Interview(
        Request(context.sample_id, context.image_id, picture, told, is_question=True),
        context.given,
        tuple(query.text for query in context.queries),
        before_picture=before,
    )


def _held(context: Context, found: Sequence[Odds] | Failure) -> AnsweredContext:
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
            Answer(
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


def _readable(rows: Sequence[SampleRow], interviewer: Interviewer) -> dict[str, Callable[[], Image.Image]]:
    """Return how to get the picture of every sample that has one; pictures stay undecoded until they are used."""

    def decode(sample_id: str) -> Image.Image:
        picture = interviewer.picture(sample_id)
        assert picture is not None
        return picture

    found: dict[str, Callable[[], Image.Image]] = {}
    for row in rows:
        try:
            decode(row.sample_id)
        except Exception:  # a broken file makes Pillow raise almost anything; its response says so already
            continue
        found[row.sample_id] = lambda sample_id=row.sample_id: decode(sample_id)  # type: ignore[misc]
    return found


def trained_tokens(settings: RetentionSettings, model: ScoringModel) -> int | None:
    """Return the training length in the model's own tokens: those of so many words of filler."""
    if settings.trained_tokens is not None or settings.trained_words is None:
        return settings.trained_tokens
    words = filler("trained", settings.trained_words).split()[: settings.trained_words]
    return len(model.encode_reply(" ".join(words)))


def _missing(
    counted: Mapping[tuple[Condition, int], Counter[str]], held: Sequence[AnsweredContext]
) -> tuple[Missing, ...]:
    """Return what could not be asked, and what was asked and not answered."""
    found = {cell: Counter(reasons) for cell, reasons in counted.items()}
    first = {one.image_id: one.error for one in held if one.condition is None and one.error}
    for one in held:
        if one.condition is not None and (lost := one.error or first.get(one.image_id)):
            found.setdefault((one.condition, one.n), Counter())[f"no answer: {lost}"] += 1
    return tuple(
        Missing(condition=condition, n=n, images=images, reason=reason)
        for (condition, n), reasons in sorted(found.items())
        for reason, images in sorted(reasons.items())
    )


def _read_done(folder: RunFolder) -> RetentionDetail | None:
    """Return what an earlier session brought to its end, None where there is something to ask."""
    path, held = folder.path / RETENTION, folder.path / RETENTION_LINES
    if not (path.exists() and held.exists()):
        return None
    at = held
    try:
        if any(
            AnsweredContext.model_validate_json(line).transient for line in held.read_bytes().splitlines()
        ):
            return None
        at = path
        return RetentionDetail.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise UserError(
            f"{at}: is not a file this run wrote ({error.errors()[0]['msg']}); delete it to measure again"
        ) from error
