"""A run folder under check. It may come from a stranger, so links are not followed and sizes are limited."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ValidationError

from eidolon.benchmark.settings.config import ConfigRecord, Inputs, settings_of
from eidolon.benchmark.settings.run import RunSettings
from eidolon.benchmark.settings.score import ScoreSettings
from eidolon.benchmark.store.atomic import file_hashes, hashed_names
from eidolon.benchmark.store.files import (
    JUDGEMENTS,
    ORDERS_LINES,
    PDM,
    PDM_LINES,
    QUESTIONS,
    REPORT,
    RESPONSES,
    RETENTION,
    RETENTION_LINES,
    RUN,
    SAMPLES,
    SCORES,
)
from eidolon.benchmark.store.loaded import MAX_FILE, LoadedRun, RunFileError, first_problem
from eidolon.benchmark.store.record import MAX_RECORD_BYTES, RunRecord, SampleRow
from eidolon.benchmark.tasks.forget.retention.detail import RetentionDetail
from eidolon.benchmark.tasks.probe.answers import find_splits
from eidolon.benchmark.tasks.protocol import CheckedTask
from eidolon.benchmark.tasks.registry import tasks
from eidolon.benchmark.tasks.rows import (
    ANSWERS,
    FREE_FORM,
    WORDS,
    AnswerRow,
    FreeFormRow,
    QuestionRow,
    Split,
    WordRow,
)
from eidolon.benchmark.tasks.score_files.pope import find_policies
from eidolon.benchmark.verify.check.findings import DifferenceError, UncheckableError
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import excerpt, parse_json, read_bytes
from eidolon.scorers.core.scores import Scores
from eidolon.scorers.core.types import Judgement, Response
from eidolon.scorers.forgetting.dependency import PdmTable
from eidolon.scorers.forgetting.detail import ForgettingDetail
from eidolon.scorers.forgetting.forced_orders import ForcedTurn
from eidolon.scorers.forgetting.records import Dependence
from eidolon.scorers.retention.records import AnsweredContext

MAX_GENERATIONS = 10_000

FORGETTING = "forgetting.json"

LINES: Mapping[str, type[BaseModel]] = {
    SAMPLES: SampleRow,
    QUESTIONS: QuestionRow,
    RESPONSES: Response,
    JUDGEMENTS: Judgement,
    ANSWERS: AnswerRow,
    FREE_FORM: FreeFormRow,
    WORDS: WordRow,
    RETENTION_LINES: AnsweredContext,
    PDM_LINES: Dependence,
    ORDERS_LINES: ForcedTurn,
}
"""The record on the lines of each file."""
DOCUMENTS: Mapping[str, type[BaseModel]] = {
    FORGETTING: ForgettingDetail,
    RETENTION: RetentionDetail,
    PDM: PdmTable,
}
"""The form of the JSON files beside the scores."""

Kind = Literal["describe", "probe", "pope", "amber", "detection", "throne"]
"""The origin of a run: judged descriptions, answered questions, or answers from files."""
KNOWN: tuple[Kind, ...] = ("describe", "probe", "pope", "amber", "detection", "throne")
"""Tasks whose scores can be computed again, beside `responses` and `forget`, which are like `describe`."""

InputT = TypeVar("InputT")
LineT = TypeVar("LineT", bound=BaseModel)
DocumentT = TypeVar("DocumentT", bound=BaseModel)
_DIGITS = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class CheckedConfig:
    """The configuration of a run, as far as the checks use it."""

    config: ConfigRecord
    run: RunSettings | None
    """The settings of a run of a model; None for a run over files."""
    score: ScoreSettings | None
    """The settings of a run over files; None for a run of a model."""

    @property
    def inputs(self) -> Inputs:
        """The hashes of what the settings name."""
        return self.config.inputs

    @property
    def chosen(self) -> RunSettings | ScoreSettings:
        """The settings of either kind."""
        return settings_of(self.config)

    @property
    def seed(self) -> int:
        """Seed of the bootstrap, and of a run of a model."""
        return self.chosen.seed

    @property
    def resamples(self) -> int:
        """Resamples of the bootstrap."""
        return self.chosen.resamples

    @property
    def metrics(self) -> tuple[str, ...]:
        """The families that were scored."""
        return self.chosen.metrics

    @property
    def generations(self) -> int:
        """Responses for each sample of a run of a model."""
        return self.run.generations if self.run else 1

    @property
    def splits(self) -> tuple[Split, ...]:
        """The splits of a probe."""
        assert self.run is not None
        return find_splits(self.run.split)

    @property
    def policies(self) -> tuple[str, ...]:
        """The policies of a probe."""
        assert self.run is not None
        return find_policies(self.run.policy)

    def task_input(self, name: str, kind: type[InputT]) -> InputT | None:
        """Return a value that the task recorded, None if it has another type."""
        found = self.inputs.task.get(name)
        return found if isinstance(found, kind) else None


class CheckedFolder:
    """A run folder under check: what cannot be read is a difference, and checks that need it are not checkable."""

    def __init__(self, path: Path) -> None:
        """Take the folder.

        Raises:
            UserError: it is not a run folder.
        """
        if path.is_dir() and (path / RUN).is_file() and not (path / RUN).is_symlink():
            _check_text(path / RUN)
        self.path = path
        self.loaded = LoadedRun(path, follow_links=False)
        self.record: RunRecord = self.loaded.record
        names = (*LINES, *DOCUMENTS, SCORES, REPORT)
        self.unreadable = {name: reason for name in names if (reason := self.loaded.why_unreadable(name))}
        """The files that must not be opened, with the reason."""
        self._settings: CheckedConfig | str = _read_settings(self.record.config)

    @property
    def forgets(self) -> bool:
        """Whether the task was `forget`."""
        return self.record.config.task == "forget"

    @property
    def settings(self) -> CheckedConfig:
        """The run's configuration.

        Raises:
            UncheckableError: it is not one of ours.
        """
        if isinstance(self._settings, str):
            raise UncheckableError(f"the config cannot be read: {self._settings}")
        return self._settings

    @property
    def kind(self) -> Kind:
        """The origin of the run.

        Raises:
            UncheckableError: checks do not know the task.
        """
        task = self.record.config.task
        if task in ("forget", "responses"):
            return "describe"
        if task not in KNOWN:
            raise UncheckableError(f"the task {excerpt(task)} is not one that checks know")
        return task

    @property
    def needed(self) -> tuple[str, ...]:
        """The files that the task declares, none if it declares none or is not installed."""
        name = self.record.config.task
        task: object = tasks.get(name) if name in tasks.names() else None
        return task.run_files if isinstance(task, CheckedTask) else ()

    def expects(self, name: str) -> bool:
        """Tell whether the task declares a file, or the folder holds it."""
        return name in self.needed or self.has(name)

    def has(self, name: str) -> bool:
        """Tell whether a file exists and may be read."""
        return self.loaded.has(name)

    def check_files(self) -> str:
        """All files of such a run exist, and are regular files."""
        if isinstance(self._settings, str):
            raise DifferenceError(f"{RUN}: config: {self._settings}")
        for name, problem in self.unreadable.items():
            raise DifferenceError(f"{name}: {problem}")
        needed = (*self.needed, SCORES)
        if missing := [name for name in needed if not self.has(name)]:
            raise DifferenceError(f"{', '.join(missing)} missing; a run of this kind has {', '.join(needed)}")
        known = {*LINES, *DOCUMENTS, SCORES, REPORT, RUN}
        others = sorted(name for name in os.listdir(self.path) if name not in known and name[0] != ".")
        more = f"; not looked at: {', '.join(others[:5])}" if others else ""
        return f"{RUN} and {', '.join(needed)}{more}"

    def check_schema(self) -> str:
        """Every line of every file has the form that this version writes."""
        checked = []
        try:
            for name in filter(self.has, LINES):
                checked.append(f"{name} {len(self.loaded.lines(name, LINES[name]))}")
            for name in filter(self.has, DOCUMENTS):
                self.loaded.document(name, DOCUMENTS[name])
            self.loaded.scores()
        except RunFileError as error:
            raise DifferenceError(error.inside) from error
        except UserError as error:
            raise DifferenceError(f"{SCORES} is not there") from error
        return f"lines of {', '.join(checked)}"

    def check_hashes(self) -> str:
        """The files have the hashes of the end of the run."""
        if self.record.status != "success":
            raise DifferenceError(f"the run did not end well: its status is {excerpt(self.record.status)}")
        recorded = self.record.files
        if recorded is None:
            raise UncheckableError(f"{RUN} holds no hashes of the files, as an earlier version wrote it")
        if self.unreadable:
            raise UncheckableError("some files cannot be read")
        names = hashed_names(self.path)
        for name in sorted(recorded.keys() | {*names}):
            if name not in names:
                raise DifferenceError(f"{excerpt(name)} was there when the run ended and is gone")
            if name not in recorded:  # known before anything is hashed, which may take long
                raise DifferenceError(f"{excerpt(name)} was not there when the run ended")
            if (self.path / name).stat().st_size > MAX_FILE:
                raise DifferenceError(f"{excerpt(name)} is larger than any file of a run")
        found = file_hashes(self.path)
        for name in names:
            if recorded[name] != found[name]:
                raise DifferenceError(f"{excerpt(name)} was changed after the run ended")
        return f"{len(found)} files as they were when the run ended"

    def lines(self, name: str, record: type[LineT]) -> list[LineT]:
        """Return the lines of a file.

        Raises:
            UncheckableError: it does not exist or cannot be read.
        """
        if not self.has(name):
            raise UncheckableError(f"{name} is not there, or is not a file")
        try:
            return self.loaded.lines(name, record)
        except RunFileError as error:
            raise UncheckableError(f"{name} does not have the right form") from error

    def document(self, name: str, record: type[DocumentT]) -> DocumentT:
        """Return the content of a JSON file.

        Raises:
            UncheckableError: it does not exist or cannot be read.
        """
        if not self.has(name):
            raise UncheckableError(f"{name} is not there, or is not a file")
        try:
            return self.loaded.document(name, record)
        except RunFileError as error:
            raise UncheckableError(f"{name} does not have the right form") from error

    def scores(self) -> Scores:
        """Return the scores.

        Raises:
            UncheckableError: they do not exist or cannot be read.
        """
        try:
            return self.loaded.scores()
        except UserError as error:
            raise UncheckableError(f"{SCORES} is not there, or does not have the right form") from error


def _read_settings(config: ConfigRecord) -> CheckedConfig | str:
    try:
        if config.verb == "score":
            return CheckedConfig(config, None, config.score_settings())
        settings = config.run_settings()
    except ValidationError as error:
        return first_problem(error)
    if config.inputs.prompt is None or len(settings.models) != 1:
        return "prompt or model is missing, which every run of a model has"
    if settings.generations > MAX_GENERATIONS:
        return f"generations: {settings.generations} is more than {MAX_GENERATIONS}"
    try:
        find_policies(settings.policy)
        find_splits(settings.split)
    except UserError as error:
        return str(error)
    return CheckedConfig(config, settings, None)


def _check_text(path: Path) -> None:
    """Raise a UserError for a record that is not UTF-8 or JSON, or holds numbers that are not finite."""
    try:
        content = read_bytes(path, MAX_RECORD_BYTES).decode()
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not UTF-8 text (byte {error.start})") from error
    try:
        parse_json(content)
    except ValueError as error:
        raise UserError(f"{path}: is not valid JSON ({error})") from error
    if re.search(r"[:\[,]\s*-?(NaN|Infinity)\s*[,}\]]", content):
        raise UserError(f"{path}: holds a number that is not finite")


def is_hash(text: str | None) -> bool:
    """Tell whether a text is a SHA-256 in hexadecimal."""
    return text is not None and _DIGITS.fullmatch(text) is not None
