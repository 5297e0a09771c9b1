"""Forced orders of a run: `orders.jsonl` grows as the model continues turns, then `orders.json` is computed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from eidolon.benchmark.store.atomic import write_atomically
from eidolon.benchmark.store.batch_file import BatchFile, Key
from eidolon.benchmark.store.batch_writer import Stage, batch_by_batch, complete
from eidolon.benchmark.store.files import ORDERS, ORDERS_LINES, SCORES
from eidolon.benchmark.store.folder import RunFolder
from eidolon.benchmark.store.json_lines import read_lines
from eidolon.benchmark.store.record import SampleRow
from eidolon.benchmark.tasks.forget.forced_orders.design import (
    FRAME,
    MOST_NAMED,
    TurnDesign,
    TurnPrefix,
    make_design,
)
from eidolon.benchmark.tasks.forget.forced_orders.detail import SCHEMA, MissingTurns, OrdersDetail
from eidolon.benchmark.tasks.forget.measurement import Measurement, ModelSource, is_readable, read_document
from eidolon.benchmark.terminal.log import timed
from eidolon.models.base.model import ContinuingModel, Decoding, Request, ScoringModel, request_seed
from eidolon.scorers.core.judge import Judge
from eidolon.scorers.core.metric import JudgedSample
from eidolon.scorers.core.types import Response
from eidolon.scorers.core.verdict import with_verdicts
from eidolon.scorers.forgetting.forced_orders import WINDOW, ForcedTurn, ImageTruth, measure_orders, no_orders
from eidolon.scorers.judges.judged_text import judge_texts

TOKENS = 2 * WINDOW
"""The most tokens that a model may add to a turn. Any tokenizer needs fewer for the `WINDOW` words that are read."""


@dataclass(frozen=True, slots=True)
class OrderSettings:
    """How turns are begun, continued and judged."""

    prompt: str
    decoding: Decoding
    """The run's own, so that forced turns can be compared with the model's own descriptions."""
    judge: Judge
    batch_size: int
    resamples: int

    def config(self) -> dict[str, Any]:
        """Return the settings that the run's config does not hold elsewhere."""
        return {"frame": FRAME, "most_named": MOST_NAMED, "window": WINDOW, "tokens": TOKENS}


def force_orders(settings: OrderSettings, measurement: Measurement) -> OrdersDetail:
    """Complete both files, and return the content of `orders.json`.

    A model that cannot continue a given text gets a document that says so.

    Raises:
        UserError: a file is not one that this run wrote.
    """
    folder = measurement.folder
    finished = _read_finished(folder)
    if finished is not None and finished.signature == measurement.signature:
        return finished
    folder.forget(ORDERS, SCORES)
    model = measurement.source.scoring_model()
    missing: Mapping[str, int] = {}
    if (reason := _why_not(model, settings.decoding)) is not None:
        found = no_orders(reason)
    else:
        assert isinstance(model, ContinuingModel)
        readable = [row for row in measurement.rows if is_readable(measurement.source, row.sample_id)]
        design = make_design(readable, model)
        missing = design.missing
        turns = continue_turns(settings, measurement, design, model)
        with timed("orders measured", turns=len(turns)):
            found = measure_orders(
                turns,
                truths(measurement.rows),
                first_of_each(measurement.judged),
                seed=settings.decoding.seed,
                resamples=settings.resamples,
            )
    detail = OrdersDetail(
        schema=SCHEMA,
        signature=measurement.signature,
        frame=FRAME,
        window=WINDOW,
        missing=tuple(
            MissingTurns(images=images, reason=reason) for reason, images in sorted(missing.items())
        ),
        found=found,
    )
    write_atomically(folder.path / ORDERS, detail.to_json())
    return detail


def continue_turns(
    settings: OrderSettings, measurement: Measurement, design: TurnDesign, model: ContinuingModel
) -> Sequence[ForcedTurn]:
    """Complete `orders.jsonl`, and return all its records."""
    objects = {row.sample_id: row.objects for row in measurement.rows}
    turns = {(turn.sample_id, turn.number): turn for turn in design.turns}

    def continue_batch(keys: Sequence[Key]) -> list[ForcedTurn]:
        requests = [_request(turns[key], settings, measurement.source) for key in keys]
        responses = model.continue_replies(requests, [turns[key].tokens for key in keys])
        found = {(response.sample_id, response.generation): response for response in responses}
        return [_record(turns[key], found[key], settings.judge, objects[key[0]]) for key in keys]

    file = BatchFile(measurement.folder.path / ORDERS_LINES, ForcedTurn, [*turns], settings.batch_size)
    stage: Stage[ForcedTurn] = Stage(
        label=f"{measurement.name}, orders",
        tokens=lambda turn: turn.completion_tokens or 0,
        failed=lambda turn: turn.response is None,
        after_batch=lambda *_: measurement.count_usage(),
    )
    return complete(file, batch_by_batch("orders continued", "turns", continue_batch), stage)


def read_turn(turn: ForcedTurn, judge: Judge, objects: Sequence[str]) -> ForcedTurn:
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


def truths(rows: Sequence[SampleRow]) -> dict[str, ImageTruth]:
    """Return the true objects of each sample, with the share of the picture that each covers."""
    return {row.sample_id: ImageTruth(frozenset(row.objects), row.areas) for row in rows}


def first_of_each(judged: Sequence[JudgedSample]) -> dict[str, JudgedSample]:
    """Return the first judged response to each sample, by sample id."""
    return {sample.response.sample_id: sample for sample in reversed(judged)}


def _request(turn: TurnPrefix, settings: OrderSettings, source: ModelSource) -> Request:
    picture = source.picture(turn.sample_id)
    assert picture is not None
    # All turns of an image share a seed, so that chance adds less to the differences between them.
    seed = request_seed(settings.decoding.seed, turn.sample_id, 0)
    tokens = min(settings.decoding.max_new_tokens, TOKENS)
    decoding = replace(settings.decoding, max_new_tokens=tokens, seed=seed)
    return Request(turn.sample_id, turn.image_id, picture, settings.prompt, turn.number, decoding)


def _record(turn: TurnPrefix, response: Response, judge: Judge, objects: Sequence[str]) -> ForcedTurn:
    record = ForcedTurn(
        sample_id=turn.sample_id,
        generation=turn.number,
        image_id=turn.image_id,
        order=turn.order,
        late=turn.late,
        named=turn.named,
        given=turn.text,
        response=response.response,
        finish_reason=response.finish_reason,
        completion_tokens=response.completion_tokens,
        unscored=response.error,
        transient=response.transient and response.error is not None,
    )
    return read_turn(record, judge, objects)


def _why_not(model: ScoringModel, decoding: Decoding) -> str | None:
    """Return why turns cannot be continued, None if they can."""
    if decoding.contrast is not None:
        return (
            f"not with --decoding {decoding.contrast.name}: its weight counts the tokens that were generated"
        )
    if not isinstance(model, ContinuingModel):
        return "the model cannot continue a given text"
    return None


def _read_finished(folder: RunFolder) -> OrdersDetail | None:
    """Return the document of an earlier session, None if there is still something to continue."""
    finished, lines = read_document(folder.path / ORDERS, OrdersDetail), folder.path / ORDERS_LINES
    if finished is None:
        return None
    if not lines.exists():
        # Right only if there was nothing to continue.
        return None if finished.found.images + finished.found.incomplete else finished
    return None if any(turn.transient for turn in read_lines(lines, ForcedTurn)) else finished
