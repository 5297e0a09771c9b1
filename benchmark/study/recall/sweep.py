"""`eidolon memory recall`: associative recall at published sizes, each memory with its best learning rate.

`OUT/SLUG.json` is a finished training, `OUT/recall.json` and `OUT/recall.png` are about all of them. `WORK/SLUG/` has
the state of a training that is not finished. The same command again continues; finished trainings are not repeated.
Several processes may run it with the same folders: each takes the trainings that no other works on.
"""

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console

from eidolon.benchmark.engine.launch import refuse_launcher
from eidolon.benchmark.store.atomic import write_atomically
from eidolon.benchmark.store.lock import claimed
from eidolon.benchmark.study.folders import make_folders
from eidolon.benchmark.study.recall.published_task import make_published_sequences
from eidolon.benchmark.study.recall.sweep_plot import draw_sweep
from eidolon.benchmark.study.recall.sweep_recipe import RATES, SweepCell, SweepRecipe
from eidolon.benchmark.study.recall.sweep_records import (
    PLOT,
    SUMMARY,
    RecallRecord,
    RecallSweep,
    Stop,
    best_rate,
    given_up,
    read_records,
    summarise_sweep,
)
from eidolon.benchmark.study.recall.task import measure_recall
from eidolon.models.memory.layout import parse_layout_option
from eidolon.scorers.core.errors import UserError

if TYPE_CHECKING:
    import torch

    from eidolon.benchmark.study.recall.model import LinkedRecallModel

LOCKS = "locks"
"""The folder of the locks in the folder of the trainings."""
TRAINING, VALIDATION, TESTING = 11, 12, 13
"""First numbers of the seeds of the sequences. They are the same for all models."""


def run_sweep(
    out: Path,
    work: Path,
    layouts: Sequence[str],
    settings: Sequence[tuple[int, int]],
    seeds: Sequence[int],
    *,
    head_dims: Sequence[int] = (64,),
    rates: Sequence[float] = RATES,
    recipe: SweepRecipe | None = None,
    train: bool = True,
) -> RecallSweep:
    """Train what has no record yet, one training after the other, and write `recall.json`.

    Each memory is swept over the rates on the first seed, from the largest, then trained with the best rate on the
    others. Without `train`, only `recall.json` is written.

    Raises:
        UserError: an invalid layout, a folder that cannot be written, records of another recipe in it, or a launcher of
            several processes.
    """
    refuse_launcher("memory recall")
    recipe = recipe or SweepRecipe()
    rates = sorted(rates, reverse=True)
    seeds = tuple(dict.fromkeys(seeds))
    memories = sweep_memories(layouts, settings, head_dims, rates[0])
    make_folders(out, work)
    console = Console(stderr=True)

    def read() -> dict[SweepCell, RecallRecord]:
        return read_records(out, recipe)

    def summarise() -> RecallSweep:
        """Write `recall.json` and its plot from the records. One process at a time."""
        with claimed(work / LOCKS, wait=True):
            records = read()
            sweep = summarise_sweep(recipe, records, missing(memories, records, rates, seeds))
            write_atomically(out / SUMMARY, sweep.to_json())
            drawn = draw_sweep(sweep)
            if drawn is not None:
                write_atomically(out / PLOT, drawn)
        return sweep

    def finish(cell: SweepCell, rival: RecallRecord | None) -> bool:
        """Train a cell and write its record, unless another process works on it or did. Return whether it was done."""
        with claimed(work / LOCKS / cell.slug) as mine:
            if not mine:
                console.print(f"{cell.slug}: another process works on it", highlight=False)
                return False
            if cell in read():
                return True
            console.print(cell.slug, highlight=False)
            record = run_training(recipe, cell, work / cell.slug, rival)
            write_atomically(out / f"{cell.slug}.json", record.model_dump_json(indent=1) + "\n")
            shutil.rmtree(work / cell.slug, ignore_errors=True)
        summarise()
        console.print(f"  recall {record.test.value}, {record.sequences} sequences", highlight=False)
        return True

    def advance(memory: SweepCell) -> bool:
        """Train what a memory lacks. Return whether anything was done."""
        done = [finish(cell, rival) for cell, rival in trainings(memory, read, rates, seeds)]
        return any(done)

    # Once more after a pass that did something: another process may have completed what this one waited for.
    busy = train
    while busy:
        passes = [advance(memory) for memory in memories]
        busy = any(passes)
    return summarise()


def sweep_memories(
    layouts: Sequence[str], settings: Sequence[tuple[int, int]], head_dims: Sequence[int], rate: float
) -> list[SweepCell]:
    """Return the cell of each memory in each setting with one rate, each once.

    Raises:
        UserError: an invalid layout, or an odd size of a head.
    """
    if odd := next((dim for dim in head_dims if dim % 2), None):
        raise UserError(f"--head-dim {odd}: must be even")
    parsed = [parse_layout_option("--layout", layout) for layout in layouts]
    cells = [
        SweepCell(layout=layout, length=length, pairs=pairs, head_dim=dim, learning_rate=rate)
        for length, pairs in settings
        for dim in head_dims
        for layout in parsed
    ]
    return list(dict.fromkeys(cells))


def trainings(
    memory: SweepCell,
    read: Callable[[], dict[SweepCell, RecallRecord]],
    rates: Sequence[float],
    seeds: Sequence[int],
) -> Iterator[tuple[SweepCell, RecallRecord | None]]:
    """Yield the trainings of a memory that have no record. With a further rate comes the best finished one so far.

    `read` returns the records. The seeds come only when all rates have one.
    """
    swept = [memory.model_copy(update={"learning_rate": rate, "seed": seeds[0]}) for rate in rates]
    for cell in swept:
        records = read()
        if cell not in records:
            done = [records[one] for one in swept if one in records and records[one].stopped != "diverged"]
            yield cell, best_rate(done) if done else None
    records = read()
    if any(cell not in records for cell in swept):
        return
    best = best_rate([records[cell] for cell in swept]).cell
    for seed in seeds[1:]:
        cell = best.model_copy(update={"seed": seed})
        if cell not in read():
            yield cell, None


def missing(
    memories: Sequence[SweepCell],
    records: dict[SweepCell, RecallRecord],
    rates: Sequence[float],
    seeds: Sequence[int],
) -> list[str]:
    """Return what has no record yet: rates by name, and further seeds of the best rate."""
    absent = []
    for memory in memories:
        swept = [memory.model_copy(update={"learning_rate": rate, "seed": seeds[0]}) for rate in rates]
        open_rates = [cell for cell in swept if cell not in records]
        absent += [cell.slug for cell in open_rates]
        if open_rates:
            absent += [
                f"{memory.length}x{memory.pairs} {memory.label} best rate, seed {n}" for n in seeds[1:]
            ]
            continue
        best_cell = best_rate([records[cell] for cell in swept]).cell
        for seed in seeds[1:]:
            cell = best_cell.model_copy(update={"seed": seed})
            absent += [cell.slug] if cell not in records else []
    return absent


def make_sweep_model(recipe: SweepRecipe, cell: SweepCell) -> "LinkedRecallModel":
    """Return the model of a training with random weights of its seed."""
    import torch

    from eidolon.benchmark.study.recall.model import LinkedRecallModel

    torch.manual_seed(cell.seed)
    return LinkedRecallModel(recipe.memory(cell), recipe.vocabulary, recipe.width, recipe.inner)


def make_sweep_batch(
    recipe: SweepRecipe, cell: SweepCell
) -> "Callable[[int, int, int], dict[str, torch.Tensor]]":
    """Return the function that makes the batch of a step. It is the same for all models."""
    from eidolon.benchmark.study.recall.model import tensors

    task = cell.task(recipe.vocabulary)

    def batch(step: int, rank: int, world: int) -> dict[str, "torch.Tensor"]:
        return tensors(make_published_sequences(task, recipe.batch_size, [TRAINING, step]))

    return batch


def run_training(
    recipe: SweepRecipe, cell: SweepCell, folder: Path, rival: RecallRecord | None = None
) -> RecallRecord:
    """Train one model and return its record. A training that was stopped is resumed.

    It ends when the model saturates, when its sequences are used up, or when it is behind `rival`, a finished training
    with another rate (`given_up`).
    """
    from eidolon.benchmark.study.recall.model import find_right
    from eidolon.models.memory.innovation import predictors_r_squared, rounded_r_squared
    from eidolon.models.training.loop import DivergedError, train_loop

    model = make_sweep_model(recipe, cell)
    task = cell.task(recipe.vocabulary)
    folder.mkdir(parents=True, exist_ok=True)
    training = recipe.training(cell)
    batch = make_sweep_batch(recipe, cell)
    held_out = make_published_sequences(task, recipe.validation_sequences, [VALIDATION])
    limit = rival.sequences if rival is not None and rival.stopped == "saturated" else None
    most = recipe.steps if limit is None else limit // recipe.batch_size
    validation = _Progress(folder / "validation.txt")

    def ended(step: int, recall: float) -> bool:
        if recall >= recipe.saturated:
            return True
        return rival is not None and given_up(rival, step * recipe.batch_size, recall)

    def stop(step: int) -> bool:
        if step % recipe.check_every and step != most:
            return False
        recall = float(find_right(model, held_out).mean())
        model.train()
        validation.add(step, recall)
        return ended(step, recall)

    # A session that was killed after the end, before its record was written, trains no further.
    done = next((step for step, recall in validation.lines if ended(step, recall)), most)
    identity = {"recipe": recipe.model_dump(mode="json"), "cell": cell.model_dump(mode="json")}
    try:
        report = train_loop(model, batch, training, folder, stop_at=done, stop=stop, identity=identity)
        steps, seconds, parameters = report.steps, report.seconds, report.parameters
        stopped: Stop = "budget" if limit is None and steps == recipe.steps else "behind"
        if validation.lines[-1][1] >= recipe.saturated:
            stopped = "saturated"
    except DivergedError as error:
        steps, seconds, parameters = error.step, error.seconds, error.parameters
        stopped = "diverged"
        validation.add(steps, 0.0)
    test = make_published_sequences(task, recipe.test_sequences, [TESTING])
    right: list[np.ndarray] = []
    r_squared = predictors_r_squared(model, lambda: right.append(find_right(model, test)))
    measured = measure_recall(right[0])
    assert measured is not None
    return RecallRecord(
        recipe=recipe,
        cell=cell,
        parameters=parameters,
        state_bytes=model.state_bytes(cell.length),
        sequences=steps * recipe.batch_size,
        stopped=stopped,
        seconds=round(seconds, 1),
        validation=tuple((n * recipe.batch_size, round(value, 4)) for n, value in validation.lines),
        test=measured,
        predictor_r_squared=rounded_r_squared(r_squared),
    )


class _Progress:
    """The measurements of a training so far, in a file beside its state."""

    def __init__(self, path: Path) -> None:
        self._path = path
        text = path.read_text() if path.exists() else ""
        parts = [line.split() for line in text.splitlines()]
        self.lines = [(int(step), float(value)) for step, value in parts]

    def add(self, step: int, recall: float) -> None:
        """Add a measurement. Later ones, of a session that was stopped before it saved its state, are replaced."""
        self.lines = [*(line for line in self.lines if line[0] < step), (step, recall)]
        write_atomically(self._path, "".join(f"{n} {value:.6f}\n" for n, value in self.lines))
