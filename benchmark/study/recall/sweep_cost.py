"""What the trainings of `eidolon memory recall` cost on this machine, from a few steps of each memory."""

import statistics
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import jsonlines
from rich.table import Table

from eidolon.benchmark.engine.launch import refuse_launcher
from eidolon.benchmark.study.recall.published_task import make_published_sequences
from eidolon.benchmark.study.recall.sweep import (
    VALIDATION,
    make_sweep_batch,
    make_sweep_model,
    missing,
    sweep_memories,
)
from eidolon.benchmark.study.recall.sweep_recipe import RATES, SweepCell, SweepRecipe
from eidolon.benchmark.study.recall.sweep_records import read_records
from eidolon.benchmark.terminal.progress import duration
from eidolon.scorers.core.types import Record

STEPS = 3
"""Timed steps, after one that is not."""


class SweepCost(Record):
    """The time of the trainings of one memory in one setting."""

    cell: SweepCell
    step_seconds: float
    """Seconds of a training step."""
    sequence_seconds: float
    """Seconds to answer one sequence."""
    training_seconds: float
    """Seconds of a training that uses its whole budget, with its measurements on validation and test sequences."""
    left: int
    """Trainings without a record."""


def measure_costs(
    out: Path,
    layouts: Sequence[str],
    settings: Sequence[tuple[int, int]],
    seeds: Sequence[int],
    *,
    head_dims: Sequence[int] = (64,),
    rates: Sequence[float] = RATES,
    recipe: SweepRecipe | None = None,
) -> list[SweepCost]:
    """Time a few steps of each memory. Nothing is written to `out`, the folder of the records.

    Raises:
        UserError: an invalid layout, records of another recipe in `out`, or a launcher of several processes.
    """
    refuse_launcher("memory recall")
    recipe = recipe or SweepRecipe()
    seeds = tuple(dict.fromkeys(seeds))
    memories = sweep_memories(layouts, settings, head_dims, max(rates))
    records = read_records(out, recipe)
    return [
        measure_cost(recipe, memory, len(missing([memory], records, rates, seeds))) for memory in memories
    ]


def measure_cost(recipe: SweepRecipe, cell: SweepCell, left: int) -> SweepCost:
    """Time a few training steps, and the answers to one batch."""
    from eidolon.benchmark.study.recall.model import find_right
    from eidolon.models.training.loop import train_loop

    model = make_sweep_model(recipe, cell)
    with TemporaryDirectory() as folder:
        schedule = recipe.training(cell).model_copy(update={"length": 1 + STEPS})
        train_loop(model, make_sweep_batch(recipe, cell), schedule, Path(folder))
        with jsonlines.open(Path(folder) / "log.jsonl") as log:
            ends = [line["seconds"] for line in log.iter(type=dict)]
    step = statistics.median(b - a for a, b in pairwise(ends))
    asked = make_published_sequences(cell.task(recipe.vocabulary), recipe.batch_size, [VALIDATION])
    began = time.perf_counter()
    find_right(model, asked)
    answer = (time.perf_counter() - began) / recipe.batch_size
    checks = -(-recipe.steps // recipe.check_every)
    asked_sequences = checks * recipe.validation_sequences + recipe.test_sequences
    return SweepCost(
        cell=cell,
        step_seconds=step,
        sequence_seconds=answer,
        training_seconds=recipe.steps * step + asked_sequences * answer,
        left=left,
    )


def cost_table(costs: Sequence[SweepCost]) -> Table:
    """Return a table with a row for each memory and setting, and the sum of what is left."""
    total = sum(one.left * one.training_seconds for one in costs)
    table = Table(
        title="Trainings on this machine, if each uses its whole budget",
        title_justify="left",
        caption=f"all that is left: at most {duration(total)}",
        caption_justify="left",
    )
    for name in ("setting", "memory"):
        table.add_column(name)
    for name in ("a step", "a training", "left", "together"):
        table.add_column(name, justify="right")
    for one in costs:
        table.add_row(
            f"{one.cell.length}x{one.cell.pairs}",
            one.cell.label,
            f"{one.step_seconds:.2f} s",
            duration(one.training_seconds),
            str(one.left),
            duration(one.left * one.training_seconds),
        )
    return table
