"""From settings to a run over responses or answers that exist already."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from eidolon.benchmark.settings.fields import AUTO, flag_name
from eidolon.benchmark.settings.load import Given, load_settings
from eidolon.benchmark.settings.score import ScoreSettings
from eidolon.benchmark.tasks.protocol import FileTask, Producer, Run
from eidolon.benchmark.tasks.registry import RESPONSES, check_fields, file_task, file_tasks
from eidolon.scorers.core.errors import UserError


@dataclass(frozen=True, slots=True)
class ScorePlan:
    """Everything one `eidolon score` will do."""

    task: FileTask
    run: Run
    producer: Producer


def load_score_settings(file: Path | None, flags: Mapping[str, Any]) -> Given[ScoreSettings]:
    """Merge a YAML file with what the flags say.

    Raises:
        UserError: a field is unknown, has a wrong value, is missing, or is for another task.
    """
    given = load_settings(ScoreSettings, file, flags)
    task = find_task(given.settings)
    check_fields(given, task)
    for field in task.needs:
        if not getattr(given.settings, field):
            usual = ("objects",) if task.name == RESPONSES else ()
            needed = " and ".join(flag_name(ScoreSettings, name) for name in (*task.needs, *usual))
            what = "to score responses" if task.name == RESPONSES else f"for --metric {task.name}"
            raise UserError(f"{flag_name(ScoreSettings, field)}: is missing; {what}, give {needed}")
    return given


def with_processes(given: Given[ScoreSettings]) -> Given[ScoreSettings]:
    """Return the settings with as many processes as are useful, unless the user names a number.

    This is the command line's default. In a user's own script a new process would run the script again.
    """
    if given.says("processes"):
        return given
    return replace(given, settings=given.settings.model_copy(update={"processes": AUTO}))


def make_score_plan(given: Given[ScoreSettings], out: Path) -> ScorePlan:
    """Read and check all inputs. Writes nothing.

    Raises:
        UserError: a setting or a file is wrong.
    """
    task = find_task(given.settings)
    run, producer = task.plan(given, out)
    return ScorePlan(task, run, producer)


def find_task(settings: ScoreSettings) -> FileTask:
    """Return the task that the metrics choose: one that is alone, or the one that judges responses.

    `throne` is alone with files of answers; with responses and no answers it is one metric among others.

    Raises:
        UserError: a metric that is alone is named beside others.
    """
    names = settings.metrics
    judged = settings.responses is not None and not settings.answers
    alone = [name for name in names if name in file_tasks() and not (judged and name == "throne")]
    if alone and len(names) > 1:
        raise UserError(
            f"--metric {','.join(names)}: {alone[0]} is scored alone; score it into a folder of its own"
        )
    return file_task(alone[0] if alone else RESPONSES)
