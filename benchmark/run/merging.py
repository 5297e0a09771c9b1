"""The shards of a run, joined to the run that they are parts of: their files in order, and scores of all of them.

Only the files are read. Neither the dataset nor the model is needed.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from eidolon.benchmark.data.coco_licences import CSV, read_csv
from eidolon.benchmark.engine.coordinator import add_usages
from eidolon.benchmark.run.late_warnings import late_warnings
from eidolon.benchmark.run.shards import Shard, parse_shard
from eidolon.benchmark.settings.config import ConfigRecord
from eidolon.benchmark.store.atomic import file_hashes, write_once
from eidolon.benchmark.store.batch_file import BatchFile
from eidolon.benchmark.store.files import JUDGEMENTS, QUESTIONS, RUN, SCORES
from eidolon.benchmark.store.folder import RunFolder
from eidolon.benchmark.store.loaded import LoadedRun
from eidolon.benchmark.store.record import SampleRow, first_difference
from eidolon.benchmark.tasks.protocol import (
    JoinedShards,
    Producer,
    Results,
    Run,
    ShardedTask,
    Shown,
    Text,
    Work,
)
from eidolon.benchmark.tasks.registry import model_task
from eidolon.benchmark.tasks.rows import (
    BENCHMARK_ANSWERS,
    BENCHMARK_QUESTIONS,
    AskedRow,
    BenchmarkRow,
    QuestionRow,
)
from eidolon.benchmark.tasks.score_files.work import FileProducer
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import excerpt
from eidolon.scorers.core.scores import Scores
from eidolon.scorers.core.types import Judgement, Response

RowT = TypeVar("RowT", AskedRow, BenchmarkRow, QuestionRow)
DEPTH = 3
"""How far below a given folder shards are looked for: `OUT/shard-1-of-2/MODEL`, and one folder more."""


@dataclass(frozen=True, slots=True)
class ShardRun:
    """The run folder of one shard."""

    shard: Shard
    run: LoadedRun

    @property
    def path(self) -> Path:
        """The folder."""
        return self.run.path


def find_shards(paths: Sequence[Path]) -> dict[str, list[ShardRun]]:
    """Return the shards in folders and below them, by the name of their run folder, in order.

    Raises:
        UserError: there are none.
    """
    found: dict[str, list[ShardRun]] = {}
    for folder in dict.fromkeys(folder for path in paths for folder in _run_folders(path, DEPTH)):
        run = LoadedRun(folder)
        named = run.record.config.inputs.shard
        if named is not None and "," not in named:
            found.setdefault(folder.name, []).append(ShardRun(parse_shard(named), run))
    if not found:
        raise UserError(f"{', '.join(map(str, paths))}: no shards; eidolon run --shard K/N makes them")
    return {name: sorted(shards, key=lambda one: one.shard.number) for name, shards in sorted(found.items())}


def merge(name: str, shards: Sequence[ShardRun], out: Path, *, partial: bool = False) -> tuple[Run, Producer]:
    """Return the run that the shards are parts of, with a producer that has their responses.

    With `partial` shards may be missing or unfinished; the run then says which it has.

    Raises:
        UserError: the shards are not of one run, overlap, are incomplete, or were changed since they ended.
    """
    shards = _finished(name, shards, partial)
    first = shards[0]
    config = _common_config(shards)
    task = model_task(config.task)
    if not isinstance(task, ShardedTask):
        raise UserError(f"{first.path}: --task {config.task} cannot be done in shards")
    samples = tuple(row for one in shards for row in one.run.samples())
    responses = [response for one in shards for response in one.run.responses()]
    questions = _rows(shards, QUESTIONS, QuestionRow)
    _check_distinct(name, shards)
    keys = tuple((response.sample_id, response.generation) for response in responses)
    signature = first.run.signature.model_copy(update={"n": len(keys)})
    label = first.run.record.name
    joined = JoinedShards(
        label,
        config,
        signature,
        samples,
        keys,
        questions,
        asked=_rows(shards, BENCHMARK_QUESTIONS, AskedRow),
        read=_rows(shards, BENCHMARK_ANSWERS, BenchmarkRow),
    )
    warnings = _warnings(shards)
    if config.inputs.shard is not None:
        warnings.append(f"shards {config.inputs.shard} alone: the others are missing")
    run = Run(
        path=out / name,
        name=label,
        config=config,
        signature=signature,
        sample_ids=tuple(row.sample_id for row in samples),
        keys=keys,
        batch_size=first.run.record.batches["size"],
        work=_MergedWork(task.joined(joined), tuple(shards), samples, questions),
        warnings=tuple(warnings),
        attribution=tuple(dict.fromkeys(row for one in shards for row in read_csv(one.path / CSV))),
    )
    return run, _ShardProducer(responses, shards=tuple(shards))


@dataclass(frozen=True, slots=True)
class _ShardProducer(FileProducer):
    """Has the responses of the shards, and what their models said and used."""

    shards: tuple[ShardRun, ...] = field(default=(), kw_only=True)

    def produce(self, folder: RunFolder, responses: BatchFile[Response]) -> None:
        """Write the responses that are not there yet."""
        records = [one.run.record for one in self.shards]
        if records[0].model is not None:
            folder.describe_model(records[0].model)
        if (usage := add_usages(*(record.usage for record in records))) is not None:
            folder.count_usage({}, usage)
        FileProducer.produce(self, folder, responses)


@dataclass(frozen=True, slots=True)
class _MergedWork:
    """The task's work, on judgements that the shards have made."""

    inner: Work
    shards: tuple[ShardRun, ...]
    samples: tuple[SampleRow, ...]
    questions: tuple[QuestionRow, ...]

    def rows(self) -> Mapping[str, Text]:
        """Return the files that are known before anything is asked."""
        return self.inner.rows()

    def produce(self, folder: RunFolder, producer: Producer) -> Sequence[Response]:
        """Write the responses of the shards, and return them."""
        return self.inner.produce(folder, producer)

    def judge(self, folder: RunFolder, responses: Sequence[Response]) -> Sequence[Judgement]:
        """Write the judgements of the shards, and return them."""
        write_once(folder.path / JUDGEMENTS, lambda: "".join(self._texts(JUDGEMENTS)))
        return self.inner.judge(folder, responses)

    def score(self, responses: Sequence[Response], judgements: Sequence[Judgement]) -> Scores:
        """Compute the scores of all."""
        return self.inner.score(responses, judgements)

    def report(self, folder: RunFolder, results: Results, producer: Producer) -> Shown:
        """Return what the page shows."""
        return self.inner.report(folder, results, producer)

    def _texts(self, file: str) -> Iterator[str]:
        return ((one.path / file).read_text(encoding="utf-8") for one in self.shards)


def _warnings(shards: Sequence[ShardRun]) -> list[str]:
    """Return what was known before the answers of any shard, and what the tests of their judges showed.

    What follows from the answers of one shard alone is left out: it is found again for all of them.
    """
    first = shards[0].run
    found = late_warnings((), first.scores(), first.responses())
    kept = [text for text in first.record.warnings if "eidolon merge" not in text and text not in found]
    weak = [text for one in shards for text in one.run.record.judge_weaknesses]
    return [*dict.fromkeys((*kept, *weak))]


def _rows(shards: Sequence[ShardRun], file: str, kind: type[RowT]) -> tuple[RowT, ...]:
    """Return the lines of a file of all shards that have it."""
    return tuple(row for one in shards if one.run.has(file) for row in one.run.lines(file, kind))


def _finished(name: str, shards: Sequence[ShardRun], partial: bool) -> list[ShardRun]:
    """Return the shards that have ended.

    Raises:
        UserError: shards of different numbers, one twice, or, unless the merge is partial, one missing.
    """
    count = shards[0].shard.count
    seen: dict[int, ShardRun] = {}
    for one in shards:
        if one.shard.count != count:
            raise UserError(
                f"{one.path}: is shard {one.shard}, and {shards[0].path} is shard {shards[0].shard}; merge the "
                "shards of one run"
            )
        if one.shard.number in seen:
            raise UserError(
                f"{one.path}: is shard {one.shard}, as {seen[one.shard.number].path} is; give one of them"
            )
        seen[one.shard.number] = one
    ended = {
        number: one
        for number, one in seen.items()
        if one.run.record.status == "success" and one.run.has(SCORES)
    }
    missing = [number for number in range(1, count + 1) if number not in ended]
    if missing and not (partial and ended):
        listed = ", ".join(
            f"{number} ({'not finished' if number in seen else 'not found'})" for number in missing
        )
        raise UserError(
            f"{name}: of {count} shards, {len(missing)} are missing: {listed}; run their commands again, or give "
            "--partial to merge the others"
        )
    for one in ended.values():
        _check_unchanged(one)
    return [ended[number] for number in sorted(ended)]


def _check_unchanged(one: ShardRun) -> None:
    """Compare the files of a shard with the hashes that its record has of them."""
    recorded = one.run.record.files or {}
    for file, digest in file_hashes(one.path).items():
        if file in recorded and recorded[file] != digest:
            raise UserError(f"{one.path / file}: was changed since the shard ended; run its command again")


def _common_config(shards: Sequence[ShardRun]) -> ConfigRecord:
    """Return what the shards' records say decides the result, with the shards that are there if some are missing.

    Raises:
        UserError: two shards differ in it, in the batch size or in the model.
    """
    first = shards[0]
    whole = _deciding(first)
    for one in shards[1:]:
        if difference := first_difference(_deciding(one), whole):
            name, here, there = difference
            raise UserError(
                f"{one.path / RUN}: {name} is {excerpt(here)}, and {excerpt(there)} in {first.path / RUN}; merge the "
                "shards of one run"
            )
    present = ",".join(str(one.shard.number) for one in shards)
    named = None if len(shards) == first.shard.count else f"{present}/{first.shard.count}"
    config = first.run.record.config
    return config.model_copy(update={"inputs": config.inputs.model_copy(update={"shard": named})})


def _deciding(one: ShardRun) -> dict[str, object]:
    record = one.run.record
    config = record.config.model_dump(mode="json")
    config["inputs"].pop("shard")
    return {**config, "batches": {"size": record.batches["size"]}, "model": record.model}


def _check_distinct(name: str, shards: Sequence[ShardRun]) -> None:
    seen: dict[str, ShardRun] = {}
    for one in shards:
        for row in one.run.samples():
            if seen.setdefault(row.sample_id, one) is not one:
                raise UserError(
                    f"{name}: sample {excerpt(row.sample_id)} is in {one.path} and in {seen[row.sample_id].path}"
                )


def _run_folders(path: Path, depth: int) -> Iterator[Path]:
    """Yield the run folders at a path and below it."""
    if not path.is_dir():
        raise UserError(f"{path}: {'is a file, not a folder' if path.exists() else 'no such folder'}")
    if (path / RUN).is_file():
        yield path
    elif depth:
        for inner in sorted(path.iterdir()):
            if inner.is_dir() and not inner.is_symlink():
                yield from _run_folders(inner, depth - 1)
