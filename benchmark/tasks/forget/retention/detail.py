"""`retention.json`: retention by condition and length, what it says, and how it was asked."""

from collections.abc import Sequence
from typing import Literal

from pydantic import ConfigDict, Field

from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.core.types import Record
from eidolon.scorers.retention.measure import Finding, Point, Series
from eidolon.scorers.retention.records import Condition

SCHEMA: Literal["eidolon/retention/1"] = "eidolon/retention/1"
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


class MissingContexts(Record):
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
    missing: tuple[MissingContexts, ...]

    def extrapolated(self, n: int) -> bool:
        """Whether a length is known to lie beyond the training."""
        return self.trained_tokens is not None and n > self.trained_tokens

    def to_json(self) -> str:
        """Return the file's text."""
        return self.model_dump_json(by_alias=True, indent=2) + "\n"


def quantities(points: Sequence[Point], trained_tokens: int | None) -> dict[str, Estimate]:
    """Return what the leaderboard may carry, by name: `retention_own_128` and the like.

    `retention_own_longest` is that after the longest text with a retention that is not longer than those of the
    training, `retention_own_longest_tokens` how long it is.
    """
    found = {(p.condition, p.series, p.n): p for p in points}
    values: dict[str, Estimate] = {}
    for name, (condition, series) in REPORTED.items():
        for n in REPORTED_LENGTHS:
            point = found.get((condition, series, n))
            values[f"retention_{name}_{n}"] = _value(point, "not asked at this length")
        longest, reason = _longest(points, condition, series, trained_tokens)
        values[f"retention_{name}_longest"] = _value(longest, reason)
        values[f"retention_{name}_longest_tokens"] = Estimate(
            value=None if longest is None else longest.n,
            ci=None,
            n=0 if longest is None else longest.images,
            higher_is_better=None,
            reason=reason if longest is None else None,
        )
    return values


def _longest(
    points: Sequence[Point], condition: Condition, series: Series, trained_tokens: int | None
) -> tuple[Point | None, str]:
    """Return the last point within the training that has a retention, and what is to be said where none has."""
    if trained_tokens is None:
        return None, "the length of the training texts is not known; --trained-length says"
    here = [p for p in points if (p.condition, p.series) == (condition, series) and p.n <= trained_tokens]
    if not here:
        return None, f"nothing asked within the {trained_tokens} tokens of the training texts"
    told = [p for p in here if p.retention.value is not None]
    if told:
        return max(told, key=lambda p: p.n), ""
    return None, min(here, key=lambda p: p.n).reason or "undefined"


def _value(point: Point | None, reason: str) -> Estimate:
    kept = None if point is None else point.retention
    return Estimate(
        value=None if kept is None else kept.value,
        ci=None if kept is None else kept.ci,
        n=0 if point is None else point.images,
        higher_is_better=True,
        reason=reason if point is None else point.reason,
    )
