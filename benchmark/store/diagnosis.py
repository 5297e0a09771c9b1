"""The diagnosis of a model by `eidolon doctor`: JSON-ready, and part of a run's provenance."""

from typing import Any, Literal, TypeAlias

from pydantic import ConfigDict, Field

from eidolon.scorers.core.types import Record

SCHEMA: Literal["eidolon/doctor/1"] = "eidolon/doctor/1"
Verdict: TypeAlias = Literal["ok", "differs", "not applicable"]


class AnswerDifference(Record):
    """Where two answers to one request differ first."""

    sample_id: str
    character: int
    """Offset in the answers of the first character that differs."""
    token: int | None = None
    """Index of the first token that differs, if tokens are known."""
    expected: str
    found: str
    """The found continuation, or why there is no answer. `expected` is the other continuation."""
    gap: float | None = None
    """How far the less likely of the two tokens is below the likeliest one, in nats; null if it is unknown. For
    sampled answers: how far the random number lies outside the token's share, as a probability."""
    near_tie: bool | None = None
    """Whether rounding alone explains the difference; null if it is unknown."""


class Check(Record):
    """One check and its result."""

    name: str
    verdict: Verdict
    detail: str
    """The reason for the verdict, in one line."""
    n: int | None = None
    """Number of requests with answers that were compared."""
    equal: int | None = None
    """Number of requests with the same answer each time."""
    largest_gap: float | None = None
    """The largest gap at a first difference; null without a difference, or if it is unknown."""
    near_ties: bool | None = None
    """Whether every difference is a near-tie; null without a difference, or if it is unknown."""
    differences: tuple[AnswerDifference, ...] = ()
    figures: dict[str, int | float | str] = Field(default_factory=dict)
    """Other measurements, by name."""


class Diagnosis(Record):
    """All checks of one model, and the settings that they were made with."""

    model_config = ConfigDict(extra="forbid", frozen=True, serialize_by_alias=True)

    schema_: Literal["eidolon/doctor/1"] = Field(alias="schema", default=SCHEMA)
    model: str
    options: dict[str, str]
    """The model's options that decide its answers."""
    model_files: str | None
    """Hash of the model's local files."""
    described: dict[str, Any]
    """The model's description of itself."""
    against: str | None = None
    """The reference model, which gave the expected answers and the log-probabilities."""
    tolerance: float | None = None
    """The largest gap of a near-tie, in nats; null if no gaps are known."""
    dataset: str
    samples: int
    max_new_tokens: int
    seed: int
    checks: tuple[Check, ...]
    packages: dict[str, str]
    checked: str
    """End of the examination: UTC, ISO 8601."""

    @property
    def failed(self) -> tuple[str, ...]:
        """Names of the checks that found a difference."""
        return tuple(check.name for check in self.checks if check.verdict == "differs")

    def to_json(self) -> str:
        """Return the text of a file."""
        return self.model_dump_json(indent=2) + "\n"
