"""What an examination found: JSON-ready, and part of a run's provenance."""

from typing import Any, Literal, TypeAlias

from pydantic import ConfigDict, Field

from eidolon.scorers.core.types import Record

SCHEMA: Literal["eidolon/doctor/1"] = "eidolon/doctor/1"
Verdict: TypeAlias = Literal["ok", "differs", "not applicable"]


class Difference(Record):
    """Where two answers to one request part."""

    sample_id: str
    character: int
    """Offset in the answers of the first character that is not the same."""
    token: int | None = None
    """Index of the token that differs, where tokens are known."""
    expected: str
    found: str
    """How the two go on, or why there is no answer."""
    gap: float | None = None
    """How far the less likely of the two tokens is below the likeliest one, in nats; null where nobody can tell. Of
    sampled answers, how far the random number lies outside of the token's share, as a probability."""
    near_tie: bool | None = None
    """Whether rounding alone explains it; null where nobody can tell."""


class Check(Record):
    """One check and what it came to."""

    name: str
    verdict: Verdict
    detail: str
    """The reason, in a line."""
    n: int | None = None
    """Requests whose answers were compared, …"""
    equal: int | None = None
    """… and those of them whose answers were the same each time."""
    largest_gap: float | None = None
    """The largest gap at a first difference; null without one, and where nobody can tell."""
    near_ties: bool | None = None
    """Whether every difference is a near-tie; null without one, and where nobody can tell."""
    differences: tuple[Difference, ...] = ()
    figures: dict[str, int | float | str] = Field(default_factory=dict)
    """What else was measured."""


class Diagnosis(Record):
    """All checks of one model, with what they were made on."""

    model_config = ConfigDict(extra="forbid", frozen=True, serialize_by_alias=True)

    schema_: Literal["eidolon/doctor/1"] = Field(alias="schema", default=SCHEMA)
    model: str
    options: dict[str, str]
    """Those that decide what it answers."""
    model_files: str | None
    """Hash of the local files the model is made of."""
    described: dict[str, Any]
    """What the model says of itself."""
    against: str | None = None
    """The model whose answers were taken as right, and that told log-probabilities."""
    tolerance: float | None = None
    """The gap up to which two tokens are a near-tie, in nats; null where nobody could tell gaps."""
    dataset: str
    samples: int
    max_new_tokens: int
    seed: int
    checks: tuple[Check, ...]
    packages: dict[str, str]
    checked: str
    """When it ended: UTC, ISO 8601."""

    @property
    def failed(self) -> tuple[str, ...]:
        """The checks that found a difference."""
        return tuple(check.name for check in self.checks if check.verdict == "differs")

    def to_json(self) -> str:
        """Return a file's text."""
        return self.model_dump_json(indent=2) + "\n"
