"""What a run is to do, from command-line flags and a YAML file; a wrong field is a one-line UserError."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from eidolon.benchmark.engine.batch_size import AUTO
from eidolon.benchmark.tasks.forget.retention.lengths import LENGTHS
from eidolon.benchmark.tasks.probe.questions import PAIRS
from eidolon.benchmark.tasks.score_files.pope import ALL, MAIN
from eidolon.models.base.model import DEFAULT_TEMPERATURE
from eidolon.scorers.core.errors import UserError, did_you_mean
from eidolon.scorers.core.input_files import decode_text, excerpt, read_bytes
from eidolon.scorers.statistics.bootstrap import MAX_RESAMPLES, RESAMPLES

TASKS = ("describe", "probe", "forget")
OF_TASK: dict[str, tuple[str, ...]] = {
    "describe": ("judge", "metrics", "generations"),
    "probe": ("split", "policy", "pairs", "min_objects"),
    "forget": ("judge", "metrics", "generations", "lengths", "trained_length"),
}
"""The fields that not every task has."""
PROBE_DEFAULTS: dict[str, Any] = {"prompt": "question", "max_new_tokens": 32, "temperature": 0.0}
"""Where the task `probe` starts from something else: answers are short, and POPE's are greedy."""


def _as_text(value: object) -> object:
    """Options are text, as on the command line: YAML's `true` and `3` are read as written."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


def _as_batch_size(value: object) -> object:
    """Read `auto`, or a number in words of the command line."""
    number = int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value
    if number == AUTO or (isinstance(number, int) and not isinstance(number, bool) and number >= 1):
        return number
    raise ValueError(f"must be {AUTO} or a whole number above 0")


Options = dict[str, Annotated[str, BeforeValidator(_as_text)]]


class Settings(BaseModel):
    """Base of the configuration: fixed fields, checked values."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelSpec(Settings):
    """One model of the run; in a file its name alone will do."""

    name: str
    """`backend/name`, or the bare name of a shipped model."""
    options: Options = {}
    label: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=120)
    """Name of its run folder, by default made from `name`."""


class JudgeSpec(Settings):
    """Who reads the responses; in a file its name alone will do."""

    name: str = "lexicon"
    options: Options = {}


def _as_named(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


class RunConfig(Settings):
    """Everything `eidolon run` can be told, with the defaults; the fields of a `--config` file."""

    models: tuple[Annotated[ModelSpec, BeforeValidator(_as_named)], ...] = ()
    """No model means the shipped ones."""
    model_options: Options = {}
    """For every model, beside its own."""
    dataset: str = "scenes"
    dataset_options: Options = {}
    task: str = "describe"
    limit: int | None = Field(default=None, ge=1)
    """At most so many samples."""
    sample_ids: Path | None = None
    """A file with the ids of the samples to take, one a line."""
    pick: Literal["first", "random"] = "first"
    """Which samples a limit keeps; random ones are drawn by the seed."""
    seed: int = Field(default=0, ge=0, lt=2**32)
    """Of the drawn dataset, of sampling, and of the bootstrap."""
    prompt: str = "describe"
    """A preset's name or a text; of the task `probe` with the place of the question in it."""
    max_new_tokens: int = Field(default=512, ge=1)
    temperature: float = Field(default=DEFAULT_TEMPERATURE, ge=0, allow_inf_nan=False)
    """0 is greedy."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    decoding: Literal["plain", "m3id", "contrastive"] = "plain"
    """Whether every token is weighed against what the model would say without the picture."""
    decoding_options: Options = {}
    generations: int = Field(default=1, ge=1)
    """Responses a sample."""
    batch_size: Annotated[int | Literal["auto"], BeforeValidator(_as_batch_size)] = AUTO
    """Requests that a model is handed at once; `auto`: as many as it says it can take, else what suits its backend."""
    judge: Annotated[JudgeSpec, BeforeValidator(_as_named)] = JudgeSpec()
    metrics: tuple[str, ...] = ()
    """None means those of `plugins.METRICS`."""
    split: str = ALL
    """Of the task `probe`: how absent objects are chosen."""
    policy: str = MAIN
    """Of the task `probe`: how answers are read."""
    pairs: int = Field(default=PAIRS, ge=1)
    """Of the task `probe`: present objects, and absent ones, that are asked about for each image and split."""
    min_objects: int | None = Field(default=None, ge=1)
    """Of the task `probe`: images with fewer are left out; None means `pairs`."""
    lengths: tuple[Annotated[int, Field(ge=1)], ...] = LENGTHS
    """Of the task `forget`: tokens of text before the questions."""
    trained_length: int | None = Field(default=None, ge=1)
    """Of the task `forget`: tokens of the longest text of the models' training."""
    resamples: int = Field(default=RESAMPLES, ge=0, le=MAX_RESAMPLES)
    """Of the bootstrap; 0 for no intervals."""
    processes: int | None = Field(default=None, ge=1)
    """Processes that answer together; None means one, or those that a launcher has started."""
    max_unscored: float = Field(default=0.05, ge=0, le=1)
    """Share of unscored responses beyond which the run ends with exit code 3."""
    cache: bool = True
    """Whether responses of earlier runs may be given again, and those of this one kept."""

    @model_validator(mode="before")
    @classmethod
    def _start_from_the_task(cls, fields: Any) -> Any:
        probes = isinstance(fields, dict) and fields.get("task") == "probe"
        return PROBE_DEFAULTS | fields if probes else fields


FLAGS = {
    "cache": "--no-cache",
    "models": "--model",
    "model_options": "-M",
    "dataset_options": "-D",
    "decoding_options": "--decoding-option",
    "metrics": "--metric",
}
"""The flags that are not their field's name with dashes."""


def load_config(
    path: Path | None,
    flags: Mapping[str, Any],
    *,
    judge: str | None = None,
    judge_options: Mapping[str, str] | None = None,
) -> RunConfig:
    """Merge a YAML file with what the flags say (None: not given), which wins.

    Another judge than the file's starts from no options, and so does another decoding.
    """
    content = {} if path is None else _read_yaml(path)
    config = _validate(content, path)
    given = {name: value for name, value in flags.items() if value is not None}
    if judge is not None or judge_options:
        kept = config.judge.options if judge in (None, config.judge.name) else {}
        given["judge"] = {"name": judge or config.judge.name, "options": {**kept, **(judge_options or {})}}
    if given.get("decoding", config.decoding) != config.decoding:
        given.setdefault("decoding_options", {})
    config = _validate({**content, **given}, None)
    if config.task not in TASKS:
        raise UserError(f"--task {config.task!r}: unknown task{did_you_mean(config.task, TASKS)}")
    _check_task(config.task, given, content, path)
    if config.generations > 1 and config.temperature == 0:
        raise UserError(
            f"--generations {config.generations}: greedy decoding gives the same response every time; "
            "give a --temperature above 0"
        )
    return config


def _check_task(task: str, given: Mapping[str, Any], content: Mapping[str, Any], path: Path | None) -> None:
    """Refuse what was said to another task alone."""
    for other, names in OF_TASK.items():
        for name in names:
            if name not in OF_TASK[task] and (name in given or name in content):
                place = _flag(name) if name in given else f"{path}: field {name!r}"
                raise UserError(f"{place}: is of --task {other}, not of --task {task}; leave it out")


def _flag(name: str) -> str:
    return FLAGS.get(name, "--" + name.replace("_", "-"))


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(decode_text(read_bytes(path), path))
    except RecursionError as error:
        raise UserError(f"{path}: is not valid YAML (nested too deeply)") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark is not None else ""
        raise UserError(
            f"{path}{line}: is not valid YAML ({getattr(error, 'problem', None) or error})"
        ) from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected fields like 'dataset: scenes', found {excerpt(content)}")
    return {str(key): value for key, value in content.items()}


def _validate(fields: Mapping[str, Any], file: Path | None) -> RunConfig:
    try:
        return RunConfig.model_validate(fields)
    except ValidationError as error:
        problem = error.errors()[0]
        place = [str(part) for part in problem["loc"]]
        where = _flag(place[0]) if file is None else f"{file}: field {'.'.join(place)!r}"
        found = excerpt(problem["input"])
        if problem["type"] == "extra_forbidden":
            mend = did_you_mean(place[-1], [*_owner(place).model_fields])
            raise UserError(f"{where}: unknown field, with the value {found}{mend}") from None
        message = problem["msg"].removeprefix("Value error, ")
        message = message[0].lower() + message[1:]
        raise UserError(f"{where}: {message}, found {found}") from None


def _owner(place: list[str]) -> type[Settings]:
    if len(place) == 1:
        return RunConfig
    return ModelSpec if place[0] == "models" else JudgeSpec
