"""`JudgedSettings`: the settings that `eidolon run` and `eidolon score` share."""

from typing import Annotated, Any, TypeAlias

from pydantic import Field, model_validator

from eidolon.benchmark.settings.conditions import ConditionText
from eidolon.benchmark.settings.fields import AS_LIST, Flag, Label, Options, Settings
from eidolon.scorers.core.errors import did_you_mean
from eidolon.scorers.core.resampling import MAX_RESAMPLES, RESAMPLES
from eidolon.scorers.text.last_sentence import LastSentence

MetricNames: TypeAlias = Annotated[
    tuple[str, ...],
    AS_LIST,
    Flag(
        "Judge",
        "--metric",
        metavar="NAME,…",
        default="chair,objects,forgetting; judge qa: throne,objects",
    ),
]
"""Families of metrics; none means those of the judge."""


class JudgedSettings(Settings):
    """Base of `RunSettings` and `ScoreSettings`."""

    judge: Annotated[str, Flag("Judge")] = "lexicon"
    """Judge that reads the responses: lexicon, qa, nouns, extract, words or a plug-in's."""
    judge_options: Annotated[Options, Flag("Judge", "-J", metavar="KEY=VALUE")] = Field({})
    """Option of the judge, as reading=original. Repeatable."""
    last_sentence: Annotated[LastSentence, Flag("Judge")] = "keep"
    """Last sentence of a response: keep, drop, or unfinished-only to drop it where it is cut off."""
    metrics: MetricNames = ()
    """Metrics, separated by commas."""
    max_unscored: Annotated[float, Field(ge=0, le=1), Flag("Output", decides=False)] = 0.05
    """Share of unscored responses above which the exit code is 3."""
    label: Annotated[
        Label | None,
        Flag("Output", metavar="NAME", default="the model's name; score: the folder's", decides=False),
    ] = None
    """Name of the run in leaderboards, reports and comparisons."""
    require: Annotated[
        tuple[ConditionText, ...], AS_LIST, Flag("Output", metavar="CONDITION", decides=False)
    ] = ()
    """Condition on a score, as 'chair_i<=0.15'; exit code 4 if it is not met. Repeatable."""
    resamples: Annotated[int, Field(ge=0, le=MAX_RESAMPLES), Flag("Advanced")] = RESAMPLES
    """Bootstrap resamples; 0 for no intervals."""

    @model_validator(mode="before")
    @classmethod
    def _expand(cls, fields: Any) -> Any:
        """A file may give the judge with its options in one field: `judge: {name: …, options: {…}}`."""
        if isinstance(fields, dict) and isinstance(judge := fields.get("judge"), dict):
            if unknown := sorted(map(str, judge.keys() - {"name", "options"})):
                hint = did_you_mean(unknown[0], ["name", "options"])
                raise ValueError(f"unknown field 'judge.{unknown[0]}', found {judge[unknown[0]]!r}{hint}")
            named = {"judge": judge["name"]} if "name" in judge else {}
            options = {"judge_options": judge["options"]} if "options" in judge else {}
            fields = {key: value for key, value in fields.items() if key != "judge"} | named | options
        return fields
