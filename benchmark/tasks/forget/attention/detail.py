"""`attention.json`: attention on the picture by token, layer and verdict."""

from typing import Literal

from pydantic import ConfigDict, Field

from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.core.types import Record
from eidolon.scorers.forgetting.attention import AttentionSummary

SCHEMA: Literal["eidolon/attention/1"] = "eidolon/attention/1"


class AttentionDetail(Record):
    """The content of `attention.json`."""

    model_config = ConfigDict(allow_inf_nan=False)

    schema_: Literal["eidolon/attention/1"] = Field(alias="schema")
    signature: str
    found: AttentionSummary

    def to_json(self) -> str:
        """Return the text of the file."""
        return self.model_dump_json(by_alias=True, indent=2) + "\n"


def quantities(found: AttentionSummary) -> dict[str, Estimate]:
    """Return the numbers for `scores.json`, by name."""
    return {
        "attention_change_per_100_tokens": found.change,
        "readout_change_per_100_tokens": found.readout_change,
        "attention_hallucinated_minus_grounded": found.hallucinated_minus_grounded,
    }
