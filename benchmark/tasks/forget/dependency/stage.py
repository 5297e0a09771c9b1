"""Visual prompt dependency in a run: `pdm.jsonl` as the responses are read, then `pdm.json`.

The first response to each sample is read. One that cannot be (there is none, or the model does not tell how likely
its words are) has a line with the reason; where that passes, the next session reads it again.
"""

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import ValidationError

from eidolon.benchmark.store.atomic import write_atomically
from eidolon.benchmark.store.batch_file import BatchFile
from eidolon.benchmark.store.files import PDM, PDM_LINES, SCORES
from eidolon.benchmark.store.folder import RunFolder
from eidolon.benchmark.store.record import SampleRow
from eidolon.benchmark.tasks.forget.dependency.series import read_series
from eidolon.benchmark.tasks.forget.retention.stage import Interviewer
from eidolon.benchmark.terminal.log import timed
from eidolon.benchmark.terminal.progress import meter
from eidolon.models.base.model import Failure, Request
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.scores import Value
from eidolon.scorers.core.types import Judge, Response
from eidolon.scorers.forgetting.dependency import Fade, PdmTable, TokenSeries, pdm_table
from eidolon.scorers.forgetting.records import Dependence

if TYPE_CHECKING:
    from PIL import Image

TOGETHER = 64
"""Responses that are read, by length in smaller batches, before the file grows: what a kill can cost."""
WITHOUT: Literal["dropped"] = "dropped"
"""The form of the branch without the picture."""

_log = logging.getLogger(__name__)


def follow_responses(
    folder: RunFolder,
    name: str,
    prompt: str,
    rows: Sequence[SampleRow],
    responses: Sequence[Response],
    judge: Judge,
    interviewer: Interviewer,
    *,
    seed: int,
    resamples: int,
    count: Callable[[], None] = lambda: None,
) -> PdmTable:
    """Bring both files to their end, from wherever they are, and return the content of the second.

    `count` is called after every batch that was read.
    """
    first = {response.sample_id: response for response in reversed(responses)}
    keys = [(row.sample_id, first[row.sample_id].generation) for row in rows]
    lines = BatchFile(folder.path / PDM_LINES, Dependence, keys, TOGETHER)
    failed = [row for row, line in zip(rows, lines.records, strict=False) if line.transient]
    if (done := _read_done(folder)) is not None and not (lines.batches or failed):
        return done
    folder.forget(PDM, SCORES)
    again = [failed[i : i + TOGETHER] for i in range(0, len(failed), TOGETHER)]
    batches = [*again, *(rows[lines.span(batch)] for batch in lines.batches)]
    with meter(f"{name}, dependency", len(keys), len(lines.records) - len(failed)) as progress:
        for number, now in enumerate(batches):
            with timed("dependency measured", batch=number, responses=len(now)):
                read = _read(prompt, now, first, judge, interviewer)
            if number >= len(again):
                lines.append(read)
            elif healed := {(line.sample_id, line.generation): line for line in read if not line.transient}:
                lines.replace(healed)
            count()
            progress.advance(len(read), sum(len(line.kinds) for line in read), 0)
            for reason, times in Counter(line.left_out for line in read if line.left_out).items():
                _log.warning("no dependency", extra={"fields": {"reason": reason, "responses": times}})
    table = table_of(lines.records, judge.signature(), seed=seed, resamples=resamples)
    write_atomically(folder.path / PDM, table.to_json())
    return table


def table_of(lines: Sequence[Dependence], judge: str, *, seed: int, resamples: int) -> PdmTable:
    """Return the content of `pdm.json` from the lines of `pdm.jsonl`; `judge` is a signature.

    Raises:
        ValueError: a line that does not have everything of each token.
    """
    measured = [line.series() for line in lines if line.left_out is None]
    table = pdm_table(
        measured,
        without=WITHOUT,
        settings={"judge": judge, "left_out": len(lines) - len(measured)},
        seed=seed,
        resamples=resamples,
    )
    if measured or not lines:
        return table
    (reason, _), *_ = Counter(line.left_out for line in lines).most_common()
    fade = table.fade.model_copy(update={"reason": f"not measured: {reason}"})
    return table.model_copy(update={"fade": fade})


def quantities(table: PdmTable) -> dict[str, Value]:
    """Return what `scores.json` has of the fading, by name."""
    objects = next(fade for fade in table.sensitivity if fade.label == "object")
    if not table.responses:
        objects = objects.model_copy(update={"reason": table.fade.reason})
    return {
        "pdm_decay_per_100_tokens": _decay(table.fade),
        "pdm_half_life_tokens": _half_life(table.fade),
        "pdm_decay_objects_per_100_tokens": _decay(objects),
    }


def _decay(fade: Fade) -> Value:
    return Value(
        value=fade.decay_per_100,
        ci=fade.decay_per_100_ci,
        n=fade.responses,
        higher_is_better=False,
        reason=fade.reason or _no_interval(fade),
    )


def _half_life(fade: Fade) -> Value:
    reason = fade.reason or _no_interval(fade)
    if fade.finding == "no decay":
        reason = "no decay: its interval reaches 0"
    elif fade.finding == "growth":
        reason = "no decay: the dependence grows"
    return Value(
        value=fade.half_life, ci=fade.half_life_ci, n=fade.responses, higher_is_better=True, reason=reason
    )


def _no_interval(fade: Fade) -> str | None:
    return None if fade.rate_ci else "no interval: it takes resamples, and at least two images"


def _read(
    prompt: str,
    rows: Sequence[SampleRow],
    first: Mapping[str, Response],
    judge: Judge,
    interviewer: Interviewer,
) -> list[Dependence]:
    """Read the responses to some samples."""
    model: Any = interviewer.interviewee()
    answered = [row for row in rows if first[row.sample_id].response is not None]
    requests = [Request(row.sample_id, row.image_id, _picture(interviewer, row), prompt) for row in answered]
    found: Sequence[TokenSeries | Failure]
    try:
        found = read_series(
            model,
            requests,
            [first[row.sample_id].response for row in answered],
            objects=[row.objects for row in answered],
            judge=judge,
            form=WITHOUT,
            recover=True,
        )
    except UserError as error:  # the probe stands without it
        found = [Failure(str(error))] * len(answered)
    by_sample = {row.sample_id: one for row, one in zip(answered, found, strict=True)}
    nothing = Failure("there is no response")
    return [_line(first[row.sample_id], by_sample.get(row.sample_id, nothing)) for row in rows]


def _picture(interviewer: Interviewer, row: SampleRow) -> "Image.Image":
    picture = interviewer.picture(row.sample_id)
    assert picture is not None
    return picture


def _line(response: Response, found: TokenSeries | Failure) -> Dependence:
    if isinstance(found, TokenSeries):
        if np.isfinite(found.hellinger).all() and np.isfinite(found.difference).all():
            return Dependence.of(response.sample_id, response.generation, found)
        found = Failure("the model gives probabilities that are no numbers")
    return Dependence(
        sample_id=response.sample_id,
        generation=response.generation,
        image_id=response.image_id,
        left_out=found.reason,
        transient=found.transient,
    )


def _read_done(folder: RunFolder) -> PdmTable | None:
    path = folder.path / PDM
    if not path.exists():
        return None
    try:
        return PdmTable.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise UserError(
            f"{path}: is not a file this run wrote ({error.errors()[0]['msg']}); delete it to measure again"
        ) from error
