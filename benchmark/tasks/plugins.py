"""Judges and metrics by name, with their options. What a plug-in may declare is in `scorers.core`."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from inspect import signature

from eidolon.models.base.options import construct
from eidolon.scorers.core import registry
from eidolon.scorers.core.errors import UserError, did_you_mean
from eidolon.scorers.core.foreign import foreign_code
from eidolon.scorers.core.judge import (
    DefaultMetricsJudge,
    Judge,
    LanguageModelJudgeFactory,
    NarrowJudge,
    OpenJudge,
    OpenJudgeFactory,
    RemakableJudgeFactory,
    VotingJudge,
    verdicts_from,
)
from eidolon.scorers.core.metric import (
    CostlyMetric,
    JudgeCheckingMetric,
    JudgeMetricFactory,
    Metric,
    ReferenceMetric,
)
from eidolon.scorers.core.types import ImageId

METRICS = ("chair", "objects", "forgetting")
"""Metrics of free-form descriptions where neither the user nor the judge names any."""
ANSWER_METRICS = (
    "amber",
    "capture",
    "comprecap",
    "dash_b",
    "detection",
    "hallusionbench",
    "humblebench",
    "mmhal",
    "pope",
    "repope",
    "throne",
)
"""Metrics of `eidolon score` that read files of answers or of human flags. Each is used alone."""


def make_judge(name: str, options: Mapping[str, str]) -> Judge:
    """Construct a judge.

    A class that asks language models gets those that the option `models` names (`models.backends.text_models`).
    Options that the class does not take itself go to the models.

    Raises:
        UserError: no judge has this name, or the judge does not take an option.
    """
    factory = registry.judges.get(name)
    if isinstance(factory, LanguageModelJudgeFactory) and (
        "models" in options or factory.language_models == "required"
    ):
        from eidolon.models.backends.text_models import language_models

        own = tuple(signature(factory).parameters)
        foreign = {key: value for key, value in options.items() if key not in own}
        models = language_models(options.get("models"), foreign, taken=own)
        options = {key: value for key, value in options.items() if key in own and key != "models"}
        factory = partial(factory, models=models)
    with foreign_code():
        return construct(factory, options, flag="-J", what=f"judge {name!r}")


def has_closed_vocabulary(name: str) -> bool | None:
    """Tell whether a judge's verdicts follow from the true objects alone. None if no judge of this name is installed.

    The judge is not made, so that no model is loaded.
    """
    if name not in registry.judges.names():
        return None
    factory = registry.judges.get(name)
    return not (isinstance(factory, OpenJudgeFactory) and factory.open_vocabulary)


def why_not_remade(name: str, options: Mapping[str, str]) -> str | None:
    """Return why a judge must not be made from the options that a run folder records, None if it may.

    A folder may come from a stranger, and its options could name a model or a file to load.
    """
    if name not in registry.judges.names():
        return "no judge of this name is installed"
    factory = registry.judges.get(name)
    if not isinstance(factory, RemakableJudgeFactory):
        return "it asks language models, or is a plug-in that does not declare it"
    outside = factory.loads_from_outside(options)
    return f"{outside} does not ship with Eidolon" if outside else None


def make_metrics(names: Sequence[str], judge: Judge) -> tuple[Metric, ...]:
    """Construct metrics for a judge. Without names, the metrics are those that the judge declares, or `METRICS`.

    Raises:
        UserError: no metric has this name, a name is given twice, or a metric cannot count this judge.
    """
    if len(set(names)) != len(names):
        raise UserError(f"--metric {','.join(names)}: names a metric twice")
    for name in names:
        if name in registry.metrics.names():
            continue
        if name in ANSWER_METRICS:
            raise UserError(f"--metric {name}: scores files of answers; use eidolon score --metric {name}")
        hint = did_you_mean(name, [*dict.fromkeys((*registry.metrics.names(), *ANSWER_METRICS))])
        raise UserError(f"unknown metric {name!r}{hint}")
    default = judge.default_metrics if isinstance(judge, DefaultMetricsJudge) else METRICS
    return tuple(_make_metric(registry.metrics.get(name), judge) for name in names or default)


def affordable(metrics: Sequence[Metric], responses: int) -> tuple[tuple[Metric, ...], tuple[str, ...]]:
    """Return the metrics that so many responses are scored with by default, and the families that cost too much."""
    dear = [m for m in metrics if isinstance(m, CostlyMetric) and responses > m.default_responses]
    return tuple(m for m in metrics if m not in dear), tuple(m.family for m in dear)


def training_warnings(judge: Judge, dataset: str | None, image_ids: Iterable[ImageId]) -> tuple[str, ...]:
    """Return a warning where a judge knows the texts of one dataset alone, and these are others.

    `dataset` is the name of the dataset that the responses are about. Without it, as for a file of responses, they are
    of a dataset if the id of every image begins with its name, as those of Scenes do.
    """
    if not isinstance(judge, NarrowJudge):
        return ()
    ids = None if dataset is not None else [str(image_id) for image_id in image_ids]
    return tuple(
        f"{', '.join(parts)} of judge {judge.name} was trained on texts of {known} alone, and these are others: the "
        "scores say little, so they have no headline; name larger language models by -J models="
        for known, parts in judge.narrow().items()
        if (dataset != known if ids is None else not all(i.startswith(f"{known}-") for i in ids))
    )


def check_fit(judge: Judge, metrics: Sequence[Metric]) -> None:
    """Raise a UserError for a metric that cannot use the judge's verdicts."""
    for metric in metrics:
        if isinstance(metric, JudgeCheckingMetric) and (reason := metric.check_judge(judge)):
            raise UserError(f"--metric {metric.family}: {reason}")


def check_annotated(judge: Judge, where: str) -> None:
    """Check that a judge can be used with the truth of an annotator, which knows of its names alone.

    Raises:
        UserError: the judge has an open vocabulary, or several votes. `where` begins the message.
    """
    if isinstance(judge, OpenJudge | VotingJudge) or not judge.vocabulary:
        raise UserError(
            f"{where}: this truth was made by eidolon annotate and knows of its names alone, and judge {judge.name!r} "
            "reports others or votes; give --judge lexicon, with -J lexicon=FILE for names of your own"
        )


def needs_references(judge: Judge, metrics: Sequence[Metric]) -> str | None:
    """Return what needs reference captions, as on the command line, None if nothing does."""
    for metric in metrics:
        if isinstance(metric, ReferenceMetric) and metric.needs_references:
            return f"--metric {metric.family}"
    source = verdicts_from(judge)
    if source == "language_model":
        return f"--judge {judge.name}, which asks a language model about captions"
    return f"--judge {judge.name}" if source == "references" else None


def matches_references(judge: Judge) -> bool:
    """Tell whether verdicts come from the text of the references, not from true objects."""
    return verdicts_from(judge) != "objects"


def needs_judge(factory: Callable[..., Metric]) -> bool:
    """Tell whether a metric cannot be made without the judge that it counts."""
    return isinstance(factory, JudgeMetricFactory) and factory.needs_judge


def _make_metric(factory: Callable[..., Metric], judge: Judge) -> Metric:
    return factory.for_judge(judge) if isinstance(factory, JudgeMetricFactory) else factory()
