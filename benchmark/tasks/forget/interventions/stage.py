"""Interventions of a run: `interventions.jsonl` grows as the model continues changed turns, then
`interventions.json` is computed."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from eidolon.benchmark.store.atomic import write_atomically
from eidolon.benchmark.store.batch_file import BatchFile, Key
from eidolon.benchmark.store.batch_writer import Stage, batch_by_batch, complete
from eidolon.benchmark.store.files import INTERVENTIONS, INTERVENTIONS_LINES, SCORES
from eidolon.benchmark.store.folder import RunFolder
from eidolon.benchmark.store.json_lines import read_lines
from eidolon.benchmark.tasks.forget.forced_orders.stage import TOKENS, first_of_each, truths
from eidolon.benchmark.tasks.forget.interventions.design import (
    AT,
    ChangedTurn,
    InterventionDesign,
    make_design,
)
from eidolon.benchmark.tasks.forget.interventions.detail import SCHEMA, InterventionsDetail, MissingChanges
from eidolon.benchmark.tasks.forget.measurement import Measurement, ModelSource, is_readable, read_document
from eidolon.benchmark.terminal.log import timed
from eidolon.models.base.model import (
    ContinuingModel,
    Decoding,
    Request,
    ReshowingModel,
    ScoringModel,
    request_seed,
)
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.judge import Judge
from eidolon.scorers.core.types import Response
from eidolon.scorers.core.verdict import with_verdicts
from eidolon.scorers.forgetting.forced_orders import WINDOW
from eidolon.scorers.forgetting.interventions import InterventionTurn, measure_interventions, no_interventions
from eidolon.scorers.judges.judged_text import judge_texts

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
    if (reason := _why_not(model, settings.decoding)) is not None:
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


def read_changed(turn: InterventionTurn, judge: Judge, objects: Sequence[str]) -> InterventionTurn:
    """Return the turn with the mentions that the judge finds in all of its text, and their verdicts."""
    if turn.response is not None and not turn.response.startswith(turn.given):
        return turn.model_copy(update={"mentions": (), "unscored": "the turn does not begin as it was begun"})
    whole = Response(
        sample_id=turn.sample_id,
        image_id=turn.image_id,
        generation=turn.generation,
        response=turn.response,
        error=turn.unscored if turn.response is None else None,
    )
    (judgement,) = judge_texts(judge, [whole])
    judgement = with_verdicts(judgement, objects)
    return turn.model_copy(update={"mentions": judgement.mentions, "unscored": judgement.unscored})


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
    stage: Stage[InterventionTurn] = Stage(
        label=f"{measurement.name}, interventions",
        tokens=lambda turn: turn.completion_tokens or 0,
        failed=lambda turn: turn.response is None,
        after_batch=lambda *_: measurement.count_usage(),
    )
    return complete(file, batch_by_batch("interventions continued", "turns", continue_batch), stage)


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
    return read_changed(record, judge, objects)


def _why_not(model: ScoringModel, decoding: Decoding) -> str | None:
    """Return why turns cannot be continued, None if they can."""
    if decoding.contrast is not None:
        return (
            f"not with --decoding {decoding.contrast.name}: its weight counts the tokens that were generated"
        )
    if not isinstance(model, ContinuingModel):
        return "the model cannot continue a given text"
    return None


def _read_finished(folder: RunFolder) -> InterventionsDetail | None:
    """Return the document of an earlier session, None if there is still something to continue."""
    finished = read_document(folder.path / INTERVENTIONS, InterventionsDetail)
    lines = folder.path / INTERVENTIONS_LINES
    if finished is None:
        return None
    if not lines.exists():
        return None if finished.found.images else finished
    return None if any(turn.transient for turn in read_lines(lines, InterventionTurn)) else finished
