"""The leaderboard: the scores of several runs, best first, with marks where rows are not comparable."""

import dataclasses
import math
import operator
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic.json_schema import SkipJsonSchema
from rich.console import Console
from rich.table import Table
from rich.text import Text

from eidolon.benchmark.report.file_metrics import FILE_METRICS
from eidolon.benchmark.store.atomic import write_atomically
from eidolon.benchmark.store.loaded import load_run
from eidolon.benchmark.store.record import RunRecord
from eidolon.benchmark.tasks.forget.columns import COLUMNS as FORGET_COLUMNS
from eidolon.benchmark.terminal.safe_text import one_line
from eidolon.benchmark.terminal.tables import print_table
from eidolon.scorers.core import registry
from eidolon.scorers.core.distribution import UNKNOWN
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.core.metric import LeaderboardColumn, LeaderboardMetric
from eidolon.scorers.core.scores import Family, Samples, Score
from eidolon.scorers.core.signature import Signature
from eidolon.scorers.core.types import Record
from eidolon.scorers.metrics.rectified import POWERED

SCHEMA: Literal["eidolon/leaderboard/1"] = "eidolon/leaderboard/1"
FILE = "leaderboard.json"

HEADLINE = "objects.f05"
Task = Literal["describe", "probe", "forget"]
HEADLINES: dict[Task, str] = {
    "describe": HEADLINE,
    "probe": "pope.accuracy",
    "forget": f"forgetting.{FORGET_COLUMNS[0].quantity}",
}
"""The quantity that sorts the table of each task."""
RATED_HEADLINES = ("mmhal.score", "mmhal.hallucination_rate")
"""The numbers that rest on a language model's ratings."""
FIRST_FAMILIES = ("objects", "throne", "chair")
"""The first families in the table of descriptions. Other families follow by name."""
NOT_EXAMINED: Literal["not run"] = "not run"
"""The verdict of the doctor on a model that it has not seen."""
COMPARED = ("dataset", "truth", "prompt", "decoding", "judge", "policy", "n", "eidolon")
"""The parts of the signature that must agree for two rows to be comparable."""
NO_ANNOTATOR = "not by an annotator"
"""What is shown as the truth of other rows beside rows with an annotator."""

_LEADING_ZERO = re.compile(r"^(-?)0(?=\.)")


class Row(Record):
    """One run."""

    name: str
    run: str
    """The folder. It is relative to the leaderboard's folder if it lies inside."""
    signature: str
    parts: SkipJsonSchema[Signature] = Field(default_factory=Signature, exclude=True)
    """The signature as data, from the run's record. It is not in the file."""
    differs: tuple[str, ...] = ()
    """The parts of the signature that differ from the first row of the table."""
    n: Samples
    metrics: dict[str, dict[str, Score]]
    task: Task = "describe"
    """What the models were asked. Rows of different tasks are never compared."""
    warnings: tuple[str, ...] = ()
    """Why the scores mean little. Such a row is last in its table, without its headline."""
    doctor: Literal["passed", "failed", "not run"] = NOT_EXAMINED
    """The verdict of `eidolon doctor` on the model."""
    doctor_failed: tuple[str, ...] = ()
    """The checks of `eidolon doctor` that failed."""
    rectified: dict[str, dict[str, Score]] = Field(default_factory=dict, exclude_if=operator.not_)
    """The metrics by prediction-powered inference, where an annotator made the truth."""


class Leaderboard(Record):
    """The content of `leaderboard.json`: rows by task and dataset, each sorted by the headline, undefined last."""

    schema_: Literal["eidolon/leaderboard/1"] = Field(alias="schema")
    sorted_by: str = HEADLINE
    """The headline of the task `describe`."""
    headlines: dict[str, str] = Field(
        default_factory=lambda: {str(task): name for task, name in HEADLINES.items()}
    )
    """The headline of each task."""
    rows: tuple[Row, ...]

    def to_json(self) -> str:
        """Return the file's text."""
        return self.model_dump_json(indent=2, by_alias=True) + "\n"


def collect(runs: Sequence[Path], relative_to: Path) -> Leaderboard:
    """Read the runs' scores into a leaderboard."""
    tables = tables_of([_read_row(run, relative_to) for run in runs])
    return Leaderboard(
        schema=SCHEMA,
        rows=tuple(
            row.model_copy(update={"differs": _differing(row, rows[0])}) for rows in tables for row in rows
        ),
    )


def tables_of(rows: Iterable[Row]) -> list[list[Row]]:
    """Return the rows of each table, best first: those of one task and dataset that share a metric family.

    So no row has a dash in every column.
    """
    alike: dict[tuple[int, str], list[_Table]] = {}
    for row in rows:
        tables = alike.setdefault(([*HEADLINES].index(row.task), data_of(row)), [])
        sharing = [table for table in tables if row.metrics.keys() & table.families]
        joined = sharing[0] if sharing else _Table()
        for table in sharing[1:]:
            joined.rows.extend(table.rows)
            joined.families |= table.families
        joined.rows.appendleft(row)
        joined.families.update(row.metrics)
        tables[:] = [table for table in tables if not any(table is other for other in sharing)]
        tables.append(joined)
    found = [
        table for key in sorted(alike) for table in sorted(([*one.rows] for one in alike[key]), key=kind_of)
    ]
    return [_sorted(table) for table in found]


@dataclass(slots=True)
class _Table:
    """Rows that share metric families, directly or through others, the latest first."""

    rows: deque[Row] = dataclasses.field(default_factory=deque)
    families: set[str] = dataclasses.field(default_factory=set)


def write(leaderboard: Leaderboard, path: Path) -> None:
    """Write `leaderboard.json`.

    Raises:
        UserError: the path cannot be written.
    """
    try:
        write_atomically(path, leaderboard.to_json())
    except OSError as error:
        raise UserError(f"--out {path}: cannot be written ({error.strerror})") from error


def show(leaderboard: Leaderboard, console: Console) -> None:
    """Print a table for each dataset and kind of run, with 95 % intervals, and the signatures below."""
    tables = tables_of(leaderboard.rows)
    kinds, datasets = ({named(rows) for rows in tables} for named in (kind_of, lambda rows: data_of(rows[0])))
    for rows in tables:
        of = f" of {kind_of(rows)}" if len(kinds) > 1 or rows[0].task == "forget" else ""
        on = f" on {one_line(data_of(rows[0]))}" if len(datasets) > 1 else ""
        print_table(_table(rows, f"Leaderboard{of}{on}, 95 % intervals"), console)
    if leaderboard.rows and all(row.doctor == NOT_EXAMINED for row in leaderboard.rows):
        console.print(f"doctor: {NOT_EXAMINED}")
    for line in dict.fromkeys(row.signature for row in leaderboard.rows):
        console.print(Text("signature: " + one_line(line)), soft_wrap=True)
    for row in leaderboard.rows:
        if row.differs:
            parts = ", ".join(row.differs)
            note = f"* {one_line(row.name)} is not comparable with the first row: another {parts}"
            console.print(Text(note, style="yellow"), soft_wrap=True)
    for row in leaderboard.rows:
        for warning in row.warnings:
            note = f"! warning: {one_line(row.name)}: {one_line(warning)}"
            console.print(Text(note, style="yellow"), soft_wrap=True)
    for row in leaderboard.rows:
        if found := _rectified(row):
            console.print(Text(one_line(f"{row.name}, {found}")), soft_wrap=True)
    for rows in tables:
        for line in _groups(rows):
            console.print(Text(one_line(line), style="yellow"), soft_wrap=True)


def _table(rows: Sequence[Row], title: str) -> Table:
    columns = columns_of(rows)
    table = Table(title=title, title_justify="left")
    table.add_column("model", overflow="fold")
    table.add_column("n", justify="right")
    for _, column in columns:
        table.add_column(column.heading, justify="right")
    examined = any(row.doctor != NOT_EXAMINED for row in rows)
    if examined:
        table.add_column("doctor", overflow="fold")
    for row in rows:
        mark = (" *" if row.differs else "") + (" !" if row.warnings else "")
        table.add_row(
            Text(one_line(row.name) + mark),
            _count(row.n),
            *(Text(_cell(row, family, column)) for family, column in columns),
            *([Text(verdict_of(row))] if examined else []),
        )
    return table


def columns_of(rows: Sequence[Row]) -> list[tuple[str, LeaderboardColumn]]:
    """Return the columns of the rows of one table, each with its family. Some row has a value in each."""
    found: list[tuple[str, LeaderboardColumn]] = []
    if rows[0].task == "forget":
        found += [("forgetting", column) for column in FORGET_COLUMNS]
        found += [("objects", column) for column in _declared("objects", rows) if column.quantity == "f05"]
    else:
        named = {family for row in rows for family in row.metrics}
        families = [*FIRST_FAMILIES, *sorted(named - {*FIRST_FAMILIES})]
        found += [
            (family, column) for family in families if family in named for column in _declared(family, rows)
        ]
    return [
        (family, column)
        for family, column in found
        if any(column.quantity in row.metrics.get(family, {}) for row in rows)
    ]


def _declared(family: str, rows: Sequence[Row]) -> tuple[LeaderboardColumn, ...]:
    """Return the columns that a metric declares. Without a declaration, it is the first quantity."""
    metric: object = FILE_METRICS.get(family)
    if metric is None and family in registry.metrics.names():
        metric = registry.metrics.get(family)
    if isinstance(metric, LeaderboardMetric):
        return metric.leaderboard_columns
    quantities = next(row.metrics[family] for row in rows if family in row.metrics)
    arrows = {True: " ↑", False: " ↓", None: ""}
    columns = (
        LeaderboardColumn(name, one_line(f"{family}.{name}{arrows[estimate.higher_is_better]}"))
        for name, estimate in quantities.items()
    )
    return tuple(islice(columns, 1))


def _read_row(run: Path, relative_to: Path) -> Row:
    loaded = load_run(run)
    record, scores = loaded.record, loaded.scores()
    metrics = _quantities(scores.metrics)
    diagnosis = record.provenance.doctor
    inside = run.resolve().is_relative_to(relative_to.resolve())
    place = run.resolve().relative_to(relative_to.resolve()) if inside else run
    return Row(
        name=record.name,
        run=place.as_posix(),
        signature=scores.signature,
        parts=loaded.signature,
        n=scores.n,
        metrics=metrics,
        task=_task(record, metrics),
        warnings=record.warnings,
        doctor=NOT_EXAMINED if diagnosis is None else "failed" if diagnosis.failed else "passed",
        doctor_failed=() if diagnosis is None else diagnosis.failed,
        rectified=next((_quantities(v.metrics) for v in scores.variants if v.label == POWERED), {}),
    )


def _quantities(metrics: Mapping[str, Family]) -> dict[str, dict[str, Estimate]]:
    return {family: found.quantities() for family, found in metrics.items()}


def _rectified(row: Row) -> str:
    """Return the row's columns by prediction-powered inference, beside the annotator's; empty without any."""
    shown = []
    for family, column in columns_of([row]):
        one, naive = (of.get(family, {}).get(column.quantity) for of in (row.rectified, row.metrics))
        if one and naive and naive.value is not None:
            shown.append(f"{family}.{column.quantity} {one} (by the annotator alone {naive.value:.3f})")
    return f"{POWERED}: {'; '.join(shown)}" if shown else ""


def _task(record: RunRecord, metrics: Mapping[str, object]) -> Task:
    """Return the table that a run belongs to. For runs over files, the metrics decide."""
    if "pope" in metrics:
        return "probe"
    return "forget" if record.config.task == "forget" else "describe"


def _differing(row: Row, first: Row) -> tuple[str, ...]:
    own, other = compared_parts(row), compared_parts(first)
    return tuple(part for part in COMPARED if own[part] != other[part])


def _groups(rows: Sequence[Row]) -> Iterator[str]:
    """Yield, for each part in which the rows of a table differ, the rows of each value."""
    parts = [(row.name, compared_parts(row)) for row in rows]
    for part in COMPARED:
        named: dict[str, list[str]] = {}
        for name, of_row in parts:
            named.setdefault(of_row[part], []).append(name)
        if len(named) > 1:
            found = "; ".join(f"{value}: {', '.join(names)}" for value, names in named.items())
            yield f"rows differ in {part}: {found}"


def dataset_of(row: Row) -> str:
    """Return the name of a row's dataset, without its hash: parts of one dataset share a table, with a mark."""
    return (row.parts.dataset or UNKNOWN).partition("#")[0]


def data_of(row: Row) -> str:
    """Return the name of a row's dataset, and the annotator that made its truth: such scores have their own tables."""
    truth = row.parts.truth
    return dataset_of(row) if truth is None else f"{dataset_of(row)}, truth by {truth}"


def compared_parts(row: Row) -> dict[str, str]:
    """Return the parts of a row's signature that are compared, by name."""
    parts = row.parts.parts()
    return {part: parts.get(part, NO_ANNOTATOR) for part in COMPARED}


def kind_of(rows: Sequence[Row]) -> str:
    """Return what the runs of a table are: their task, or without its metrics the metrics that they have."""
    families = dict.fromkeys(family for row in rows for family in row.metrics)
    task = rows[0].task
    usual = {*FIRST_FAMILIES, HEADLINES[task].partition(".")[0]}
    return task if task != "describe" or usual & {*families} else ", ".join(sorted(families))


def is_headline(row: Row, family: str, quantity: str) -> bool:
    """Tell whether a number is a headline of its row, which a row with warnings does not show."""
    name = f"{family}.{quantity}"
    return name == HEADLINES[row.task] or name in RATED_HEADLINES


def _sorted(rows: Sequence[Row]) -> list[Row]:
    """Sort a table by the headline of its task, or where no row has it by the table's first column."""
    family, _, quantity = HEADLINES[rows[0].task].partition(".")
    if not any(quantity in row.metrics.get(family, {}) for row in rows) and (columns := columns_of(rows)):
        family, quantity = columns[0][0], columns[0][1].quantity

    def place(row: Row) -> tuple[float, str, str]:
        estimate = row.metrics.get(family, {}).get(quantity)
        if estimate is None or estimate.value is None or row.warnings:
            return math.inf, row.name, row.run
        return estimate.value if estimate.higher_is_better is False else -estimate.value, row.name, row.run

    return sorted(rows, key=place)


def _count(n: Samples) -> str:
    return str(n.scored) if n.scored == n.requested else f"{n.scored} of {n.requested}"


def verdict_of(row: Row) -> str:
    """Return the doctor's verdict on a row's model, with the checks that failed."""
    names = ", ".join(one_line(name) for name in row.doctor_failed)
    return f"{row.doctor}: {names}" if names else row.doctor


def _cell(row: Row, family: str, column: LeaderboardColumn) -> str:
    if row.warnings and is_headline(row, family, column.quantity):
        return "-"
    estimates = row.metrics.get(family, {})
    estimate, at = estimates.get(column.quantity), estimates.get(column.at or "")
    if estimate is None or estimate.value is None:
        return "-"
    shown = f"{estimate.value:{column.decimals}}"
    if at is not None and at.value is not None:
        shown += f" at {at.value:.0f}"
    if estimate.ci is None or not column.interval:
        return shown
    low, high = (_LEADING_ZERO.sub(r"\1", f"{bound:{column.decimals}}") for bound in estimate.ci)
    return f"{shown}\n{low} to {high}" if estimate.ci[0] < 0 else f"{shown}\n{low}-{high}"
