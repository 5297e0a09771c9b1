"""A shard of a run: the part of its samples that one job of a batch system does, with the batches of the whole run.

A shard begins and ends where a batch does, so that every request is answered beside the same others as in one run.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import gcd, lcm
from pathlib import Path

from eidolon.benchmark.engine.generation import LARGEST_BATCH
from eidolon.benchmark.settings.fields import AUTO, MAX_PROCESSES
from eidolon.benchmark.settings.run import RunSettings
from eidolon.benchmark.tasks.protocol import ModelTask, Questions, ShardedTask
from eidolon.scorers.core.errors import UserError

FLAG = "--shard"
_SHARD = re.compile(r"([0-9]{1,5})/([0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class Shard:
    """Shard `number`, from 1, of `count`."""

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def folder(self, out: Path) -> Path:
        """Return where the run folders of this shard are, below the folder of the whole run."""
        return out / f"shard-{self.number}-of-{self.count}"


def parse_shard(text: str) -> Shard:
    """Return the shard that a text names.

    Raises:
        UserError: it is not K/N with K from 1 to N.
    """
    found = _SHARD.fullmatch(text)
    shard = Shard(int(found[1]), int(found[2])) if found else Shard(0, 0)
    if not 1 <= shard.number <= shard.count <= MAX_PROCESSES:
        raise UserError(
            f"{FLAG} {text}: must be K/N, shard K from 1 to N, of N up to {MAX_PROCESSES}, as 2/8"
        )
    return shard


def find_shard(settings: RunSettings, task: ModelTask) -> Shard | None:
    """Return the shard that the settings ask for, None for the whole run.

    Raises:
        UserError: there is no such shard, or the task cannot be done in shards.
    """
    if settings.shard is None:
        return None
    if not isinstance(task, ShardedTask):
        raise UserError(f"{FLAG} {settings.shard}: --task {task.name} cannot be done in shards; leave it out")
    return parse_shard(settings.shard)


def part_of(questions: Questions, shard: Shard, settings: RunSettings, preferred: Iterable[int]) -> Questions:
    """Return a shard of the questions of a run.

    `preferred` are the batch sizes that the models' backends prefer.

    Raises:
        UserError: there are fewer parts of whole batches than shards.
    """
    auto = settings.batch_size == AUTO
    # A model that finds its batch size takes all of the largest batch, half of it, a quarter, …
    batch = lcm(LARGEST_BATCH, *preferred) if auto else int(settings.batch_size)
    unit = batch // gcd(batch, questions.generations)
    names = [*questions.asked]
    units = -(-len(names) // unit)
    if units < shard.count:
        hint = f"give a --batch-size below {batch}, or " if auto or batch > 1 else ""
        raise UserError(
            f"{FLAG} {shard}: {len(names)} samples make {units} parts of whole batches; {hint}at most {units} shards"
        )
    first, last = (units * number // shard.count * unit for number in (shard.number - 1, shard.number))
    chosen = set(names[first:last])
    return replace(
        questions,
        asked={name: questions.asked[name] for name in names[first:last]},
        samples=tuple(row for row in questions.samples if row.sample_id in chosen),
        asked_by_all=questions.asked,
    )


def warning(shard: str) -> str:
    """Return what the report says of the scores of a shard."""
    return f"these are the scores of shard {shard} alone; eidolon merge joins the shards"
