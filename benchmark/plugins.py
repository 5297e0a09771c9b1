"""Judges and metrics by name, with their options."""

from collections.abc import Mapping, Sequence

from eidolon.models.options import construct
from eidolon.scorers import registry
from eidolon.scorers.errors import UserError, did_you_mean
from eidolon.scorers.matching import NameMatcher, OpenJudge
from eidolon.scorers.metric import Metric
from eidolon.scorers.types import Judge

METRICS = ("chair", "objects")
"""What free-form descriptions are scored with unless the user says otherwise."""
ANSWER_METRICS = ("amber", "detection", "pope", "throne")
"""What scores answers or human flags from files of its own, and so stands alone in `eidolon score`."""


def make_judge(name: str, options: Mapping[str, str]) -> Judge:
    """Construct a judge; an unknown name or option is a UserError."""
    return construct(registry.judges.get(name), options, flag="-J", what=f"judge {name!r}")


def make_metrics(names: Sequence[str]) -> tuple[Metric, ...]:
    """Construct metrics; none means `METRICS`. An unknown name, and one given twice, are UserErrors."""
    if len(set(names)) != len(names):
        raise UserError(f"--metric {','.join(names)}: names a metric twice")
    for name in names:
        if name in ANSWER_METRICS:
            raise UserError(f"--metric {name}: scores files of answers; use eidolon score --metric {name}")
        if name not in registry.metrics.names():
            mend = did_you_mean(name, [*registry.metrics.names(), *ANSWER_METRICS])
            raise UserError(f"unknown metric {name!r}{mend}")
    return tuple(registry.metrics.get(name)() for name in names or METRICS)


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
