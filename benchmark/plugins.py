"""Judges and metrics by name, with their options."""

from collections.abc import Mapping, Sequence

from eidolon.models.options import construct
from eidolon.scorers import registry
from eidolon.scorers.errors import UserError, did_you_mean
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
