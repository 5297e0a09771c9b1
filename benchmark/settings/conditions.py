"""Conditions on scores as `--require` takes them: `chair_i<=0.15`."""

import math
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, TypeAlias

from pydantic import AfterValidator

COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": lambda value, limit: math.isclose(value, limit, rel_tol=1e-9, abs_tol=1e-12),
    "<": operator.lt,
    ">": operator.gt,
}
"""What a condition may say. Two floating-point numbers are equal if they differ by rounding alone."""
_CONDITION = re.compile(r"\s*([A-Za-z_][\w.-]*)\s*(<=|>=|==|<|>)\s*(\S+)\s*")


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition on a score."""

    text: str
    name: str
    """`family.quantity`, or the quantity alone."""
    comparison: str
    limit: float

    def holds(self, value: float) -> bool:
        """Tell whether a value meets the condition."""
        return COMPARISONS[self.comparison](value, self.limit)


def parse_condition(text: str) -> Condition:
    """Return a condition from its text.

    Raises:
        ValueError: it is not `NAME<=NUMBER`, with one of `COMPARISONS` and a finite number.
    """
    found = _CONDITION.fullmatch(text)
    try:
        limit = float(found[3]) if found else math.nan
    except ValueError:
        limit = math.nan
    if found is None or not math.isfinite(limit):
        raise ValueError("expected NAME<=NUMBER, as chair_i<=0.15, with one of <= < >= > ==")
    return Condition(text.strip(), found[1], found[2], limit)


def _checked(text: str) -> str:
    return parse_condition(text).text


ConditionText: TypeAlias = Annotated[str, AfterValidator(_checked)]
"""The text of a condition, checked."""
