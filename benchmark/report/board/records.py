"""The data of the page of a leaderboard: the one JSON document inside it.

Texts are as the runs' files have them. The page shows them as text; nothing in them is markup.
"""

from typing import Literal, TypeAlias

from pydantic import ConfigDict, Field

from eidolon.benchmark.report.leaderboard import Task
from eidolon.benchmark.report.view.records import SCHEMA
from eidolon.scorers.core.scores import Samples
from eidolon.scorers.core.types import Record

Opens: TypeAlias = Literal["page", "report", "folder"]


class BoardCell(Record):
    """A number of a run."""

    value: float | None
    ci: tuple[float, float] | None = None
    text: str
    """The number in its column's format. Empty if it is undefined."""
    interval: str | None = None
    """The interval in its column's format. Null if the column shows none."""
    reason: str | None = None
    """Why there is no number, or no interval."""


class BoardColumn(Record):
    """A column of the tables."""

    key: str
    """Family and quantity, as in `scores.json`."""
    label: str
    higher_is_better: bool | None
    interval: bool
    """Whether it has bars for the intervals."""
    logarithmic: bool
    """Whether the axis of the bars is logarithmic."""


class BoardRow(Record):
    """One run."""

    name: str
    run: str
    """The folder, as `leaderboard.json` has it."""
    link: str | None
    """The address of the run's report from the page, percent-encoded. It starts with `./` or `../`."""
    opens: Opens | None
    """What the link opens: the page of `eidolon view`, `report.html`, or the run folder."""
    task: Task
    dataset: str
    """The dataset without its hash."""
    table: int
    """The position of the table in `tables`."""
    group: int
    """The rows of a group share all parts of `strict`."""
    wider: int
    """The rows with the same number share all parts of `compared`."""
    n: Samples
    parts: dict[str, str]
    """The parts of the signature by name."""
    signature: str
    cells: dict[str, BoardCell]
    """The numbers by the key of their column. Absent if it was not measured."""
    warnings: tuple[str, ...] = ()
    doctor: Literal["passed", "failed", "not run"]
    doctor_failed: tuple[str, ...] = ()


class BoardTable(Record):
    """Rows of one task and dataset, which share metrics."""

    title: str
    headline: str
    """The column that sorts the rows at first."""
    columns: tuple[BoardColumn, ...]


class BoardView(Record):
    """The document of the page of a leaderboard."""

    model_config = ConfigDict(allow_inf_nan=False)

    schema_: Literal["eidolon/view/1"] = Field(alias="schema", default=SCHEMA)
    kind: Literal["leaderboard"] = "leaderboard"
    eidolon: str
    strict: tuple[str, ...]
    """The parts of the signature that rows of a group share."""
    compared: tuple[str, ...]
    """The parts that `eidolon compare` asks two runs to share."""
    tables: tuple[BoardTable, ...]
    rows: tuple[BoardRow, ...]
    """By table, each sorted by its headline, undefined last."""
