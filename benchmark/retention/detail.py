"""`retention.json`: retention by condition and length, what it says, and how it was asked."""

from collections.abc import Sequence
from typing import Literal

from pydantic import ConfigDict, Field

from eidolon.scorers.retention.measure import Finding, Point, Series
from eidolon.scorers.retention.records import Condition
from eidolon.scorers.scores import Scores, Value, with_quantities
from eidolon.scorers.types import Record

SCHEMA: Literal["eidolon/retention/1"] = "eidolon/retention/1"
FAMILY = "forgetting"
REPORTED: dict[str, tuple[Condition, Series]] = {
    "own": ("own", "unnamed"),
    "filler": ("filler", "unnamed"),
    "other": ("other", "unnamed"),
    "before": ("before", "unnamed"),
    "text": ("filler", "text"),
}
"""What of the probe stands in `scores.json`; `before` and `text` are the controls."""
REPORTED_LENGTHS = (64, 128)
"""A model's own description seldom goes much further."""


class Missing(Record):
    """Images without a question after a text."""

    condition: Condition
    n: int
    images: int
    reason: str


class RetentionDetail(Record):
    """The content of `retention.json`."""

    model_config = ConfigDict(allow_inf_nan=False)

    schema_: Literal["eidolon/retention/1"] = Field(alias="schema")
    signature: str
    layout: str
    """Where the text before the question stands."""
    absent: str
    """How absent objects are chosen."""
    lengths: tuple[int, ...]
    trained_tokens: int | None
    """Longest text of the model's training; what lies beyond is extrapolation. Null where nobody said."""
    max_positions: int | None
    images: int
    findings: tuple[Finding, ...]
    points: tuple[Point, ...]
    missing: tuple[Missing, ...]

    def extrapolated(self, n: int) -> bool:
        """Whether a length is known to lie beyond the training."""
        return self.trained_tokens is not None and n > self.trained_tokens

    def to_json(self) -> str:
        """Return the file's text."""
        return self.model_dump_json(by_alias=True, indent=2) + "\n"


def quantities(points: Sequence[Point]) -> dict[str, Value]:
    """Return what the leaderboard may carry, by name: `retention_own_128` and the like."""
    found = {(p.condition, p.series, p.n): p for p in points}
    values: dict[str, Value] = {}
    for name, (condition, series) in REPORTED.items():
        for n in REPORTED_LENGTHS:
            point = found.get((condition, series, n))
            reason = "not asked at this length" if point is None else point.reason
            kept = None if point is None else point.retention
            values[f"retention_{name}_{n}"] = Value(
                value=None if kept is None else kept.value,
                ci=None if kept is None else kept.ci,
                n=0 if point is None else point.images,
                higher_is_better=True,
                reason=reason,
            )
    return values


def with_retention(scores: Scores, points: Sequence[Point]) -> Scores:
    """Return the scores with the probe's quantities in the family `forgetting`."""
    return with_quantities(scores, FAMILY, quantities(points))
