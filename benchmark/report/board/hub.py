"""The leaderboard as evaluation results of the Hugging Face Hub: `.eval_results/*.yaml`, a file for each run.

A model's repository holds these files, and the Hub collects their values on the leaderboard of the benchmark's dataset.
The format is that of https://huggingface.co/docs/hub/eval-results, which `huggingface_hub.EvalResultEntry` reads too: a
list of entries with `dataset.id`, `dataset.task_id` and `value`; `notes` says how the value was measured.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from eidolon.benchmark.report.board.groups import (
    Group,
    bounds_text,
    estimate_of,
    groups_of,
    heading,
    number_text,
)
from eidolon.benchmark.report.leaderboard import HEADLINES, Leaderboard, Row, dataset_of
from eidolon.benchmark.store.atomic import write_atomically
from eidolon.benchmark.terminal.safe_text import one_line
from eidolon.scorers.core.errors import UserError

FOLDER = ".eval_results"
DEFAULT_TASK = "default"
_DATASET = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
_TASK = re.compile(r"[\w.-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Benchmark:
    """Where the Hub shows the values."""

    dataset: str
    """The dataset's repository, `ORG/NAME`. The Hub has it registered as a benchmark."""
    task: str = DEFAULT_TASK
    """The id of a task in the dataset's `eval.yaml`."""

    def __post_init__(self) -> None:
        """Check the names.

        Raises:
            UserError: a name is none of the Hub.
        """
        if not _DATASET.fullmatch(self.dataset):
            raise UserError(
                f"--hub-dataset {one_line(self.dataset)}: is no dataset of the Hub; write ORG/NAME"
            )
        if not _TASK.fullmatch(self.task):
            raise UserError(
                f"--hub-task {one_line(self.task)}: write the id of a task in the dataset's eval.yaml"
            )


def write_results(
    leaderboard: Leaderboard, folder: Path, benchmark: Benchmark
) -> tuple[list[Path], list[str]]:
    """Write `FOLDER/MODEL/.eval_results/RUN.yaml` for each run, and return the files and the runs that have none.

    A run whose headline is undefined, or that has warnings, has no file: the second list says why.

    Raises:
        UserError: the runs are of several datasets or tasks, or a file cannot be written.
    """
    of = dict.fromkeys(f"{row.task} on {dataset_of(row)}" for row in leaderboard.rows)
    if len(of) > 1:
        raise UserError(
            f"--hub-dataset {benchmark.dataset}: the runs are {one_line(', '.join(of))}; "
            "give the runs of one task and dataset"
        )
    written: list[Path] = []
    left_out: list[str] = []
    for group in groups_of(leaderboard):
        for row in group.rows:
            entry = _entry(row, group, benchmark)
            if isinstance(entry, str):
                left_out.append(f"{one_line(row.name)}: {entry}")
                continue
            path = _free(folder / _slug(row.name) / FOLDER, _slug(Path(row.run).name), written)
            text = yaml.safe_dump([entry], sort_keys=False, allow_unicode=True, width=100)
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(path, text)
            except OSError as error:
                raise UserError(f"--hub {path}: cannot be written ({error.strerror})") from error
            written.append(path)
    return written, left_out


def _entry(row: Row, group: Group, benchmark: Benchmark) -> dict[str, Any] | str:
    """Return the entry of a row, or why there is none."""
    headline = HEADLINES[row.task]
    column = next((one for one in group.columns if f"{one[0]}.{one[1].quantity}" == headline), None)
    if column is None or (estimate := estimate_of(row, column)) is None:
        return f"{headline} was not measured"
    if estimate.value is None:
        return estimate.reason or f"{headline} is undefined"
    return {
        "dataset": {"id": benchmark.dataset, "task_id": benchmark.task},
        "value": estimate.value,
        "notes": "; ".join(_notes(row, group, headline)),
    }


def _notes(row: Row, group: Group, headline: str) -> Iterator[str]:
    for column in group.columns:
        number, bounds = number_text(row, column), bounds_text(row, column)
        if number:
            key = f"{column[0]}.{column[1].quantity}"
            name = f"value: {key}" if key == headline else heading(column)[0]
            yield one_line(f"{name} {number}{f' (95 % {bounds[0]} to {bounds[1]})' if bounds else ''}")
    yield f"{row.n.scored} of {row.n.requested} responses"
    yield one_line(f"eidolon {row.signature}")


def _slug(name: str) -> str:
    """Return a name as one safe file name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "run"


def _free(folder: Path, name: str, taken: list[Path]) -> Path:
    """Return a path that no other run of this call has."""
    path, number = folder / f"{name}.yaml", 1
    while path in taken:
        number += 1
        path = folder / f"{name}-{number}.yaml"
    return path
