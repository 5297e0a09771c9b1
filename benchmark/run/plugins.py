"""Judges and metrics by name, with their options."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from inspect import Parameter, signature
from typing import Any

from eidolon.models.base.options import construct
from eidolon.scorers.core import registry
from eidolon.scorers.core.errors import UserError, did_you_mean
from eidolon.scorers.core.metric import Metric
from eidolon.scorers.core.types import Judge, VotingJudge
from eidolon.scorers.judges.matching import NameMatcher, OpenJudge

METRICS = ("chair", "objects", "forgetting")
"""What free-form descriptions are scored with unless the user says otherwise, …"""
VOTED_METRICS = ("throne", "objects")
"""… and where the judge has several votes: it does not count mentions, as `chair` does."""
ANSWER_METRICS = ("amber", "detection", "pope", "throne")
"""What scores answers or human flags from files of its own, and so stands alone in `eidolon score`."""


def make_judge(name: str, options: Mapping[str, str]) -> Judge:
    """Construct a judge; an unknown name or option is a UserError.

    A judge whose factory has a parameter `models: Sequence[LanguageModel]` is given the language models that the
    option `models` names (see `models.backends.text_models`), which get the options that it does not take itself.
    """
    factory = registry.judges.get(name)
    own = _parameters(factory)
    wants = own.get("models")
    # One that can do without is given none unless some are named.
    if (
        wants is not None
        and "LanguageModel" in str(wants.annotation)
        and ("models" in options or wants.default is Parameter.empty)
    ):
        from eidolon.models.backends.text_models import language_models

        foreign = {key: value for key, value in options.items() if key not in own}
        models = language_models(options.get("models"), foreign, taken=tuple(own))
        options = {key: value for key, value in options.items() if key in own and key != "models"}
        factory = partial(factory, models=models)
    return construct(factory, options, flag="-J", what=f"judge {name!r}")


def make_metrics(names: Sequence[str], judge: Judge) -> tuple[Metric, ...]:
    """Construct metrics for what a judge has read; none means `METRICS`, or `VOTED_METRICS`.

    A metric whose factory has a parameter `judge` is given the judge. An unknown name, and one given twice, are
    UserErrors.
    """
    if len(set(names)) != len(names):
        raise UserError(f"--metric {','.join(names)}: names a metric twice")
    for name in names:
        if name in registry.metrics.names():
            continue
        if name in ANSWER_METRICS:
            raise UserError(f"--metric {name}: scores files of answers; use eidolon score --metric {name}")
        mend = did_you_mean(name, [*registry.metrics.names(), *ANSWER_METRICS])
        raise UserError(f"unknown metric {name!r}{mend}")
    default = VOTED_METRICS if isinstance(judge, VotingJudge) else METRICS
    return tuple(_make_metric(registry.metrics.get(name), judge) for name in names or default)


def check_fit(judge: Judge, metrics: Sequence[Metric]) -> None:
    """Raise a UserError for a metric that needs other verdicts than the judge gives."""
    matcher = judge.matcher if isinstance(judge, OpenJudge) else None
    kind = "objects" if matcher is None else matcher.kind
    alike = matcher is not None and kind == "objects"
    if isinstance(matcher, NameMatcher):
        alike = matcher.embedder is not None
    for metric in metrics:
        family = metric.family
        if family == "openchair" and kind != "asked":
            raise UserError(
                "--metric openchair: asks a language model about the references; "
                "give --judge nouns (or extract) with -J match=lm and -J models=…"
            )
        if family == "aloha" and not alike:
            raise UserError(
                "--metric aloha: needs similarities; give --judge nouns (or extract) with -J embeddings=MODEL"
            )
        if family in METRICS and kind == "asked":
            raise UserError(f"--metric {family}: -J match=lm knows no objects; give --metric openchair")
        if family == "forgetting" and isinstance(judge, VotingJudge):
            raise UserError(f"--metric forgetting: judge {judge.name} does not say where an object is named")
        if family in METRICS and kind == "references":
            raise UserError(
                f"--metric {family}: judge {judge.name} reads words of all kinds; give --metric detection"
            )


def needs_references(judge: Judge, metrics: Sequence[Metric]) -> str | None:
    """Return what cannot do without reference captions, as the command line has it, or None."""
    if any(metric.family == "aloha" for metric in metrics):
        return "--metric aloha"
    if isinstance(judge, OpenJudge) and judge.matcher.kind == "asked":
        return "-J match=lm"
    return f"--judge {judge.name}" if matches_references(judge) else None


def matches_references(judge: Judge) -> bool:
    """Tell whether verdicts come from the text of the references, not from true objects."""
    return isinstance(judge, OpenJudge) and judge.matcher.kind != "objects"


def _make_metric(factory: Callable[..., Metric], judge: Judge) -> Metric:
    given: dict[str, Any] = {"judge": judge} if takes_judge(factory) else {}
    return factory(**given)


def takes_judge(factory: Callable[..., Metric]) -> bool:
    """Tell whether a metric is made for the judge whose reading it counts."""
    return "judge" in _parameters(factory)


def needs_judge(factory: Callable[..., Metric]) -> bool:
    """Tell whether a metric cannot be made without that judge."""
    return takes_judge(factory) and _parameters(factory)["judge"].default is Parameter.empty


def _parameters(factory: Callable[..., Any]) -> Mapping[str, Parameter]:
    """Return the parameters by name; nothing for what cannot be looked into."""
    try:
        return signature(factory).parameters
    except (TypeError, ValueError):
        return {}
