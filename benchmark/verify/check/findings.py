"""The result of a check."""

from typing import Literal

from pydantic import Field

from eidolon.benchmark.terminal.safe_text import one_line
from eidolon.scorers.core.types import Record

SCHEMA: Literal["eidolon/check/1"] = "eidolon/check/1"
Verdict = Literal["ok", "differs", "not checkable"]
LONGEST = 400
"""Characters of a detail: what a folder says of itself may be long."""


class Finding(Record):
    """One check of one run."""

    check: str
    verdict: Verdict
    detail: str

    @classmethod
    def make(cls, check: str, verdict: Verdict, detail: str) -> "Finding":
        """Put a detail into words that are harmless wherever they are shown."""
        text = one_line(detail)
        return cls(
            check=check, verdict=verdict, detail=text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
        )


class RunFindings(Record):
    """All checks of one run."""

    run: str
    """The folder, as it was given."""
    name: str
    verdict: Literal["ok", "differs"]
    """`ok` where nothing differs: what could not be checked stands among the checks."""
    checks: tuple[Finding, ...]


class Report(Record):
    """What `eidolon check --json` prints."""

    schema_: Literal["eidolon/check/1"] = Field(alias="schema")
    runs: tuple[RunFindings, ...]

    @property
    def fine(self) -> bool:
        """Whether nothing differs anywhere."""
        return all(run.verdict == "ok" for run in self.runs)

    def to_json(self) -> str:
        """Return the report's text."""
        return self.model_dump_json(indent=2, by_alias=True) + "\n"
