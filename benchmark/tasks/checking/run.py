"""A run folder under check. It may come from a stranger, so links are not followed and sizes are limited."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from eidolon.benchmark.settings.config import ConfigRecord, Inputs, settings_of
from eidolon.benchmark.settings.run import RunSettings
from eidolon.benchmark.settings.score import ScoreSettings
from eidolon.benchmark.store.files import RUN, SCORES
from eidolon.benchmark.store.loaded import LoadedRun, RunFileError, first_problem
from eidolon.benchmark.store.record import MAX_RECORD_BYTES, RunRecord
from eidolon.benchmark.tasks.checking.problems import UncheckableError
from eidolon.scorers.core.distribution import UNKNOWN
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.input_files import parse_json, read_bytes
from eidolon.scorers.core.scores import Scores
from eidolon.scorers.core.signature import Signature

MAX_GENERATIONS = 10_000

InputT = TypeVar("InputT")
ReadT = TypeVar("ReadT")
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
    def of_a_model(self) -> RunSettings:
        """The settings of a run of a model.

        Raises:
            UncheckableError: they are those of a run over files.
        """
        if self.run is None:
            raise UncheckableError("the config is that of a run over files")
        return self.run

    @property
    def of_files(self) -> ScoreSettings:
        """The settings of a run over files.

        Raises:
            UncheckableError: they are those of a run of a model.
        """
        if self.score is None:
            raise UncheckableError("the config is that of a run of a model")
        return self.score

    def task_input(self, name: str, kind: type[InputT]) -> InputT | None:
        """Return a value that the task recorded, None if it has another type."""
        found = self.inputs.task.get(name)
        return found if isinstance(found, kind) else None


class CheckedRun:
    """The files of a run under check. A check that needs one that cannot be read is not checkable."""

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
        self._settings: CheckedConfig | str = _read_settings(self.record.config)

    @property
    def config_problem(self) -> str | None:
        """Why the configuration cannot be read, None if it can."""
        return self._settings if isinstance(self._settings, str) else None

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
    def signature(self) -> Signature:
        """The signature in `run.json`.

        Raises:
            UncheckableError: there is none.
        """
        if self.record.signature is None:
            raise UncheckableError(f"{RUN} has no signature")
        return self.record.signature

    @property
    def version(self) -> str:
        """The version of Eidolon that the last session ran."""
        last = self.record.sessions[-1].provenance if self.record.sessions else None
        return (last or self.record.provenance).packages.get("eidolon", UNKNOWN)

    def has(self, name: str) -> bool:
        """Tell whether a file exists and may be read."""
        return self.loaded.has(name)

    def lines(self, name: str, record: type[LineT]) -> Sequence[LineT]:
        """Return the lines of a file.

        Raises:
            UncheckableError: it does not exist or cannot be read.
        """
        return self._read(name, lambda: self.loaded.lines(name, record))

    def document(self, name: str, record: type[DocumentT]) -> DocumentT:
        """Return the content of a JSON file.

        Raises:
            UncheckableError: it does not exist or cannot be read.
        """
        return self._read(name, lambda: self.loaded.document(name, record))

    def _read(self, name: str, read: Callable[[], ReadT]) -> ReadT:
        if not self.has(name):
            raise UncheckableError(f"{name} is not there, or is not a file")
        try:
            return read()
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
