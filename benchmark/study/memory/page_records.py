"""The data of the study's page, as the one JSON document inside it: the numbers that it shows, and how to read them."""

from typing import Literal

from pydantic import ConfigDict, Field

from eidolon.benchmark.report.view.records import SCHEMA, Fact
from eidolon.benchmark.study.memory.records import (
    CheckpointScores,
    PositionBin,
    PositionEffect,
    RetentionComparison,
    Seeing,
    VariantSize,
)
from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.core.types import Record
from eidolon.scorers.retention.measure import Series
from eidolon.scorers.retention.records import Condition


class PageCondition(Record):
    """Texts between the image and the question, or before the image, and what is asked."""

    condition: Condition
    series: Series
    label: str
    sentence: str
    """How to read the numbers."""


class PagePoint(Record):
    """What is left after n tokens."""

    condition: Condition
    series: Series
    n: int
    images: int
    retention: Estimate
    accuracy: Estimate
    reason: str | None
    """Why there is no retention."""


class PageVariant(Record):
    """One kind of memory."""

    model_config = ConfigDict(allow_inf_nan=False)

    name: str
    layout: str
    memory: str
    """The memory in words."""
    main: bool
    """Whether it is one of the variants that the page shows first."""
    seeing: Seeing
    over: str
    """What the intervals are over."""
    filled_by: str | None
    seeds: tuple[CheckpointScores, ...]
    yes_no_accuracy: Estimate
    scores: dict[str, Estimate]
    points: tuple[PagePoint, ...]
    hallucination: tuple[PositionBin, ...]
    position_effect: PositionEffect | None
    decay: Estimate | None
    """Share of the dependence on the image that is lost per 100 tokens of the own description."""
    reach: int | None
    """The number of tokens that windows can bridge. Null without a bound."""
    size: VariantSize | None


class MemoryView(Record):
    """The document of the page."""

    schema_: Literal["eidolon/view/1"] = Field(alias="schema", default=SCHEMA)
    kind: Literal["memory"] = "memory"
    eidolon: str
    title: str
    sentence: str
    findings: tuple[str, ...]
    lengths: tuple[int, ...]
    trained_tokens: int | None
    """Tokens of the longest training text. Longer lengths are marked."""
    fewest: int
    """Points of fewer images are not drawn."""
    conditions: tuple[PageCondition, ...]
    variants: tuple[PageVariant, ...]
    comparisons: tuple[RetentionComparison, ...]
    registered: int
    machine: str
    provenance: tuple[Fact, ...]
