"""Judges and metrics by name, with their options."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from inspect import signature
from typing import Any

from eidolon.models.options import construct
from eidolon.scorers import registry
from eidolon.scorers.errors import UserError, did_you_mean
from eidolon.scorers.metric import Metric
from eidolon.scorers.types import Judge, VotingJudge

METRICS = ("chair", "objects")
"""What free-form descriptions are scored with unless the user says otherwise, …"""
VOTED_METRICS = ("throne", "objects")
"""… and where the judge has several votes: it does not count mentions, as `chair` does."""
ANSWER_METRICS = ("amber", "detection", "pope", "throne")
"""What scores answers or human flags from files of its own, and so stands alone in `eidolon score`."""


def make_judge(name: str, options: Mapping[str, str]) -> Judge:
    """Construct a judge; an unknown name or option is a UserError.

    A judge whose factory has a parameter `models: Sequence[LanguageModel]` is given the language models that the
    option `models` names (see `eidolon.models.text_models`), which get the options that it does not take itself.
    """
    factory = registry.judges.get(name)
    own = _parameters(factory)
    if "LanguageModel" in str(own.get("models", "")):
        from eidolon.models.text_models import language_models

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


def _make_metric(factory: Callable[..., Metric], judge: Judge) -> Metric:
    given: dict[str, Any] = {"judge": judge} if "judge" in _parameters(factory) else {}
    return factory(**given)


def _parameters(factory: Callable[..., Any]) -> Mapping[str, Any]:
    """Return annotations by the name of the parameter; nothing for what cannot be looked into."""
    try:
        return {name: found.annotation for name, found in signature(factory).parameters.items()}
    except (TypeError, ValueError):
        return {}
