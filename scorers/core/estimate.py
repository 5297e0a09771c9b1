"""A number with its interval: the one record that every stage uses for it."""

import math
from typing import Any

from pydantic import ConfigDict, SerializerFunctionWrapHandler, model_serializer

from eidolon.scorers.core.types import Record


class Estimate(Record):
    """A number with its 95 % interval.

    In a file, `n` and `higher_is_better` stand together or not at all: a record that says elsewhere what its
    numbers were computed from leaves both out.
    """

    model_config = ConfigDict(allow_inf_nan=False)

    value: float | None
    """Null where the number is undefined; then `reason` says why, or the record around it does."""
    ci: tuple[float, float] | None
    """Lower and upper bound. Null where there is no interval."""
    n: int | None = None
    """Responses that it was computed from."""
    higher_is_better: bool | None = None
    """Null where neither direction is better."""
    reason: str | None = None
    """Why there is no value, or no interval. Absent from the file where there is none."""
    undefined_resamples: int = 0
    """Resamples in which the number was undefined, so that the interval leaves them out. Absent when 0."""
    method: str | None = None
    """How the interval was computed, where it is not the bootstrap that the record around it names."""

    @classmethod
    def of(cls, value: float, low: float, high: float, method: str | None = None) -> "Estimate":
        """Return an estimate from floats. NaN as the value or as the bounds means that there is none."""
        ci = None if math.isnan(low) else (low, high)
        return cls(value=None if math.isnan(value) else value, ci=ci, method=method)

    @classmethod
    def undefined(cls, reason: str | None = None) -> "Estimate":
        """Return an estimate without a value and without an interval."""
        return cls(value=None, ci=None, reason=reason)

    def __str__(self) -> str:
        if self.value is None:
            return f"undefined ({self.reason})" if self.reason else "undefined"
        return f"{self.value:.3f}" + (f" [{self.ci[0]:.3f}, {self.ci[1]:.3f}]" if self.ci else "")

    @model_serializer(mode="wrap")
    def _without_empty(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields: dict[str, Any] = handler(self)
        absent = set()
        if self.n is None:
            absent |= {"n", "higher_is_better"}
        if self.reason is None:
            absent.add("reason")
        if self.undefined_resamples == 0:
            absent.add("undefined_resamples")
        if self.method is None:
            absent.add("method")
        return {name: value for name, value in fields.items() if name not in absent}
