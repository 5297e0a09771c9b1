"""`eidolon list`: the names that the other verbs take, with a line on each."""

from typing import Annotated

import typer

KINDS = ("models", "datasets", "judges", "metrics", "prompts")


def list_names(
    kind: Annotated[str, typer.Argument(metavar="|".join(KINDS), help="What to list.")],
    json: Annotated[bool, typer.Option("--json", help="Print a JSON object, name to description.")] = False,
) -> None:
    """List the models, datasets, judges, metrics or prompts there are: the name, then what it is."""
    from eidolon.scorers.errors import UserError, did_you_mean

    if kind not in KINDS:
        raise UserError(f"list {kind!r}: unknown kind{did_you_mean(kind, KINDS)}")
    described = _described(kind)
    if json:
        from json import dumps

        typer.echo(dumps(described, indent=2, ensure_ascii=False))
        return
    width = max(map(len, described), default=0)
    for name, text in described.items():
        typer.echo(f"{name:{width}}  {' '.join(text.split())}".rstrip())


def _described(kind: str) -> dict[str, str]:
    """Return the description of each name, in the order of the list."""
    if kind == "models":
        from eidolon.models.registry import backends
        from eidolon.models.shipped import describe, shipped_models

        return {
            **{name: describe(path) for name, path in shipped_models().items()},
            **{f"{backend}/…": backends.describe(backend) for backend in backends.names()},
        }
    if kind == "prompts":
        from eidolon.benchmark.prompts import PRESETS, QUESTION_PRESETS

        return PRESETS | QUESTION_PRESETS
    if kind == "datasets":
        from eidolon.benchmark.datasets import registry

        return {name: registry.describe(name) for name in registry.names()}
    from eidolon.scorers.registry import first_sentence, judges, metrics

    if kind == "judges":
        return {name: judges.describe(name) for name in judges.names()}
    from eidolon.benchmark.plugins import ANSWER_METRICS

    found = {name: metrics.describe(name) for name in metrics.names()}
    found |= {name: first_sentence(f"eidolon.benchmark.answers.{name}") for name in ANSWER_METRICS}
    return dict(sorted(found.items()))
