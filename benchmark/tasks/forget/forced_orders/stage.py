"""Forced orders of a run: `orders.jsonl` grows as the model continues turns, then `orders.json` is computed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from eidolon.benchmark.store.atomic import write_atomically
from eidolon.benchmark.store.batch_file import BatchFile, Key
from eidolon.benchmark.store.files import ORDERS, ORDERS_LINES, SCORES
from eidolon.benchmark.store.folder import RunFolder
from eidolon.benchmark.tasks.forget.continued_turns import (
    TOKENS,
    complete_turns,
    is_finished,
    read_turn,
    why_not_continued,
)
from eidolon.benchmark.tasks.forget.forced_orders.design import (
    FRAME,
    MOST_NAMED,
    TurnDesign,
    TurnPrefix,
    make_design,
)
from eidolon.benchmark.tasks.forget.forced_orders.detail import SCHEMA, MissingTurns, OrdersDetail
from eidolon.benchmark.tasks.forget.measurement import (
    Measurement,
    ModelSource,
    first_of_each,
    is_readable,
    read_document,
    truths,
)
from eidolon.benchmark.terminal.log import timed
from eidolon.models.base.model import ContinuingModel, Decoding, Request, request_seed
from eidolon.scorers.core.judge import Judge
from eidolon.scorers.core.types import Response
from eidolon.scorers.forgetting.forced_orders import WINDOW, ForcedTurn, measure_orders, no_orders


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
    if (reason := why_not_continued(model, settings.decoding)) is not None:
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
    return complete_turns(measurement, "orders", file, continue_batch)


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


def _read_finished(folder: RunFolder) -> OrdersDetail | None:
    """Return the document of an earlier session, None if there is still something to continue."""
    finished = read_document(folder.path / ORDERS, OrdersDetail)
    if finished is None:
        return None
    measured = finished.found.images + finished.found.incomplete
    return finished if is_finished(folder.path / ORDERS_LINES, ForcedTurn, measured=measured) else None
