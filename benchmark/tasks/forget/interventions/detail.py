"""`interventions.json`: the effects of interventions during generation, and how they were made."""

from typing import Literal

from pydantic import ConfigDict, Field

from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.core.types import Record
from eidolon.scorers.forgetting.interventions import EffectAt, InterventionsSummary

SCHEMA: Literal["eidolon/interventions/1"] = "eidolon/interventions/1"


class MissingChanges(Record):
    """Images without turns at one t, and why."""

    at: int
    images: int
    reason: str


class InterventionsDetail(Record):
    """The content of `interventions.json`."""

    model_config = ConfigDict(allow_inf_nan=False)

    schema_: Literal["eidolon/interventions/1"] = Field(alias="schema")
    signature: str
    window: int
    """Words after the change that are read."""
    missing: tuple[MissingChanges, ...]
    found: InterventionsSummary

    def to_json(self) -> str:
        """Return the text of the file."""
        return self.model_dump_json(by_alias=True, indent=2) + "\n"


def quantities(found: InterventionsSummary) -> dict[str, Estimate]:
    """Return the numbers for `scores.json`, by name; those with a t are of the last one."""
    times = [one.at for one in found.effects if one.at is not None]
    last = max(times, default=None)
    return {
        "reminder_effect_change": _value(found.effect("reminder", None), "rate", found, better=True),
        "picture_effect": _value(found.effect("picture", last), "recall", found, better=True),
        "reminder_effect": _value(found.effect("reminder", last), "rate", found, better=None),
        "planted_effect": _value(found.effect("planted", last), "rate", found, better=False),
        "own_text_effect": _value(found.effect("own text", last), "rate", found, better=False),
    }


def _value(
    effect: EffectAt | None, quantity: str, found: InterventionsSummary, *, better: bool | None
) -> Estimate:
    number = Estimate.undefined() if effect is None else getattr(effect, quantity)
    reason = found.reason or "only one t was measured" if effect is None else effect.reason
    if effect is not None and number.value is None and reason is None:
        reason = "nothing is named there"
    return Estimate(
        value=number.value,
        ci=number.ci,
        n=found.images if effect is None else effect.images,
        higher_is_better=better,
        reason=reason,
    )
