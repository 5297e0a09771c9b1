"""`retention.json`: retention by condition and length, the findings, and how the model was asked."""

from collections.abc import Sequence
from typing import Literal

from pydantic import ConfigDict, Field

from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.core.types import Record
from eidolon.scorers.retention.measure import RetentionAtLength, RetentionFinding, Series
from eidolon.scorers.retention.records import Condition

SCHEMA: Literal["eidolon/retention/1"] = "eidolon/retention/1"
REPORTED: dict[str, tuple[Condition, Series]] = {
    "own": ("own", "unnamed"),
    "filler": ("filler", "unnamed"),
    "other": ("other", "unnamed"),
    "before": ("before", "unnamed"),
    "text": ("filler", "text"),
}
"""The series that `scores.json` has, by the name of their metrics; `before` and `text` are controls."""
REPORTED_LENGTHS = (64, 128)
"""The lengths that `scores.json` has. A model's own descriptions are seldom longer."""


class MissingContexts(Record):
    """Images that were not asked about in one condition at one length, and why."""

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
    """Where in the conversation the text before the question is placed."""
    absent: str
    """How absent objects are chosen."""
    lengths: tuple[int, ...]
    trained_tokens: int | None
    """Length of the longest training text. Longer texts are an extrapolation. Null if it is unknown."""
    max_positions: int | None
    images: int
    findings: tuple[RetentionFinding, ...]
    points: tuple[RetentionAtLength, ...]
    missing: tuple[MissingContexts, ...]

    def extrapolated(self, n: int) -> bool:
        """Return whether a length is known to exceed the training texts."""
        return self.trained_tokens is not None and n > self.trained_tokens

    def to_json(self) -> str:
        """Return the text of the file."""
        return self.model_dump_json(by_alias=True, indent=2) + "\n"


def quantities(points: Sequence[RetentionAtLength], trained_tokens: int | None) -> dict[str, Estimate]:
    """Return the probe's values for `scores.json`, by name, as `retention_own_128`.

    `retention_own_longest` is the retention after the longest text that is within the training length and has one;
    `retention_own_longest_tokens` is the length of that text.
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
    points: Sequence[RetentionAtLength], condition: Condition, series: Series, trained_tokens: int | None
) -> tuple[RetentionAtLength | None, str]:
    """Return the longest point within the training length that has a retention, and the reason if there is none."""
    if trained_tokens is None:
        return None, "the length of the training texts is not known; --trained-length says"
    here = [p for p in points if (p.condition, p.series) == (condition, series) and p.n <= trained_tokens]
    if not here:
        return None, f"nothing asked within the {trained_tokens} tokens of the training texts"
    defined = [p for p in here if p.retention.value is not None]
    if defined:
        return max(defined, key=lambda p: p.n), ""
    return None, min(here, key=lambda p: p.n).reason or "undefined"


def _value(point: RetentionAtLength | None, reason: str) -> Estimate:
    retention = None if point is None else point.retention
    return Estimate(
        value=None if retention is None else retention.value,
        ci=None if retention is None else retention.ci,
        n=0 if point is None else point.images,
        higher_is_better=True,
        reason=reason if point is None else point.reason,
    )
