"""`knowledge.json`: position given knowledge, and how the model was asked."""

from typing import Literal

from pydantic import ConfigDict, Field

from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.core.types import Record
from eidolon.scorers.forgetting.judge_position import JudgePosition
from eidolon.scorers.forgetting.knowledge import KnowledgeSummary

SCHEMA: Literal["eidolon/knowledge/2"] = "eidolon/knowledge/2"


class KnowledgeDetail(Record):
    """The content of `knowledge.json`."""

    model_config = ConfigDict(allow_inf_nan=False)

    schema_: Literal["eidolon/knowledge/2"] = Field(alias="schema")
    signature: str
    absent: int
    """Most absent objects of an image that were asked about."""
    wordings: tuple[str, ...]
    failed: int
    """Images without answers because of an error."""
    judge_position: JudgePosition | None = None
    """How the judge reads early and late sentences. Absent from files of earlier versions, which do not hold it."""
    found: KnowledgeSummary

    def to_json(self) -> str:
        """Return the text of the file."""
        return self.model_dump_json(by_alias=True, indent=2) + "\n"


def quantities(found: KnowledgeSummary) -> dict[str, Estimate]:
    """Return the numbers for `scores.json`, by name."""
    return {
        "position_given_knowledge": found.position_given_knowledge,
        "position_without_knowledge": found.plain,
        "knowledge_coefficient": found.knowledge,
    }
