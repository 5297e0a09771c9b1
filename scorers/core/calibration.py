"""The `calibration` block of `scores.json`: how far the votes of an ensemble agree with each other.

Read it before the scores that depend on the votes. `judges.agreement` computes it.
"""

from typing import Any

from pydantic import ConfigDict, SerializerFunctionWrapHandler, model_serializer

from eidolon.scorers.core.types import Record


class JudgeVotes(Record):
    """How often one judge says yes: over all its votes, and with each question format in order."""

    model_config = ConfigDict(allow_inf_nan=False)

    yes_rate: float | None
    yes_rate_by_format: tuple[float | None, ...]


class JudgePair(Record):
    """The share of (image, category, format) votes in which two judges agree."""

    judges: tuple[str, str]
    agreement: float | None


class PartVotes(Record):
    """The votes on the categories that a response first names in one part of it."""

    model_config = ConfigDict(allow_inf_nan=False)

    cells: int
    """(response, category) pairs. The other fields are over them, and null if there are none."""
    yes_rate: float | None
    yes_rate_by_judge: dict[str, float | None]
    pairwise_agreement: tuple[JudgePair, ...]
    fleiss_kappa: float | None
    ignored: float | None


class PositionVotes(Record):
    """The votes by the part of the response in which a category is first named.

    Judges are known to trust early sentences more (arXiv 2511.20515, 2603.15253). A judge that cuts the response
    cannot read what comes late: then the yes rate falls from part to part.
    """

    reader: str
    """Signature of the judge that locates the categories."""
    parts: tuple[PartVotes, ...]
    """The fifths of the response, by characters."""


class Calibration(Record):
    """Agreement among the votes, as fractions. Null if there are no votes."""

    model_config = ConfigDict(allow_inf_nan=False)

    voters: int
    """Judges times question formats: the votes on each cell."""
    cells: int
    """(image, category) pairs that were voted on."""
    threshold: int
    """Votes that make a category present."""
    ignored: float | None
    """Share of cells on which the votes do not decide at that threshold."""
    judges: dict[str, JudgeVotes]
    yes_rate_by_format: tuple[float | None, ...]
    pairwise_agreement: tuple[JudgePair, ...]
    fleiss_kappa: float | None
    """Agreement of all votes beyond chance (Fleiss 1971). Null with fewer than two voters, or if all votes are the
    same."""
    formats: tuple[str, ...] | None = None
    """Names of the formats. Absent if they have none and are counted from 1."""
    unreadable: float | None = None
    """Share of the answers that were neither yes nor no. Absent if all were."""
    by_position: PositionVotes | None = None
    """Absent if no judge locates the categories."""

    @model_serializer(mode="wrap")
    def _without_empty(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields: dict[str, Any] = handler(self)
        return {
            name: value
            for name, value in fields.items()
            if value is not None or name not in ("formats", "by_position", "unreadable")
        }
