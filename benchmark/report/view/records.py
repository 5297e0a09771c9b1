"""The data of a page: everything that `eidolon view` shows, as the one JSON document inside the page.

Texts are as the run's files have them. The page shows them as text; nothing in them is markup.
"""

from typing import Literal

from pydantic import ConfigDict, Field

from eidolon.benchmark.data.samples import Box
from eidolon.benchmark.store.record import SampleRow
from eidolon.benchmark.tasks.rows import AnswerRow, QuestionRow
from eidolon.scorers.core.calibration import Calibration
from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.core.types import Judgement, Record, Response
from eidolon.scorers.forgetting.curves import RatePoint
from eidolon.scorers.forgetting.fits import Fit

SCHEMA: Literal["eidolon/view/1"] = "eidolon/view/1"


def _is_none(value: object) -> bool:
    return value is None


class Number(Record):
    """A number with its interval, and how to write it."""

    key: str
    """Family and quantity, as in `scores.json`."""
    label: str
    estimate: Estimate
    share: bool
    """Whether it lies between 0 and 1."""


class Fact(Record):
    """One line of the provenance."""

    label: str
    value: str


class Beside(Record):
    """A category that is in the picture where another one is hallucinated."""

    name: str
    pictures: int
    """Responses that hallucinate the category about a picture with this one."""
    share: float
    """The same as a share of the responses that hallucinate the category."""
    elsewhere: float | None
    """The share of pictures with this one among the other responses about pictures without the category. Null if
    there are none."""


class CategoryRow(Record):
    """One category over all scored responses. Each response counts once."""

    name: str
    named_there: int
    named_absent: int
    missed: int
    beside: tuple[Beside, ...] = ()


class Line(Record):
    """One line of a chart with intervals."""

    label: str
    points: tuple[tuple[float, float | None, float | None, float | None, int], ...]
    """Position, value, lower and upper bound, and the number of observations."""


class Chart(Record):
    """A chart of lines with one sentence on how to read it; without lines the reason why there are none."""

    title: str
    sentence: str
    x: str
    y: str
    logarithmic: bool
    """Whether the x axis is logarithmic."""
    lines: tuple[Line, ...] = ()
    notes: tuple[str, ...] = ()
    reason: str | None = None


class Position(Record):
    """How hallucination changes over the length of a response."""

    reason: str | None = None
    """Why there are no curves."""
    curves: dict[str, tuple[RatePoint, ...]] = Field(default_factory=dict)
    """The rate of hallucination by words, for all mentions and under each control."""
    first: str | None = None
    """The label of the main curve."""
    least: int = 0
    """Points with fewer mentions are not drawn."""
    late_early: Fit | None = None
    sentence: str = ""
    """What the late-minus-early odds ratio says, or why there is none."""
    sensitivity: tuple[Fit, ...] = ()
    rivals: tuple[Fit, ...] = ()
    """The same ratio with each rival explanation held fixed. Empty if the metric `rivals` was not computed."""
    verdict: str = ""
    """What the rivals allow to say."""


class Effect(Record):
    """A difference with its interval."""

    label: str
    estimate: Estimate
    sentence: str


class Confusion(Record):
    """Answers to yes/no questions of one split and category."""

    split: str
    category: str
    right_yes: int = 0
    wrong_yes: int = 0
    right_no: int = 0
    wrong_no: int = 0
    unparsed: int = 0


class ProbeView(Record):
    """The answers of a probe run, counted under its main policy."""

    policy: str
    confusion: tuple[Confusion, ...]
    unparsed: tuple[int, ...]
    """The samples, by position, with an answer that is not plainly yes or no, whatever the policy makes of it."""


class Index(Record):
    """What the list of samples filters, sorts and shows: one value for each sample in each field."""

    sample_ids: list[str] = Field(default_factory=list)
    generations: list[int] = Field(default_factory=list)
    image_ids: list[str] = Field(default_factory=list)
    excerpts: list[str] = Field(default_factory=list)
    words: list[int] = Field(default_factory=list)
    states: list[str] = Field(default_factory=list)
    """Letters: u unscored, d judges disagree, t cut off at the token limit, e empty, p not plainly yes or no; and the
    places of hallucinated mentions: 1 early, 2 in the middle, 3 late."""
    splits: list[str] = Field(default_factory=list)
    """The split of a probe's question; empty for other runs."""
    there: list[list[int]] = Field(default_factory=list)
    absent: list[list[int]] = Field(default_factory=list)
    missed: list[list[int]] = Field(default_factory=list)
    """`there`, `absent` and `missed` are positions in `categories`: named and in the picture, named and not in it, in
    it and not named."""


class SampleDetail(Record):
    """One sample with its response, as the run folder has them."""

    sample: SampleRow | None = None
    response: Response
    judgement: Judgement | None = None
    question: QuestionRow | None = None
    answer: AnswerRow | None = None
    boxes: dict[str, tuple[Box, ...]] = Field(default_factory=dict)
    """By category, where it is in the picture, if the dataset says so."""
    picture: str | None = None
    """The picture as a data URI, or its path from the page."""
    risks: tuple[float | None, ...] | None = Field(None, exclude_if=_is_none)
    """For each mention of the judgement that no truth decides, the probability that its object is not in the picture,
    from text alone; null for the others. Absent if there is none."""


class RunView(Record):
    """One run."""

    model_config = ConfigDict(allow_inf_nan=False)

    name: str
    task: str
    status: str
    sentence: str
    numbers: tuple[Number, ...]
    more_numbers: tuple[Number, ...]
    warnings: tuple[str, ...]
    provenance: tuple[Fact, ...]
    intervals: str | None
    """How the intervals were computed."""
    categories: tuple[str, ...]
    by_category: tuple[CategoryRow, ...]
    no_categories: str | None = None
    """Why there is no table of categories."""
    position: Position
    charts: tuple[Chart, ...] = ()
    effects: tuple[Effect, ...] = ()
    probe: ProbeView | None = None
    calibration: Calibration | None = None
    index: Index
    no_samples: str | None = None
    """Why there are no samples to look at."""
    pages: tuple[str, ...] = ()
    """The files with the details of the samples, `page_size` in each; empty if the document holds them."""
    details: tuple[SampleDetail, ...] = ()


class Difference(Record):
    """One quantity in two runs."""

    key: str
    share: bool
    a: float | None
    b: float | None
    estimate: Estimate
    """B - A."""
    p: float | None
    p_holm: float | None
    """Adjusted for all quantities that are tested in the same comparison."""
    outcome: str | None


class Pair(Record):
    """Two runs of the page, compared as `eidolon compare` does."""

    a: int
    b: int
    reason: str | None = None
    """Why they cannot be compared."""
    differences: tuple[Difference, ...] = ()
    findings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """What to know about the samples, and how the numbers were computed."""


class View(Record):
    """The document of a page."""

    schema_: Literal["eidolon/view/1"] = Field(alias="schema", default=SCHEMA)
    kind: Literal["runs"] = "runs"
    eidolon: str
    early: int
    late: int
    """A mention is early before this many words, late from this many words on."""
    page_size: int
    runs: tuple[RunView, ...]
    pairs: tuple[Pair, ...] = ()
    """The first run with each of the others."""
