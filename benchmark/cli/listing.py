"""`eidolon list`: the names that the other verbs take, with a line on each; and what the response cache holds."""

from typing import Annotated, Any

import typer

from eidolon.benchmark.cli.common import with_examples

LEARNED = {
    "discover": "Categories for what responses name and no vocabulary covers; learned from the responses themselves",
    "risk": "How likely a mention is not in the picture, from text alone, also as --metric risk; has a shipped model",
    "probes": "Absent objects that models are likeliest to invent, for --split learned=FILE; learned from judged runs",
}
"""Learned parts, by the verb that uses each."""
KINDS = ("models", "datasets", "judges", "metrics", "prompts", "splits", "learned", "cache")


@with_examples(
    "eidolon list models",
    "eidolon list metrics --json",
)
def list_names(
    kind: Annotated[str, typer.Argument(metavar="|".join(KINDS), help="What to list.")],
    json: Annotated[bool, typer.Option("--json", help="Print a JSON object, name to description.")] = False,
    clear: Annotated[
        str | None,
        typer.Option(metavar="MODEL|all", help="With cache: delete the responses of a model, or all."),
    ] = None,
) -> None:
    """List the models, datasets, judges, metrics or prompts there are: the name, then what it is.

    `splits` lists the questions of probes, `learned` the verbs that learn from responses. `cache` lists the responses
    that are kept for other runs: where, how many, and the models they come from.
    """
    from eidolon.scorers.core.errors import UserError, did_you_mean

    if kind not in KINDS:
        raise UserError(f"list {kind!r}: unknown kind{did_you_mean(kind, KINDS)}")
    if clear is not None and kind != "cache":
        raise UserError(f"--clear {clear}: is for list cache only; leave it out")
    described: dict[str, Any] = _described(kind) if kind != "cache" else _cache(clear, plain=not json)
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
        from eidolon.models.backends.registry import backends
        from eidolon.models.base.shipped import describe, memory_models, shipped_models

        return {
            **{name: describe(path) for name, path in shipped_models().items()},
            **{f"memory/{name}": describe(path) for name, path in memory_models().items()},
            **{f"{backend}/…": backends.describe(backend) for backend in backends.names()},
        }
    if kind == "prompts":
        from eidolon.benchmark.data.prompts import PRESETS, QUESTION_PRESETS

        return PRESETS | QUESTION_PRESETS
    if kind == "learned":
        return LEARNED
    if kind == "splits":
        from eidolon.benchmark.tasks.rows import DESCRIPTIONS

        return DESCRIPTIONS
    if kind == "datasets":
        from eidolon.benchmark.data.caption_layouts import CAPTION_DATA
        from eidolon.benchmark.data.datasets import registry
        from eidolon.benchmark.data.question_layouts import LAYOUTS
        from eidolon.benchmark.tasks.score_files.labelled_spans import DATA as SEGMENTS
        from eidolon.benchmark.tasks.score_files.tagged_words import DATA

        return (
            {name: registry.describe(name) for name in registry.names()}
            | {
                name: f"Questions for run --dataset {name}/PATH and score --metric {name}; data: {layout.data}; "
                f"licence: {layout.licence}"
                for name, layout in LAYOUTS.items()
            }
            | {name: f"{given.data}; licence: {given.licence}" for name, given in CAPTION_DATA.items()}
            | {"detailverifybench": DATA, "mhal_detect": SEGMENTS}
        )
    from eidolon.scorers.core.registry import judges, metrics

    if kind == "judges":
        return {name: judges.describe(name) for name in judges.names()}
    from eidolon.benchmark.tasks.registry import file_tasks, tasks

    found = {name: metrics.describe(name) for name in metrics.names()}
    found |= {name: tasks.describe(name) for name in file_tasks()}
    return dict(sorted(found.items()))


def _cache(clear: str | None, *, plain: bool) -> dict[str, Any]:
    """Return what the response cache holds, after deleting what is to go; `plain` as text."""
    from datetime import UTC, datetime

    from eidolon.benchmark.engine.cache import look, remove

    removed = {}
    if clear is not None:
        _, count = remove(None if clear == "all" else clear)
        removed = {"removed": f"{count} responses" if plain else count}
    path, size, summaries = look()
    total = sum(model.responses for model in summaries)
    if not plain:
        models = {
            model.name: {"responses": model.responses, "bytes": model.size, "states": model.states}
            for model in summaries
        }
        return {**removed, "path": str(path), "bytes": size, "responses": total, "models": models}
    found = {**removed, "path": str(path or "none: there is no home folder; set EIDOLON_CACHE")}
    found["size"] = f"{total} responses, {size / 1e6:.1f} MB"
    for model in summaries:
        used = datetime.fromtimestamp(model.used, UTC).date().isoformat() if model.used else "never"
        states = f", {model.states} states of it" if model.states > 1 else ""
        found[model.name] = (
            f"{model.responses} responses, {model.size / 1e6:.1f} MB, last used {used}{states}"
        )
    return found
