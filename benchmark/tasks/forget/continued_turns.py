"""Turns that begin with a given text: how the model continues them, and how the judge reads them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from eidolon.benchmark.store.batch_file import BatchFile, Key
from eidolon.benchmark.store.batch_writer import Stage, batch_by_batch, complete
from eidolon.benchmark.store.json_lines import read_lines
from eidolon.benchmark.tasks.forget.measurement import Measurement
from eidolon.models.base.model import ContinuingModel, Decoding, ScoringModel
from eidolon.scorers.core.judge import Judge
from eidolon.scorers.core.types import Response
from eidolon.scorers.core.verdict import with_verdicts
from eidolon.scorers.forgetting.continued_turn import ContinuedTurn
from eidolon.scorers.forgetting.forced_orders import WINDOW
from eidolon.scorers.judges.judged_text import judge_texts

TOKENS = 2 * WINDOW
"""The most tokens that a model may add to a turn. Any tokenizer needs fewer for the `WINDOW` words that are read."""

TurnT = TypeVar("TurnT", bound=ContinuedTurn)


def why_not_continued(model: ScoringModel, decoding: Decoding) -> str | None:
    """Return why turns cannot be continued, None if they can."""
    if decoding.contrast is not None:
        return (
            f"not with --decoding {decoding.contrast.name}: its weight counts the tokens that were generated"
        )
    if not isinstance(model, ContinuingModel):
        return "the model cannot continue a given text"
    return None


def complete_turns(
    measurement: Measurement,
    label: str,
    file: BatchFile[TurnT],
    continue_batch: Callable[[Sequence[Key]], list[TurnT]],
) -> Sequence[TurnT]:
    """Complete a file of continued turns, and return all its records. `label` is for progress and the log."""
    stage: Stage[TurnT] = Stage(
        label=f"{measurement.name}, {label}",
        tokens=lambda turn: turn.completion_tokens or 0,
        failed=lambda turn: turn.response is None,
        after_batch=lambda *_: measurement.count_usage(),
    )
    return complete(file, batch_by_batch(f"{label} continued", "turns", continue_batch), stage)


def read_turn(turn: TurnT, judge: Judge, objects: Sequence[str]) -> TurnT:
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


def is_finished(lines: Path, form: type[ContinuedTurn], *, measured: int) -> bool:
    """Return whether nothing is left to continue for a document about `measured` images."""
    if not lines.exists():
        return not measured  # right only if there was nothing to continue
    return not any(turn.transient for turn in read_lines(lines, form))
