"""`orders.json`: the results of forced orders, and how the orders were forced."""

from typing import Literal

from pydantic import ConfigDict, Field

from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.core.scores import Scores, with_quantities
from eidolon.scorers.core.types import Record
from eidolon.scorers.forgetting.forced_orders import ContrastName, OrderContrast, OrdersSummary

SCHEMA: Literal["eidolon/orders/1"] = "eidolon/orders/1"
FAMILY = "forgetting"
REPORTED: dict[str, ContrastName] = {"order_difficulty": "difficulty", "order_lateness": "lateness"}
"""The contrasts that `scores.json` has, by the name of their metric: differences of the rate."""


class MissingTurns(Record):
    """Images without turns, and why."""

    images: int
    reason: str


class OrdersDetail(Record):
    """The content of `orders.json`."""

    model_config = ConfigDict(allow_inf_nan=False)

    schema_: Literal["eidolon/orders/1"] = Field(alias="schema")
    signature: str
    frame: str
    """The sentence that names objects for the model."""
    window: int
    """Number of words after it that are read."""
    missing: tuple[MissingTurns, ...]
    found: OrdersSummary

    def contrast(self, name: ContrastName) -> OrderContrast | None:
        """Return a contrast, None if it was not measured."""
        return next((one for one in self.found.contrasts if one.name == name), None)

    def to_json(self) -> str:
        """Return the text of the file."""
        return self.model_dump_json(by_alias=True, indent=2) + "\n"


def with_orders(scores: Scores, found: OrdersSummary) -> Scores:
    """Return the scores with the effects of forced orders added to the family `forgetting`."""
    known = {contrast.name: contrast for contrast in found.contrasts}
    values = {name: _value(known.get(contrast), found) for name, contrast in REPORTED.items()}
    return with_quantities(scores, FAMILY, values)


def _value(contrast: OrderContrast | None, found: OrdersSummary) -> Estimate:
    rate = Estimate.undefined() if contrast is None else contrast.rate
    reason = found.reason if contrast is None else contrast.reason
    return Estimate(value=rate.value, ci=rate.ci, n=found.images, higher_is_better=False, reason=reason)
