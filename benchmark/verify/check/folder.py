"""Whether a run folder holds the files of its task, in the form of this version, as they were when the run ended."""

import os
from pathlib import Path

from eidolon.benchmark.store.atomic import file_hashes, hashed_names
from eidolon.benchmark.store.batch_file import Key
from eidolon.benchmark.store.files import (
    HASHED,
    JUDGEMENTS,
    QUESTIONS,
    REPORT,
    RESPONSES,
    RUN,
    SAMPLES,
    SCORES,
)
from eidolon.benchmark.store.loaded import RunFileError
from eidolon.benchmark.store.record import SampleRow
from eidolon.benchmark.tasks.checking.checks import TaskChecks, TaskFile
from eidolon.benchmark.tasks.checking.problems import DifferenceError, UncheckableError
from eidolon.benchmark.tasks.checking.run import CheckedRun
from eidolon.benchmark.tasks.registry import checked_task
from eidolon.benchmark.tasks.rows import QuestionRow
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import excerpt
from eidolon.scorers.core.types import Judgement, Response
from eidolon.scorers.forgetting.detail import ForgettingDetail
from eidolon.scorers.forgetting.rivals.table import Rivals

LINES = ".jsonl"
STANDARD: tuple[TaskFile, ...] = (
    TaskFile(SAMPLES, SampleRow, required=False),
    TaskFile(QUESTIONS, QuestionRow, required=False),
    TaskFile(RESPONSES, Response, required=False),
    TaskFile(JUDGEMENTS, Judgement, required=False),
    TaskFile("forgetting.json", ForgettingDetail, required=False),
    TaskFile("rivals.json", Rivals, required=False),
)
"""Files with the same form in the runs of all tasks."""


class CheckedFolder:
    """A run folder under check, with what its task knows of it."""

    def __init__(self, path: Path) -> None:
        """Take the folder.

        Raises:
            UserError: it is not a run folder, or the plug-in of its task cannot be loaded.
        """
        self.run = CheckedRun(path)
        task = checked_task(self.run.record.config.task)
        self.task_files: tuple[TaskFile, ...] = () if task is None else task.run_files
        """The files that the task declares; none if it is not installed."""
        self._checks: TaskChecks | None = None if task is None else task.checks()
        self.files: dict[str, TaskFile] = {file.name: file for file in (*STANDARD, *self.task_files)}
        """All files whose form is known, by name."""
        hashed = (name for name in sorted(os.listdir(path)) if Path(name).suffix in HASHED and name[0] != ".")
        names = dict.fromkeys((*self.files, SCORES, REPORT, *hashed))
        self.unreadable = {name: reason for name in names if (reason := self.run.loaded.why_unreadable(name))}
        """The files that must not be opened, with the reason."""

    @property
    def checks(self) -> TaskChecks:
        """What the task knows of its runs.

        Raises:
            UncheckableError: the task is not installed, or does not say how its runs are checked.
        """
        if self._checks is None:
            task = self.run.record.config.task
            raise UncheckableError(f"the task {excerpt(task)} is not one that checks know")
        return self._checks

    @property
    def known_checks(self) -> TaskChecks:
        """What the task knows of its runs; what all runs share if it is not installed."""
        return TaskChecks() if self._checks is None else self._checks

    @property
    def needed(self) -> tuple[str, ...]:
        """The files that every run of the task has."""
        return tuple(file.name for file in self.task_files if file.required)

    def keys(self) -> list[Key]:
        """Return (sample id, generation) of every response that the run should have."""
        return self.known_checks.keys(self.run)

    def keeps(self, name: str) -> bool:
        """Tell whether the task declares a file, and the folder holds it if not every run of the task does."""
        return name in self.needed or (
            any(file.name == name for file in self.task_files) and self.run.has(name)
        )

    def expects(self, name: str) -> bool:
        """Tell whether every run of the task has a file, or the folder holds it."""
        return name in self.needed or self.run.has(name)

    def check_files(self) -> str:
        """All files of such a run exist, and are regular files."""
        if problem := self.run.config_problem or self._task_problem():
            raise DifferenceError(f"{RUN}: config: {problem}")
        for name, problem in self.unreadable.items():
            raise DifferenceError(f"{name}: {problem}")
        needed = (*self.needed, SCORES)
        if missing := [name for name in needed if not self.run.has(name)]:
            raise DifferenceError(f"{', '.join(missing)} missing; a run of this kind has {', '.join(needed)}")
        known = {*self.files, SCORES, REPORT, RUN}
        others = sorted(name for name in os.listdir(self.run.path) if name not in known and name[0] != ".")
        more = f"; not looked at: {', '.join(others[:5])}" if others else ""
        return f"{RUN} and {', '.join(needed)}{more}"

    def check_schema(self) -> str:
        """Every line of every file has the form that this version writes."""
        checked = []
        loaded = self.run.loaded
        try:
            for file in filter(lambda file: self.run.has(file.name), self.files.values()):
                if file.name.endswith(LINES):
                    checked.append(f"{file.name} {len(loaded.lines(file.name, file.record))}")
                else:
                    loaded.document(file.name, file.record)
            loaded.scores()
        except RunFileError as error:
            raise DifferenceError(error.inside) from error
        except UserError as error:
            raise DifferenceError(f"{SCORES} is not there") from error
        return f"lines of {', '.join(checked)}"

    def check_hashes(self) -> str:
        """The files have the hashes of the end of the run."""
        record = self.run.record
        if record.status != "success":
            raise DifferenceError(f"the run did not end well: its status is {excerpt(record.status)}")
        recorded = record.files
        if recorded is None:
            raise UncheckableError(f"{RUN} holds no hashes of the files, as an earlier version wrote it")
        if self.unreadable:
            raise UncheckableError("some files cannot be read")
        names = hashed_names(self.run.path)
        for name in sorted(recorded.keys() | {*names}):
            if name not in names:
                raise DifferenceError(f"{excerpt(name)} was there when the run ended and is gone")
            if name not in recorded:  # known before anything is hashed, which may take long
                raise DifferenceError(f"{excerpt(name)} was not there when the run ended")
        found = file_hashes(self.run.path)
        for name in names:
            if recorded[name] != found[name]:
                raise DifferenceError(f"{excerpt(name)} was changed after the run ended")
        return f"{len(found)} files as they were when the run ended"

    def _task_problem(self) -> str | None:
        """Return what is wrong with the settings that only the task takes."""
        try:
            self.known_checks.check_settings(self.run.settings)
        except (UserError, UncheckableError) as error:
            return str(error)
        return None
