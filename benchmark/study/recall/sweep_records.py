"""The records of `eidolon memory recall`: one file for each training, and `recall.json` about all of them."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import ConfigDict, Field, ValidationError

from eidolon.benchmark.study.recall.recipe import check_recipe
from eidolon.benchmark.study.recall.sweep_recipe import SweepCell, SweepRecipe
from eidolon.benchmark.study.recall.task import RecallEstimate
from eidolon.models.memory.innovation import refusal
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.types import Record

SCHEMA: Literal["eidolon/recall/1"] = "eidolon/recall/1"
SUMMARY, PLOT = "recall.json", "recall.png"
Stop = Literal["saturated", "budget", "behind", "diverged"]


class RecallRecord(Record):
    """One finished training."""

    model_config = ConfigDict(allow_inf_nan=False)

    recipe: SweepRecipe
    cell: SweepCell
    parameters: int
    state_bytes: int
    """Bytes of the memory after a sequence."""
    sequences: int
    """Training sequences until it stopped."""
    stopped: Stop
    """`saturated`: recall of the validation sequences reached the recipe's bound. `budget`: the sequences were used up.
    `behind`: another learning rate was ahead by the recipe's bound after as many sequences (`given_up`), or had
    saturated after as many sequences. `diverged`: the loss was no finite number any more; its rate is not chosen if
    another one did not diverge, and a memory with such a seed is not reported."""
    seconds: float
    """Time of the training. The machine may have had other work."""
    validation: tuple[tuple[int, float], ...]
    """Training sequences so far, and recall of the validation sequences."""
    test: RecallEstimate
    """Recall of the test sequences, with an interval over sequences."""
    predictor_r_squared: tuple[float, ...] | None = None
    """R² of the predictor of each layer with a store. Null without a store, or if it is no finite number."""

    @property
    def refused(self) -> str | None:
        """The reason why the result is not reported, None if it is."""
        if self.stopped == "diverged":
            return f"the training with seed {self.cell.seed} diverged after {self.sequences} sequences"
        return refusal(self.cell.layout, None, self.predictor_r_squared)


class SweptMemory(Record):
    """A memory in one setting: the best learning rate and the recall of its seeds."""

    label: str
    length: int
    pairs: int
    state_bytes: int
    parameters: int
    rates_tried: tuple[float, ...]
    """On the seed with the most rates, the smallest of equal ones."""
    learning_rate: float
    """The best rate: the highest recall of the validation sequences, and of equal ones the one with fewer training
    sequences."""
    seeds: tuple[int, ...]
    recall: tuple[float, ...] | None
    """Recall of the test sequences by seed, with this rate. Null if it is not reported."""
    sequences: tuple[int, ...]
    """Training sequences by seed."""
    predictor_r_squared: tuple[tuple[float, ...] | None, ...] | None = None
    """By seed, then by layer. Null without a store."""
    not_reported: str | None = None
    """The reason."""

    @property
    def mean(self) -> float | None:
        """Mean recall of the seeds."""
        return None if self.recall is None else float(np.mean(self.recall))


class RecallSweep(Record):
    """The content of `recall.json`."""

    model_config = ConfigDict(allow_inf_nan=False)

    schema_: Literal["eidolon/recall/1"] = Field(alias="schema")
    recipe: SweepRecipe
    memories: tuple[SweptMemory, ...]
    missing: tuple[str, ...]
    """Trainings of the command that have no record yet."""

    def to_json(self) -> str:
        """Return the text of the file."""
        return self.model_dump_json(by_alias=True, indent=1) + "\n"


def given_up(rival: RecallRecord, sequences: int, recall: float) -> bool:
    """Return whether a training with this recall after so many sequences ends, given a finished one of another rate."""
    ahead = dict(rival.validation).get(sequences, 0.0) - recall
    if rival.stopped == "saturated":
        return ahead > rival.recipe.behind
    return (
        rival.stopped == "budget" and 2 * sequences >= rival.recipe.budget and ahead > rival.recipe.far_behind
    )


def read_records(folder: Path, recipe: SweepRecipe) -> dict[SweepCell, RecallRecord]:
    """Return the finished trainings of a folder.

    Raises:
        UserError: a record cannot be read, or has another recipe.
    """
    found: dict[SweepCell, RecallRecord] = {}
    for path in sorted(folder.glob("*-seed*.json")):
        try:
            record = RecallRecord.model_validate_json(path.read_bytes())
        except (ValidationError, OSError) as error:
            raise UserError(f"{path}: cannot be read; remove it ({type(error).__name__})") from error
        check_recipe(path, record.recipe, recipe)
        found[record.cell] = record
    return found


def best_rate(records: Sequence[RecallRecord]) -> RecallRecord:
    """Return the training with the best rate among those of one memory, setting and seed.

    The rates count from the largest, as they are trained: the highest recall of the validation sequences, and of equal
    ones the fewest training sequences. A rate that should have been given up does not count. If the best one before it
    was not finished when it was trained, in another process, it was not given up in time.
    """
    best, *others = sorted(records, key=lambda one: -one.cell.learning_rate)
    for one in others:
        late = best.stopped == "saturated" and one.sequences > best.sequences
        if not late and not any(given_up(best, *point) for point in one.validation):
            best = max(best, one, key=lambda two: (two.validation[-1][1], -two.sequences))
    return best


def summarise_sweep(
    recipe: SweepRecipe,
    records: dict[SweepCell, RecallRecord],
    missing: Sequence[str],
) -> RecallSweep:
    """Return the content of `recall.json`."""
    groups: dict[tuple[int, int, str], list[RecallRecord]] = {}
    for record in records.values():
        cell = record.cell
        groups.setdefault((cell.length, cell.pairs, cell.label), []).append(record)
    memories = [_swept(*key, own) for key, own in sorted(groups.items())]
    return RecallSweep(schema=SCHEMA, recipe=recipe, memories=tuple(memories), missing=tuple(missing))


def _swept(length: int, pairs: int, label: str, records: Sequence[RecallRecord]) -> SweptMemory:
    rates = Counter(one.cell.seed for one in records)
    seed = min(rates, key=lambda one: (-rates[one], one))
    swept = [one for one in records if one.cell.seed == seed]
    best = best_rate(swept)
    rate = best.cell.learning_rate
    own = sorted((one for one in records if one.cell.learning_rate == rate), key=lambda one: one.cell.seed)
    stored = [one.predictor_r_squared for one in own]
    reason = next((one.refused for one in own if one.refused is not None), None)
    return SweptMemory(
        label=label,
        length=length,
        pairs=pairs,
        state_bytes=best.state_bytes,
        parameters=best.parameters,
        rates_tried=tuple(sorted(one.cell.learning_rate for one in swept)),
        learning_rate=rate,
        seeds=tuple(one.cell.seed for one in own),
        recall=None if reason else tuple(one.test.value for one in own),
        sequences=tuple(one.sequences for one in own),
        predictor_r_squared=tuple(stored) if any(stored) else None,
        not_reported=reason,
    )
