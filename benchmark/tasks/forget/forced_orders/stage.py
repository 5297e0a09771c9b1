"""Forced orders of a run: `orders.jsonl` as the model goes on, batch by batch, then `orders.json`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from PIL import Image
from pydantic import ValidationError

from eidolon.benchmark.store.atomic import write_atomically
from eidolon.benchmark.store.batch_file import BatchFile
from eidolon.benchmark.store.files import ORDERS, ORDERS_LINES
from eidolon.benchmark.store.folder import RunFolder
from eidolon.benchmark.store.record import SampleRow
from eidolon.benchmark.tasks.forget.forced_orders.design import FRAME, MOST_NAMED, TurnPrefix, make_design
from eidolon.benchmark.tasks.forget.forced_orders.detail import SCHEMA, Missing, OrdersDetail
from eidolon.benchmark.terminal.log import timed
from eidolon.benchmark.terminal.progress import meter
from eidolon.models.base.model import ContinuingModel, Decoding, Request, ScoringModel, request_seed
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.metric import JudgedSample
from eidolon.scorers.core.types import Judge, Response
from eidolon.scorers.core.verdict import with_verdicts
from eidolon.scorers.forgetting.forced_orders import WINDOW, ForcedTurn, Truth, measure_orders, no_orders

TOKENS = 2 * WINDOW
"""That a model may add to a turn: enough for the words that are looked at, in any tokens."""


@dataclass(frozen=True, slots=True)
class OrderSettings:
    """How turns are begun, gone on with and read."""

    prompt: str
    decoding: Decoding
    """Of the run, so that the orders may be held against the model's own descriptions."""
    judge: Judge
    batch_size: int
    resamples: int

    def config(self) -> dict[str, Any]:
        """Return what of it stands in the run's config beside what is there already."""
        return {"frame": FRAME, "most_named": MOST_NAMED, "window": WINDOW, "tokens": TOKENS}


class Company(Protocol):
    """Who goes on, and about which pictures."""

    def interviewee(self) -> ScoringModel:
        """Return the model, loaded."""
        ...

    def picture(self, sample_id: str) -> "Image.Image | None":
        """Return a sample's picture; raises whatever an unreadable one makes of it."""
        ...


def force_orders(
    settings: OrderSettings,
    folder: RunFolder,
    name: str,
    rows: Sequence[SampleRow],
    own: Sequence[JudgedSample],
    signature: str,
    company: Company,
) -> OrdersDetail:
    """Bring both files to their end, from wherever they are, and return the content of the second."""
    done = _read_done(folder)
    if done is not None and done.signature == signature:
        return done
    folder.forget(ORDERS)
    model = company.interviewee()
    missing: Mapping[str, int] = {}
    if (reason := _why_not(model, settings.decoding)) is not None:
        found = no_orders(reason)
    else:
        assert isinstance(model, ContinuingModel)
        readable = [row for row in rows if _is_readable(row.sample_id, company)]
        design = make_design(readable, model)
        missing = design.missing
        continued = go_on(settings, folder, name, design.turns, readable, model, company)
        with timed("orders measured", turns=len(continued)):
            found = measure_orders(
                continued,
                truths(rows),
                first_of_each(own),
                seed=settings.decoding.seed,
                resamples=settings.resamples,
            )
    detail = OrdersDetail(
        schema=SCHEMA,
        signature=signature,
        frame=FRAME,
        window=WINDOW,
        missing=tuple(Missing(images=images, reason=reason) for reason, images in sorted(missing.items())),
        found=found,
    )
    write_atomically(folder.path / ORDERS, detail.to_json())
    return detail


def go_on(
    settings: OrderSettings,
    folder: RunFolder,
    name: str,
    turns: Sequence[TurnPrefix],
    rows: Sequence[SampleRow],
    model: ContinuingModel,
    company: Company,
) -> Sequence[ForcedTurn]:
    """Let the model go on with what `orders.jsonl` lacks, batch by batch; return all turns."""
    objects = {row.sample_id: row.objects for row in rows}
    keys = [(turn.sample_id, turn.number) for turn in turns]
    lines = BatchFile(folder.path / ORDERS_LINES, ForcedTurn, keys, settings.batch_size)
    with meter(f"{name}, orders", len(keys), len(lines.records)) as progress:
        for batch in lines.batches:
            now = turns[lines.span(batch)]
            with timed("orders continued", batch=batch, turns=len(now)):
                requests = [_request(turn, settings, company) for turn in now]
                answers = {
                    (answer.sample_id, answer.generation): answer
                    for answer in model.continue_replies(requests, [turn.tokens for turn in now])
                }
                lines.append(
                    [
                        _line(turn, answers[turn.sample_id, turn.number], settings.judge, objects)
                        for turn in now
                    ]
                )
            tokens = sum((answer.completion_tokens or 0) for answer in answers.values())
            progress.advance(len(now), tokens, sum(answer.error is not None for answer in answers.values()))
    return lines.records


def read_turn(line: ForcedTurn, judge: Judge, objects: Sequence[str]) -> ForcedTurn:
    """Return the line with what the judge finds in the whole turn."""
    if line.response is not None and not line.response.startswith(line.given):
        return line.model_copy(update={"mentions": (), "unscored": "the turn does not begin as it was begun"})
    whole = Response(
        sample_id=line.sample_id,
        image_id=line.image_id,
        generation=line.generation,
        response=line.response,
        error=line.unscored if line.response is None else None,
    )
    (judgement,) = judge.judge([whole])
    judgement = with_verdicts(judgement, objects)
    return line.model_copy(update={"mentions": judgement.mentions, "unscored": judgement.unscored})


def truths(rows: Sequence[SampleRow]) -> dict[str, Truth]:
    """Return what is in each sample's picture."""
    return {row.sample_id: Truth(frozenset(row.objects), row.areas) for row in rows}


def first_of_each(judged: Sequence[JudgedSample]) -> dict[str, JudgedSample]:
    """Return the first response to each sample that could be judged."""
    return {sample.response.sample_id: sample for sample in reversed(judged)}


def _request(turn: TurnPrefix, settings: OrderSettings, company: Company) -> Request:
    picture = company.picture(turn.sample_id)
    assert picture is not None
    # All turns of an image draw alike: what differs between them is then less due to chance.
    seed = request_seed(settings.decoding.seed, turn.sample_id, 0)
    tokens = min(settings.decoding.max_new_tokens, TOKENS)
    decoding = replace(settings.decoding, max_new_tokens=tokens, seed=seed)
    return Request(turn.sample_id, turn.image_id, picture, settings.prompt, turn.number, decoding)


def _line(
    turn: TurnPrefix, answer: Response, judge: Judge, objects: Mapping[str, Sequence[str]]
) -> ForcedTurn:
    line = ForcedTurn(
        sample_id=turn.sample_id,
        generation=turn.number,
        image_id=turn.image_id,
        order=turn.order,
        late=turn.late,
        named=turn.named,
        given=turn.text,
        response=answer.response,
        finish_reason=answer.finish_reason,
        completion_tokens=answer.completion_tokens,
        unscored=answer.error,
    )
    return read_turn(line, judge, objects[turn.sample_id])


def _why_not(model: ScoringModel, decoding: Decoding) -> str | None:
    if decoding.contrast is not None:
        return (
            f"not with --decoding {decoding.contrast.name}: its weight counts the tokens that were generated"
        )
    if not isinstance(model, ContinuingModel):
        return "the model cannot go on from a given text"
    return None


def _is_readable(sample_id: str, company: Company) -> bool:
    try:
        return company.picture(sample_id) is not None
    except Exception:  # a broken file makes Pillow raise almost anything; its response says so already
        return False


def _read_done(folder: RunFolder) -> OrdersDetail | None:
    """Return what an earlier session brought to its end, None where it did not."""
    path = folder.path / ORDERS
    if not path.exists():
        return None
    try:
        done = OrdersDetail.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise UserError(
            f"{path}: is not a file this run wrote ({error.errors()[0]['msg']}); delete it to measure again"
        ) from error
    whole = (folder.path / ORDERS_LINES).exists() or not done.found.images + done.found.incomplete
    return done if whole else None
