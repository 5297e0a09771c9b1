"""The records of `scores.json`. `metrics.scoring` computes them.

The file holds fractions, not percent, and no times: the same responses and settings give the same bytes. A
number that is undefined is null with a reason beside it; NaN cannot be written.
"""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from eidolon.scorers.core.calibration import Calibration
from eidolon.scorers.core.estimate import Estimate
from eidolon.scorers.core.types import Record

SCHEMA: Literal["eidolon/scores/1"] = "eidolon/scores/1"


def _with_n(estimate: Estimate) -> Estimate:
    if estimate.n is None:
        raise ValueError("an estimate of scores.json says from how many responses it was computed")
    return estimate


Score: TypeAlias = Annotated[
    Estimate,
    AfterValidator(_with_n),
    Field(json_schema_extra={"required": ["value", "ci", "n", "higher_is_better"]}),
]
"""An estimate as `scores.json` holds it: with `n` and `higher_is_better`."""


class CategoryScores(Record):
    """The quantities of one category, and the counts behind them."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Score] = Field(init=False)

    counts: dict[str, int | float]

    def __getitem__(self, quantity: str) -> Estimate:
        return self.__pydantic_extra__[quantity]

    def quantities(self) -> dict[str, Estimate]:
        """Return the quantities by name."""
        return dict(self.__pydantic_extra__ or {})


class Family(Record):
    """The quantities of one metric by name, and `per_category` if the metric has them."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Score] = Field(init=False)

    per_category: dict[str, CategoryScores] | None = None

    def __getitem__(self, quantity: str) -> Estimate:
        return self.__pydantic_extra__[quantity]

    def quantities(self) -> dict[str, Estimate]:
        """Return the quantities by name."""
        return dict(self.__pydantic_extra__ or {})

    @model_serializer(mode="wrap")
    def _per_category_last(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = handler(self)
        per_category = fields.pop("per_category", None)
        return fields if per_category is None else {**fields, "per_category": per_category}


class Samples(Record):
    """Numbers of responses: `requested` by the run, present (`samples` = `scored` + `unscored`), scored and not."""

    requested: int
    samples: int
    scored: int
    unscored: int


class Intervals(Record):
    """How every `ci` of the file was computed."""

    method: str
    level: float
    resamples: int
    seed: int
    clusters: int
    """Distinct images. All responses to an image are resampled together."""


class ResponseKinds(Record):
    """Responses, scored or not, that are no ordinary description. They inform the reader and are never part of a
    score."""

    empty: int
    refusals: int
    non_english: int
    truncated: int
    """Stopped by the token limit. A cut-off last sentence is judged as it stands, unless the settings drop it."""
    edited: dict[str, int] = Field(default_factory=dict)
    """By rule, the responses that it changed before they were judged. Absent from the file if there are none."""

    @model_serializer(mode="wrap")
    def _without_empty(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return _drop(handler(self), {"edited": {}})


class Variant(Record):
    """The scores of the same run with another threshold, policy or split."""

    label: str
    settings: dict[str, Any]
    metrics: dict[str, Family]


class Scores(Record):
    """The content of `scores.json`."""

    schema_: Literal["eidolon/scores/1"] = Field(alias="schema")
    signature: str
    n: Samples
    metrics: dict[str, Family]
    counts: dict[str, dict[str, int | float]] = Field(default_factory=dict)
    """By metric family, the sums of its statistics: the integers behind each ratio."""
    responses: ResponseKinds | None = None
    intervals: Intervals | None = None
    calibration: Calibration | None = None
    """Agreement among the votes of several judges. Absent for a judge with a single vote."""
    variants: tuple[Variant, ...] = ()

    def to_json(self) -> str:
        """Return the file's text: fixed key order, the shortest exact decimal of each float, a final newline."""
        document = _drop(self.model_dump(mode="json", by_alias=True), {"calibration": None})
        return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Scores":
        """Return the scores from the text of `to_json`.

        Raises:
            pydantic.ValidationError: the text is no scores file.
        """
        return cls.model_validate_json(text)


def with_quantities(scores: Scores, family: str, values: Mapping[str, Estimate]) -> Scores:
    """Return the scores with further quantities in a family, which may be new."""
    known = scores.metrics.get(family)
    kept = {} if known is None else known.quantities()
    per_category = None if known is None else known.per_category
    joined = Family(per_category=per_category, **{**kept, **values})
    return scores.model_copy(update={"metrics": {**scores.metrics, family: joined}})


def _drop(fields: dict[str, Any], empty: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in empty or value != empty[name]}
