"""A foreign run folder, read with care: nothing outside it, nothing endless, and every line of the right form."""

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ValidationError

from eidolon.benchmark.settings.config import ConfigRecord, Inputs
from eidolon.benchmark.settings.run import RunSettings
from eidolon.benchmark.settings.score import ScoreSettings
from eidolon.benchmark.store.atomic import file_hashes
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
from eidolon.benchmark.store.record import RunRecord, SampleRow, read_record
from eidolon.benchmark.tasks.forget.retention.detail import RetentionDetail
from eidolon.benchmark.tasks.probe.answers import find_splits
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
from eidolon.scorers.core.input_files import excerpt, parse_json
from eidolon.scorers.core.scores import Scores
from eidolon.scorers.core.types import Judgement, Response
from eidolon.scorers.forgetting.dependency import PdmTable
from eidolon.scorers.forgetting.detail import ForgettingDetail
from eidolon.scorers.forgetting.forced_orders import ForcedTurn
from eidolon.scorers.forgetting.records import Dependence
from eidolon.scorers.retention.records import AnsweredContext

MAX_FILE, MAX_LINE = 1 << 30, 1 << 24
"""Bytes. 5,000 long descriptions with every token's place are some tens of megabytes, a line a few kilobytes."""
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
"""What stands on the lines of each file, …"""
DOCUMENTS: Mapping[str, type[BaseModel]] = {
    FORGETTING: ForgettingDetail,
    RETENTION: RetentionDetail,
    PDM: PdmTable,
}
"""… and in files of one piece beside the scores."""

Kind = Literal["describe", "probe", "pope", "amber", "detection", "throne"]
"""How a run came about: a judge read descriptions, questions were asked, or answers from files were scored."""
NEEDED: Mapping[Kind, tuple[str, ...]] = {
    "describe": (SAMPLES, RESPONSES, JUDGEMENTS),
    "probe": (SAMPLES, QUESTIONS, RESPONSES, JUDGEMENTS, ANSWERS),
    "pope": (RESPONSES, ANSWERS),
    "amber": (RESPONSES,),
    "detection": (RESPONSES, WORDS),
    "throne": (SAMPLES, JUDGEMENTS),
}
NEEDED_TO_FORGET = (RETENTION_LINES, RETENTION, PDM_LINES, PDM)
"""What a run of the task `forget` has beside what one of descriptions has."""

InputT = TypeVar("InputT")
LineT = TypeVar("LineT", bound=BaseModel)
DocumentT = TypeVar("DocumentT", bound=BaseModel)
_DIGITS = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class CheckedConfig:
    """The configuration of a run, as far as checks use it."""

    config: ConfigRecord
    run: RunSettings | None
    """Of a run of a model, …"""
    score: ScoreSettings | None
    """… or of one over existing files."""

    @property
    def inputs(self) -> Inputs:
        """The hashes of what the settings name."""
        return self.config.inputs

    @property
    def chosen(self) -> RunSettings | ScoreSettings:
        """The settings, whichever they are."""
        found = self.run or self.score
        assert found is not None
        return found

    @property
    def seed(self) -> int:
        """Of the bootstrap, and of a run of a model."""
        return self.chosen.seed

    @property
    def resamples(self) -> int:
        """Of the bootstrap."""
        return self.chosen.resamples

    @property
    def metrics(self) -> tuple[str, ...]:
        """The families that were scored."""
        return self.chosen.metrics

    @property
    def generations(self) -> int:
        """Responses for each sample; those of a file are as many as there are."""
        return self.run.generations if self.run else 1

    @property
    def splits(self) -> tuple[Split, ...]:
        """Of a probe."""
        assert self.run is not None
        return find_splits(self.run.split)

    @property
    def policies(self) -> tuple[str, ...]:
        """Of a probe."""
        assert self.run is not None
        return find_policies(self.run.policy)

    def task_input(self, name: str, kind: type[InputT]) -> InputT | None:
        """Return what the task recorded under a name; None where it is something else."""
        found = self.inputs.task.get(name)
        return found if isinstance(found, kind) else None


class Folder:
    """One run folder."""

    def __init__(self, path: Path) -> None:
        """Take the folder; what is no run folder is a UserError."""
        if not os.path.isdir(path):
            raise UserError(f"{path}: {'is a file, not a run folder' if path.exists() else 'no such folder'}")
        if not os.path.lexists(path / RUN):
            raise UserError(f"{path}: is not a run folder: it holds no {RUN}")
        self.path = path
        if problem := _unreadable(path / RUN):
            raise UserError(f"{path / RUN}: {problem}; this is no run folder of ours")
        _check_text(path / RUN)
        self.record: RunRecord = read_record(path)
        looked_at = (*LINES, *DOCUMENTS, SCORES, REPORT)
        self.unreadable = {name: found for name in looked_at if (found := self._problem(name))}
        """What is there and must not be opened, with the reason."""
        self._settings: CheckedConfig | str = _read_settings(self.record.config)
        self._lines: dict[str, list[Any] | str] = {}
        self._documents: dict[str, Any] = {}
        self._scores: Scores | str | None = None

    @property
    def forgets(self) -> bool:
        """Whether the task was `forget`: a run of descriptions, and more."""
        return self.record.config.task == "forget"

    @property
    def settings(self) -> CheckedConfig:
        """The run's configuration; UncheckableError where it is not one of ours."""
        if isinstance(self._settings, str):
            raise UncheckableError(f"the config cannot be read: {self._settings}")
        return self._settings

    @property
    def kind(self) -> Kind:
        """How the run came about; UncheckableError where the task is not one of ours."""
        task = self.record.config.task
        if task in ("forget", "responses"):
            return "describe"
        if task not in NEEDED:
            raise UncheckableError(f"the task {excerpt(task)} is not one that checks know")
        return task

    def has(self, name: str) -> bool:
        """Tell whether a file is there to be read."""
        return os.path.lexists(self.path / name) and name not in self.unreadable

    def check_files(self) -> str:
        """All files of such a run are there, and none is anything else than a file."""
        if isinstance(self._settings, str):
            raise DifferenceError(f"{RUN}: config: {self._settings}")
        for name, problem in self.unreadable.items():
            raise DifferenceError(f"{name}: {problem}")
        needed = (*NEEDED[self.kind], *(NEEDED_TO_FORGET if self.forgets else ()), SCORES)
        if missing := [name for name in needed if not self.has(name)]:
            raise DifferenceError(f"{', '.join(missing)} missing; a run of this kind has {', '.join(needed)}")
        known = {*LINES, *DOCUMENTS, SCORES, REPORT, RUN}
        others = sorted(name for name in os.listdir(self.path) if name not in known and name[0] != ".")
        more = f"; not looked at: {', '.join(others[:5])}" if others else ""
        return f"{RUN} and {', '.join(needed)}{more}"

    def check_schema(self) -> str:
        """Every line of every file has the form that this version writes."""
        checked = []
        for name in LINES:
            if not self.has(name):
                continue
            if isinstance(found := self._read(name), str):
                raise DifferenceError(found)
            checked.append(f"{name} {len(found)}")
        for name in filter(self.has, DOCUMENTS):
            if isinstance(problem := self._read_document(name), str):
                raise DifferenceError(problem)
        if isinstance(scores := self._read_scores(), str):
            raise DifferenceError(scores)
        return f"lines of {', '.join(checked)}"

    def check_hashes(self) -> str:
        """The files are those that were there when the run ended."""
        if self.record.status != "success":
            raise DifferenceError(f"the run did not end well: its status is {excerpt(self.record.status)}")
        recorded = self.record.files
        if recorded is None:
            raise UncheckableError(f"{RUN} holds no hashes of the files, as an earlier version wrote it")
        if self.unreadable:
            raise UncheckableError("some files cannot be read")
        found = file_hashes(self.path)
        for name in sorted(recorded.keys() | found.keys()):
            if name not in found:
                raise DifferenceError(f"{excerpt(name)} was there when the run ended and is gone")
            if name not in recorded:
                raise DifferenceError(f"{excerpt(name)} was not there when the run ended")
            if recorded[name] != found[name]:
                raise DifferenceError(f"{excerpt(name)} was changed after the run ended")
        return f"{len(found)} files as they were when the run ended"

    def lines(self, name: str, record: type[LineT]) -> list[LineT]:
        """Return the lines of a file; UncheckableError where it is not there or cannot be read."""
        if name in self.unreadable or not self.has(name):
            raise UncheckableError(f"{name} is not there, or is no file")
        found = self._read(name)
        if isinstance(found, str):
            raise UncheckableError(f"{name} cannot be read as it should be")
        return found

    def document(self, name: str, record: type[DocumentT]) -> DocumentT:
        """Return the content of a file of one piece; UncheckableError where it is not there or cannot be read."""
        if not self.has(name):
            raise UncheckableError(f"{name} is not there, or is no file")
        found = self._read_document(name)
        if not isinstance(found, record):
            raise UncheckableError(f"{name} cannot be read as it should be")
        return found

    def scores(self) -> Scores:
        """Return the scores; UncheckableError where they cannot be read."""
        found = self._read_scores()
        if isinstance(found, str):
            raise UncheckableError(f"{SCORES} is not there or cannot be read as it should be")
        return found

    def _problem(self, name: str) -> str | None:
        return _unreadable(self.path / name) if os.path.lexists(self.path / name) else None

    def _read(self, name: str) -> list[Any] | str:
        if name not in self._lines:
            try:
                self._lines[name] = _read_lines(self.path / name, LINES[name])
            except DifferenceError as problem:
                self._lines[name] = str(problem)
        return self._lines[name]

    def _read_document(self, name: str) -> BaseModel | str:
        if name not in self._documents:
            try:
                self._documents[name] = DOCUMENTS[name].model_validate_json((self.path / name).read_bytes())
            except ValidationError as error:
                self._documents[name] = f"{name}: {_first(error)}"
        found: BaseModel | str = self._documents[name]
        return found

    def _read_scores(self) -> Scores | str:
        if self._scores is None:
            self._scores = f"{SCORES} is not there" if not self.has(SCORES) else self._parse_scores()
        return self._scores

    def _parse_scores(self) -> Scores | str:
        try:
            return Scores.model_validate_json((self.path / SCORES).read_bytes())
        except ValidationError as error:
            return f"{SCORES}: {_first(error)}"


def _read_settings(config: ConfigRecord) -> CheckedConfig | str:
    try:
        if config.verb == "score":
            return CheckedConfig(config, None, config.score_settings())
        settings = config.run_settings()
    except ValidationError as error:
        return _first(error)
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


def _unreadable(path: Path) -> str | None:
    """Say why a path must not be opened: a link may lead out of the folder, a pipe never ends."""
    mode = os.lstat(path)
    if stat.S_ISLNK(mode.st_mode):
        return "is a link, which may lead out of the folder"
    if not stat.S_ISREG(mode.st_mode):
        return "is no regular file"
    if mode.st_size > MAX_FILE:
        return f"is larger than {MAX_FILE >> 20} MiB"
    return None if os.access(path, os.R_OK) else "cannot be read"


def _check_text(path: Path) -> None:
    """Raise a UserError for a record that is not UTF-8, not JSON, or holds numbers that JSON lacks."""
    try:
        content = path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not UTF-8 text (byte {error.start})") from error
    try:
        parse_json(content)
    except ValueError as error:
        raise UserError(f"{path}: is not valid JSON ({error})") from error
    if re.search(r"[:\[,]\s*-?(NaN|Infinity)\s*[,}\]]", content):
        raise UserError(f"{path}: holds a number that is not finite")


def _read_lines(path: Path, record: type[BaseModel]) -> list[Any]:
    found: list[Any] = []
    with path.open("rb") as stream:
        number = 0
        while line := stream.readline(MAX_LINE + 1):
            number += 1
            place = f"{path.name}:{number}"
            if len(line) > MAX_LINE:
                raise DifferenceError(f"{place}: is longer than {MAX_LINE >> 20} MiB")
            if not line.endswith(b"\n"):
                raise DifferenceError(f"{place}: has no end: it was torn")
            try:
                found.append(record.model_validate_json(line))
            except ValidationError as error:
                raise DifferenceError(f"{place}: {_first(error)}") from None
    return found


def _first(error: ValidationError) -> str:
    problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(str(part) for part in problem["loc"])
    return f"{excerpt(place)}: {problem['msg']}" if place else str(problem["msg"])


def is_hash(text: str | None) -> bool:
    """Tell whether a text is a SHA-256 in hexadecimal."""
    return text is not None and _DIGITS.fullmatch(text) is not None
