"""Judges and metrics by name, with their options."""

from collections.abc import Mapping, Sequence

from eidolon.models.options import construct
from eidolon.scorers import registry
from eidolon.scorers.errors import UserError
from eidolon.scorers.metric import Metric
from eidolon.scorers.types import Judge

METRICS = ("chair", "objects")
"""What free-form descriptions are scored with unless the user says otherwise."""


def make_judge(name: str, options: Mapping[str, str]) -> Judge:
    """Construct a judge; an unknown name or option is a UserError."""
    return construct(registry.judges.get(name), options, flag="-J", what=f"judge {name!r}")


def make_metrics(names: Sequence[str]) -> tuple[Metric, ...]:
    """Construct metrics; none means `METRICS`. An unknown name, and one given twice, are UserErrors."""
    if len(set(names)) != len(names):
        raise UserError(f"--metric {','.join(names)}: names a metric twice")
    return tuple(registry.metrics.get(name)() for name in names or METRICS)
