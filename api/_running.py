"""Runs: a model is asked and scored, or responses that exist already are scored."""

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import jsonlines

from eidolon._runs import FinishedRun, load_run
from eidolon.benchmark.report.page import render_report
from eidolon.benchmark.run.pipeline import execute
from eidolon.benchmark.run.planning import load_run_settings, make_plan
from eidolon.benchmark.run.score_plan import load_score_settings, make_score_plan
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.resampling import RESAMPLES
from eidolon.scorers.core.types import ImageId

Lines: TypeAlias = Iterable[Mapping[str, Any]]
"""Lines of a JSON Lines file, in memory."""


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
    execute(planned, generation, render_report)
    return load_run(planned.path)


def score(
    *,
    responses: str | Path | Lines,
    objects: str | Path | Lines | Mapping[ImageId, Sequence[str]],
    captions: str | Path | None = None,
    metrics: Sequence[str] = (),
    judge: str = "lexicon",
    judge_options: Mapping[str, str] | None = None,
    fields: Mapping[str, str] | None = None,
    limit: int | None = None,
    out: str | Path | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> FinishedRun:
    """Judge and score responses that exist already, and return the run.

    `responses` and `objects` are paths, or lists of what the lines of such files hold: `{"image_id", "response"}` and
    `{"image_id", "objects"}`; objects may also be given by image id. `captions` is a COCO captions JSON whose objects
    join the truth. `fields` gives the file's names for ours: `{"response": "caption"}`. Without `out` no run folder is
    kept.

    Raises:
        UserError: a name or an option is wrong, or an input cannot be read; the message names the place.
    """
    with tempfile.TemporaryDirectory() as temporary:
        settings = {
            "responses": _as_file(responses, Path(temporary) / "responses.jsonl"),
            "objects": _as_file(_as_lines(objects), Path(temporary) / "objects.jsonl"),
            "captions": None if captions is None else Path(captions),
            "fields": fields or None,
            "judge": judge,
            "judge_options": judge_options or None,
            "metrics": _as_names(metrics),
            "limit": limit,
            "seed": seed,
            "resamples": resamples,
        }
        folder = Path(temporary) / "run" if out is None else Path(out)
        plan = make_score_plan(load_score_settings(None, settings), folder)
        execute(plan.run, plan.producer, render_report)
        found = load_run(folder)
    return replace(found, path=None) if out is None else found


def _as_lines(objects: str | Path | Lines | Mapping[ImageId, Sequence[str]]) -> str | Path | Lines:
    if isinstance(objects, Mapping):
        return [{"image_id": image_id, "objects": [*names]} for image_id, names in objects.items()]
    return objects


def _as_file(given: str | Path | Lines, path: Path) -> Path:
    """Return the file that was given, or write the lines that were given into `path`."""
    if isinstance(given, str | Path):
        return Path(given)
    with jsonlines.open(path, "w") as writer:
        writer.write_all(given)
    return path


def _as_names(metrics: Sequence[str]) -> tuple[str, ...]:
    if isinstance(metrics, str):
        raise UserError(f"metrics: must be a list of names, found the text {metrics!r}; write [{metrics!r}]")
    return tuple(metrics)
