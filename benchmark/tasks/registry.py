"""Tasks by name: those of `eidolon run`, which ask a model, and those of `eidolon score`, which read files."""

from collections.abc import Callable, Mapping
from typing import Any, Literal

from eidolon.benchmark.settings.load import Given
from eidolon.benchmark.settings.run import RunSettings
from eidolon.benchmark.settings.score import ScoreSettings
from eidolon.benchmark.tasks.protocol import CheckedTask, FileTask, ModelTask
from eidolon.scorers.core.errors import UserError, did_you_mean
from eidolon.scorers.core.registry import Registry

Verb = Literal["run", "score"]
BUILTIN: Mapping[Verb, Mapping[str, str]] = {
    "run": {
        "describe": "eidolon.benchmark.tasks.describe.task:Describe",
        "probe": "eidolon.benchmark.tasks.probe.task:ProbeTask",
        "forget": "eidolon.benchmark.tasks.forget.task:ForgetTask",
        "answer": "eidolon.benchmark.tasks.answer.task:AnswerTask",
    },
    "score": {
        "responses": "eidolon.benchmark.tasks.score_files.responses_file:ResponsesTask",
        "amber": "eidolon.benchmark.tasks.score_files.amber:AmberTask",
        "detection": "eidolon.benchmark.tasks.score_files.detection:DetectionTask",
        "pope": "eidolon.benchmark.tasks.score_files.pope:PopeTask",
        "throne": "eidolon.benchmark.tasks.score_files.throne:ThroneTask",
        "capture": "eidolon.benchmark.tasks.score_files.long_captions.task:CaptureTask",
        "comprecap": "eidolon.benchmark.tasks.score_files.long_captions.task:CompreCapTask",
        "dash_b": "eidolon.benchmark.tasks.score_files.published.task:DashBTask",
        "hallusionbench": "eidolon.benchmark.tasks.score_files.published.task:HallusionBenchTask",
        "humblebench": "eidolon.benchmark.tasks.score_files.published.task:HumbleBenchTask",
        "mmhal": "eidolon.benchmark.tasks.answer.rated_files.task:MmHalTask",
        "repope": "eidolon.benchmark.tasks.score_files.published.task:RePopeTask",
    },
}
"""Our own tasks under their verbs, so that a command imports only those of its verb."""

tasks: "Registry[Callable[[], ModelTask | FileTask]]" = Registry(
    "task", "eidolon.tasks", {**BUILTIN["run"], **BUILTIN["score"]}
)

RESPONSES = "responses"
"""The task of `eidolon score` that judges responses, and takes all metrics but those of the other tasks."""


def model_task(name: str) -> ModelTask:
    """Return the task of `eidolon run` of that name.

    Raises:
        UserError: there is none.
    """
    found = _by_verb("run")
    if name not in found:
        raise UserError(f"--task {name!r}: unknown task{did_you_mean(name, [*found])}")
    task: ModelTask = found[name]
    return task


def file_task(name: str) -> FileTask:
    """Return the task of `eidolon score` of that name; that it exists was checked before."""
    task: FileTask = _by_verb("score")[name]
    return task


def file_tasks() -> tuple[str, ...]:
    """Return the tasks of `eidolon score` that a metric of the same name chooses."""
    return tuple(name for name in _by_verb("score") if name != RESPONSES)


def checked_task(name: str) -> CheckedTask | None:
    """Return the task of that name, None if it is not installed, or does not say how its runs are checked.

    Raises:
        UserError: its plug-in cannot be loaded.
    """
    task = tasks.get(name)() if name in tasks.names() else None
    return task if isinstance(task, CheckedTask) else None


def check_fields(given: Given[RunSettings] | Given[ScoreSettings], task: ModelTask | FileTask) -> None:
    """Refuse settings that another task takes and this one does not.

    Raises:
        UserError: there is one; it names the flag or the field of the file.
    """
    takers: dict[str, list[str]] = {}
    for name, other in _by_verb(task.verb).items():
        for field in other.fields:
            takers.setdefault(field, []).append("chair" if name == RESPONSES else name)
    what = "--task" if task.verb == "run" else "--metric"
    mine = "metrics of judged responses" if task.name == RESPONSES else f"{what} {task.name}"
    for field, names in takers.items():
        if field not in task.fields and given.says(field):
            raise UserError(
                f"{given.place(field)}: is for {what} {', '.join(names)}, not for {mine}; leave it out"
            )


def _by_verb(verb: Verb) -> dict[str, Any]:
    """Return the tasks of a verb. A plug-in says its verb itself, so that all of them are loaded."""
    others = {name for known, builtin in BUILTIN.items() if known != verb for name in builtin}
    found = {name: tasks.get(name)() for name in tasks.names() if name not in others}
    return {name: task for name, task in found.items() if task.verb == verb}
