"""Interventions of a run: `interventions.jsonl` grows as the model continues changed turns, then
`interventions.json` is computed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from eidolon.benchmark.store.atomic import write_atomically
from eidolon.benchmark.store.batch_file import BatchFile, Key
from eidolon.benchmark.store.files import INTERVENTIONS, INTERVENTIONS_LINES, SCORES
from eidolon.benchmark.store.folder import RunFolder
from eidolon.benchmark.tasks.forget.continued_turns import (
    TOKENS,
    complete_turns,
    is_finished,
    read_turn,
    why_not_continued,
)
from eidolon.benchmark.tasks.forget.interventions.design import (
    AT,
    ChangedTurn,
    InterventionDesign,
    make_design,
)
from eidolon.benchmark.tasks.forget.interventions.detail import SCHEMA, InterventionsDetail, MissingChanges
from eidolon.benchmark.tasks.forget.measurement import (
    Measurement,
    ModelSource,
    first_of_each,
    is_readable,
    read_document,
    truths,
)
from eidolon.benchmark.terminal.log import timed
from eidolon.models.base.model import (
    ContinuingModel,
    Decoding,
    Request,
    ReshowingModel,
    request_seed,
)
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.judge import Judge
from eidolon.scorers.core.types import Response
from eidolon.scorers.forgetting.forced_orders import WINDOW
from eidolon.scorers.forgetting.interventions import InterventionTurn, measure_interventions, no_interventions

if TYPE_CHECKING:
    from PIL import Image

GREY = (128, 128, 128)
NOT_AGAIN = "the model cannot be shown its picture again"


@dataclass(frozen=True, slots=True)
class InterventionSettings:
    """How turns are changed, continued and judged."""

    prompt: str
    decoding: Decoding
    """The run's own."""
    judge: Judge
    batch_size: int
    resamples: int

    def config(self) -> dict[str, Any]:
        """Return the settings that the run's config does not hold elsewhere."""
        return {"at": list(AT), "window": WINDOW, "tokens": TOKENS}


def intervene(settings: InterventionSettings, measurement: Measurement) -> InterventionsDetail:
    """Complete both files, and return the content of `interventions.json`.

    A model that cannot continue a given text gets a document that says so.

    Raises:
        UserError: a file is not one that this run wrote.
    """
    folder = measurement.folder
    finished = _read_finished(folder)
    if finished is not None and finished.signature == measurement.signature:
        return finished
    folder.forget(INTERVENTIONS, SCORES)
    model = measurement.source.scoring_model()
    missing: tuple[MissingChanges, ...] = ()
    if (reason := why_not_continued(model, settings.decoding)) is not None:
        found = no_interventions(reason)
    else:
        assert isinstance(model, ContinuingModel)
        readable = [row for row in measurement.rows if is_readable(measurement.source, row.sample_id)]
        design = make_design(readable, first_of_each(measurement.judged), model, seed=settings.decoding.seed)
        missing = tuple(
            MissingChanges(at=at, images=images, reason=why)
            for at, reasons in sorted(design.missing.items())
            for why, images in sorted(reasons.items())
        )
        turns = _continue(settings, measurement, design, model)
        with timed("interventions measured", turns=len(turns)):
            found = measure_interventions(
                turns, truths(measurement.rows), seed=settings.decoding.seed, resamples=settings.resamples
            )
    detail = InterventionsDetail(
        schema=SCHEMA, signature=measurement.signature, window=WINDOW, missing=missing, found=found
    )
    write_atomically(folder.path / INTERVENTIONS, detail.to_json())
    return detail


def _continue(
    settings: InterventionSettings,
    measurement: Measurement,
    design: InterventionDesign,
    model: ContinuingModel,
) -> Sequence[InterventionTurn]:
    """Complete `interventions.jsonl`, and return all its records."""
    objects = {row.sample_id: row.objects for row in measurement.rows}
    turns = {(turn.sample_id, turn.number): turn for turn in design.turns}

    def continue_batch(keys: Sequence[Key]) -> list[InterventionTurn]:
        batch = [turns[key] for key in keys]
        again = [turn for turn in batch if turn.arm == "again"]
        once = [turn for turn in batch if turn.arm != "again"]
        found = _responses(model, once, settings, measurement.source, again=False)
        found |= _responses(model, again, settings, measurement.source, again=True)
        return [
            _record(turn, found[turn.sample_id, turn.number], settings.judge, objects[turn.sample_id])
            for turn in batch
        ]

    file = BatchFile(
        measurement.folder.path / INTERVENTIONS_LINES, InterventionTurn, [*turns], settings.batch_size
    )
    return complete_turns(measurement, "interventions", file, continue_batch)


def _responses(
    model: ContinuingModel,
    turns: Sequence[ChangedTurn],
    settings: InterventionSettings,
    source: ModelSource,
    *,
    again: bool,
) -> dict[Key, Response]:
    """Return the continuation of each turn by its key."""
    if not turns:
        return {}
    requests = [_request(turn, settings, source) for turn in turns]
    given = [turn.tokens for turn in turns]
    answers: Sequence[Response]
    if not again:
        answers = list(model.continue_replies(requests, given))
    elif not isinstance(model, ReshowingModel):
        answers = [_unanswered(request, NOT_AGAIN) for request in requests]
    else:
        try:
            answers = list(model.continue_reshown(requests, given))
        except UserError as error:  # the other arms do not need it
            answers = [_unanswered(request, str(error)) for request in requests]
    return {(answer.sample_id, answer.generation): answer for answer in answers}


def _unanswered(request: Request, reason: str) -> Response:
    return Response(
        sample_id=request.sample_id,
        image_id=request.image_id,
        generation=request.generation,
        response=None,
        finish_reason="error",
        error=reason,
    )


def _request(turn: ChangedTurn, settings: InterventionSettings, source: ModelSource) -> Request:
    # All turns of an image at one t share a seed, so that chance adds less to the differences between them.
    seed = request_seed(settings.decoding.seed, f"{turn.sample_id} {turn.at}", 0)
    tokens = min(settings.decoding.max_new_tokens, TOKENS)
    decoding = replace(settings.decoding, max_new_tokens=tokens, seed=seed)
    picture = _picture(turn, source)
    return Request(turn.sample_id, turn.image_id, picture, settings.prompt, turn.number, decoding)


def _picture(turn: ChangedTurn, source: ModelSource) -> "Image.Image":
    picture = source.picture(turn.donor or turn.sample_id)
    assert picture is not None
    if turn.arm != "blank":
        return picture
    from PIL import Image

    return Image.new("RGB", picture.size, GREY)


def _record(turn: ChangedTurn, response: Response, judge: Judge, objects: Sequence[str]) -> InterventionTurn:
    record = InterventionTurn(
        sample_id=turn.sample_id,
        generation=turn.number,
        image_id=turn.image_id,
        at=turn.at,
        tokens=len(turn.tokens),
        arm=turn.arm,
        donor=turn.donor,
        planted=turn.planted,
        given=turn.text,
        response=response.response,
        finish_reason=response.finish_reason,
        completion_tokens=response.completion_tokens,
        unscored=response.error,
        transient=response.transient and response.error is not None,
    )
    return read_turn(record, judge, objects)


def _read_finished(folder: RunFolder) -> InterventionsDetail | None:
    """Return the document of an earlier session, None if there is still something to continue."""
    finished = read_document(folder.path / INTERVENTIONS, InterventionsDetail)
    if finished is None:
        return None
    lines = folder.path / INTERVENTIONS_LINES
    return finished if is_finished(lines, InterventionTurn, measured=finished.found.images) else None
