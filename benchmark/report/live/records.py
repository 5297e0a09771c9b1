"""The data of the page of a run that has not ended, as the one JSON document inside it."""

from typing import Literal, TypeAlias

from pydantic import Field

from eidolon.benchmark.report.view.records import Number
from eidolon.scorers.core.types import Edit, Mention, Record

SCHEMA: Literal["eidolon/live/1"] = "eidolon/live/1"
Status: TypeAlias = Literal["running", "finished", "interrupted", "failed"]
RunState: TypeAlias = Literal["waiting", "running", "finished"]


class StageView(Record):
    """What is done at the moment."""

    label: str
    done: int | None = None
    """Responses of the stage that are done, also in earlier sessions. Null if the stage has no batches."""
    total: int | None = None
    speed: tuple[str, ...] = ()
    """Speed and errors of this session, in words."""
    left: str = ""
    """The time left, in words."""


class Example(Record):
    """A response that names something that is not in the picture."""

    sample_id: str
    prompt: str | None = None
    """The question, where the responses are answers to questions."""
    text: str
    """The beginning of the response."""
    cut: bool = False
    """Whether the response is longer."""
    mentions: tuple[Mention, ...]
    edits: tuple[Edit, ...] = ()
    picture: str | None = None
    """The picture as a data URI."""


class Counts(Record):
    """What was counted in the responses so far."""

    responses: int = 0
    failed: int = 0
    """Responses with an error."""
    judged: int = 0
    unscored: int = 0
    with_hallucination: int = 0
    """Judged responses that name something that is not in the picture."""
    named: int = 0
    hallucinated: int = 0
    """Mentions, once for each category and response: all, and those of what is not in the picture."""


class LiveRun(Record):
    """The run of one model."""

    name: str
    state: RunState
    total: int
    """Responses that the run will have."""
    counts: Counts = Field(default_factory=Counts)
    reasons: tuple[str, ...] = ()
    """The first different reasons of failures."""
    judging: str | None = None
    """Why the counts of judged responses are missing or fewer than the responses."""
    examples: tuple[Example, ...] = ()
    numbers: tuple[Number, ...] = ()
    """The main numbers of a finished run."""
    report: str | None = None
    """The address of the report from the page."""


class LiveView(Record):
    """The document of the page."""

    schema_: Literal["eidolon/live/1"] = Field(alias="schema", default=SCHEMA)
    kind: Literal["live"] = "live"
    eidolon: str
    title: str
    command: str
    status: Status
    error: str | None = None
    """Why the command failed."""
    started: str
    """UTC, ISO 8601."""
    written: str
    """UTC, ISO 8601."""
    every: float
    """Seconds between two loads of the page."""
    patience: float
    """Seconds without news after which the process has probably been killed."""
    stage: StageView | None = None
    runs: tuple[LiveRun, ...]
