"""`cloze.json`: the generative cloze by length, and how it was made."""

from typing import Literal

from pydantic import ConfigDict, Field

from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.core.types import Record
from eidolon.scorers.forgetting.cloze import ClozeSummary

SCHEMA: Literal["eidolon/cloze/1"] = "eidolon/cloze/1"
REPORTED_LENGTHS = (64, 128)
"""The lengths that `scores.json` has."""


class MissingBeginnings(Record):
    """Images without a beginning of n tokens, and why."""

    n: int
    images: int
    reason: str


class ClozeDetail(Record):
    """The content of `cloze.json`."""

    model_config = ConfigDict(allow_inf_nan=False)

    schema_: Literal["eidolon/cloze/1"] = Field(alias="schema")
    signature: str
    frame: str
    """The words before the names."""
    missing: tuple[MissingBeginnings, ...]
    found: ClozeSummary

    def to_json(self) -> str:
        """Return the text of the file."""
        return self.model_dump_json(by_alias=True, indent=2) + "\n"


def quantities(found: ClozeSummary) -> dict[str, Estimate]:
    """Return the numbers for `scores.json`, by name."""
    at = {point.n: point for point in found.points}
    values = {"cloze_change_per_100_tokens": found.change}
    for n in REPORTED_LENGTHS:
        point = at.get(n)
        kept = Estimate.undefined() if point is None else point.kept
        reason = found.reason or "not scored at this length" if point is None else point.reason
        values[f"cloze_kept_{n}"] = Estimate(
            value=kept.value,
            ci=kept.ci,
            n=0 if point is None else point.images,
            higher_is_better=True,
            reason=reason,
        )
    return values
