"""`JudgedSettings`: the settings that `eidolon run` and `eidolon score` share."""

import re
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, Field, model_validator

from eidolon.benchmark.settings.conditions import ConditionText
from eidolon.benchmark.settings.fields import AS_LIST, MAX_PROCESSES, Flag, Label, Options, Settings, Text
from eidolon.scorers.core.errors import did_you_mean
from eidolon.scorers.core.resampling import MAX_RESAMPLES, RESAMPLES
from eidolon.scorers.text.last_sentence import LastSentence

_ACTORS = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")

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


def actor_bounds(text: str) -> tuple[int, int]:
    """Return the fewest and the most actors that a text says: `4`, or `1-8`.

    Raises:
        ValueError: it does not say that.
    """
    found = _ACTORS.fullmatch(text)
    least = int(found[1]) if found else 0
    most = int(found[2] or least) if found else 0
    if not 1 <= least <= most <= MAX_PROCESSES:
        raise ValueError(f"must be N or MIN-MAX, as 4 or 1-8, up to {MAX_PROCESSES}")
    return least, most


def _checked_actors(text: str) -> str:
    actor_bounds(text)
    return text


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
    executor: Annotated[Literal["local", "ray"], Flag("Advanced", metavar="local|ray", decides=False)] = (
        "local"
    )
    """Where models and judges work: local, or ray for the cluster that RAY_ADDRESS names."""
    actors: Annotated[
        Annotated[Text, AfterValidator(_checked_actors)] | None,
        Flag("Advanced", metavar="N|MIN-MAX", default="as many as the cluster holds", decides=False),
    ] = None
    """ray: models or judges that work together; MIN-MAX for a cluster that grows."""
    actor_gpus: Annotated[
        float | None,
        Field(ge=0, le=MAX_PROCESSES, allow_inf_nan=False),
        Flag("Advanced", default="1, 0 without GPUs", decides=False),
    ] = None
    """ray: GPUs of each; 0.5 lets two share one."""
    actor_cpus: Annotated[
        float, Field(gt=0, le=MAX_PROCESSES, allow_inf_nan=False), Flag("Advanced", decides=False)
    ] = 1
    """ray: CPU cores of each."""

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
