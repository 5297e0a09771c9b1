"""`eidolon list`: the names that the other verbs take."""

from typing import Annotated

import typer

KINDS = ("models", "datasets", "judges", "metrics", "prompts")


def list_names(
    kind: Annotated[str, typer.Argument(metavar="|".join(KINDS), help="What to list.")],
) -> None:
    """List the models, datasets, judges, metrics or prompts there are."""
    from eidolon.scorers.errors import UserError, did_you_mean

    if kind not in KINDS:
        raise UserError(f"list {kind!r}: unknown kind{did_you_mean(kind, KINDS)}")
    for line in _lines(kind):
        typer.echo(line)


def _lines(kind: str) -> list[str]:
    if kind == "models":
        from eidolon.models.registry import backends
        from eidolon.models.shipped import shipped_models

        return [*shipped_models(), *(f"{backend}/…" for backend in backends.names())]
    if kind == "prompts":
        from eidolon.benchmark.prompts import PRESETS, QUESTION_PRESETS

        presets = PRESETS | QUESTION_PRESETS
        width = max(map(len, presets))
        return [f"{name:{width}}  {' '.join(text.split())}" for name, text in presets.items()]
    if kind == "datasets":
        from eidolon.benchmark.datasets import registry

        return list(registry.names())
    from eidolon.scorers.registry import judges, metrics

    if kind == "judges":
        return list(judges.names())
    from eidolon.benchmark.plugins import ANSWER_METRICS

    return sorted({*metrics.names(), *ANSWER_METRICS})
