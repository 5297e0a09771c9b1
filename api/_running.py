"""Runs: a model is asked and scored, or responses that exist already are scored."""

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import jsonlines

from eidolon._runs import FinishedRun, load_run
from eidolon.benchmark.report.page import render_report
from eidolon.benchmark.run.executor import cluster, judged_by
from eidolon.benchmark.run.pipeline import execute
from eidolon.benchmark.run.planning import load_run_settings, make_plan
from eidolon.benchmark.run.score_plan import load_score_settings, make_score_plan
from eidolon.scorers.core.errors import UserError

Lines: TypeAlias = Iterable[Mapping[str, Any]]
"""Lines of a JSON Lines file, in memory."""
ObjectsById: TypeAlias = Mapping[int, Sequence[str]] | Mapping[str, Sequence[str]]
"""The objects of each image."""


def run(
    model: str | type,
    *,
    dataset: str = "scenes",
    task: str = "describe",
    limit: int | None = None,
    out: str | Path | None = None,
    **settings: Any,
) -> FinishedRun:
    """Ask a model about a dataset, judge and score its responses, and return the run. The same call resumes.

    `model` is a name (`backend/name`, or a shipped model's), or a class with a method `generate(requests)` that needs
    no arguments. The run folder is `out/<name of the model>`; without `out` a folder under `results/runs`. `settings`
    are the fields of a `--config` file, for example `judge`, `metrics`, `seed`, `temperature`, `model_options`.

    Raises:
        UserError: a name, a setting or a file is wrong, or the model cannot be loaded.
    """
    name = model if isinstance(model, str) else f"python/{model.__module__}:{model.__qualname__}"
    chosen = {"models": [name], "dataset": dataset, "task": task, "limit": limit}
    given = load_run_settings(None, {**chosen, **settings})
    plan = make_plan(given, None if out is None else Path(out))
    ((planned, generation),) = plan.runs
    with cluster(given) as coordinator:
        if coordinator is not None:
            generation.coordinator = coordinator
            planned = judged_by(planned, coordinator.pool)
        execute(planned, generation, render_report)
    return load_run(planned.path)


def score(
    *,
    responses: str | Path | Lines | None = None,
    objects: str | Path | Lines | ObjectsById | None = None,
    metrics: Sequence[str] = (),
    judge: str | None = None,
    judge_options: Mapping[str, str] | None = None,
    out: str | Path | None = None,
    **settings: Any,
) -> FinishedRun:
    """Judge and score responses, or score answers, that exist already, and return the run.

    `responses` and `objects` are paths, or lists of what the lines of such files hold: `{"image_id", "response"}` and
    `{"image_id", "objects"}`; objects may also be given by image id. `settings` are the other fields that
    `eidolon score --config` reads: `captions`, `fields`, `limit`, `seed`, `resamples`, and for the answers to other
    benchmarks `answers`, `questions`, `annotations`, `policy`, … (`metrics=["pope"]`). Without `out` no run folder is
    kept.

    Raises:
        UserError: a name or an option is wrong, or an input cannot be read; the message names the place.
    """
    with tempfile.TemporaryDirectory() as temporary:
        given = {
            "responses": _as_file(responses, Path(temporary) / "responses.jsonl"),
            "objects": _as_file(_as_lines(objects), Path(temporary) / "objects.jsonl"),
            "metrics": _as_names(metrics) or None,
            "judge": judge,
            "judge_options": judge_options or None,
        }
        folder = Path(temporary) / "run" if out is None else Path(out)
        loaded = load_score_settings(None, {**given, **settings})
        plan = make_score_plan(loaded, folder)
        with cluster(loaded) as coordinator:
            planned = plan.run if coordinator is None else judged_by(plan.run, coordinator.pool)
            execute(planned, plan.producer, render_report)
        found = load_run(folder)
    return replace(found, path=None) if out is None else found


def _as_lines(objects: str | Path | Lines | ObjectsById | None) -> str | Path | Lines | None:
    if isinstance(objects, Mapping):
        return [{"image_id": image_id, "objects": [*names]} for image_id, names in objects.items()]
    return objects


def _as_file(given: str | Path | Lines | None, path: Path) -> Path | None:
    """Return the file that was given, or write the lines that were given into `path`."""
    if given is None or isinstance(given, str | Path):
        return None if given is None else Path(given)
    with jsonlines.open(path, "w") as writer:
        writer.write_all(given)
    return path


def _as_names(metrics: Sequence[str]) -> tuple[str, ...]:
    if isinstance(metrics, str):
        raise UserError(f"metrics: must be a list of names, found the text {metrics!r}; write [{metrics!r}]")
    return tuple(metrics)
