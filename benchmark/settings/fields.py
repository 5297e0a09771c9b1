"""The parts that settings are made of: option values, choices of the command line, the base model."""

import ast
import inspect
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

AUTO: Literal["auto"] = "auto"
"""The batch size that is found for the model."""
ALL = "all"
"""Every split, or every policy."""
MAIN_POLICY = "original"
"""How yes/no answers are read unless the user says otherwise: as POPE's own program does."""
PAIRS = 3
"""Present objects, and absent ones, that the task `probe` asks about for each image and split (POPE: 3)."""
LENGTHS = (16, 32, 64, 128, 256, 512, 1024, 2048)
"""Tokens of text before the questions of the task `forget`, beside none."""
MAX_SEED = 2**32
MAX_COUNT = 10**7
"""The largest number of samples or tokens that a setting may ask for, and of the responses of a run."""
MAX_GENERATIONS = 10_000
"""The most responses for each sample."""
MAX_PROCESSES = 1024
MIN_SHARED = 10
"""Runs that share fewer images are not compared unless the user says so: intervals from so few say little."""

Panel: TypeAlias = Literal["Model", "Data", "Task", "Judge", "Decoding", "Output", "Advanced"]
"""The groups of options in a verb's help, in their order."""


@dataclass(frozen=True, slots=True)
class Flag:
    """How the command line offers a field. Its help is the first sentence of the field's docstring."""

    panel: Panel
    name: str = ""
    """The flag; by default `--` and the field's name, with dashes."""
    metavar: str | None = None
    default: str | None = None
    """What the help shows as the default, where the field's own default says too little."""
    decides: bool = True
    """Whether another value makes another run. Only such fields are in `run.json`, and they must agree on resume."""


class Settings(BaseModel):
    """Base of all settings: unknown fields are errors, values do not change, the fields' docstrings are their help."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@cache
def docstrings(kind: type[Settings]) -> dict[str, str]:
    """Return the docstrings of the fields of a settings model and its bases, from its source.

    They are those of pydantic's `use_attribute_docstrings`, which reads them when a class is made: there this takes a
    tenth of the start of a command.
    """
    found: dict[str, str] = {}
    for one in reversed(kind.__mro__):
        if one is Settings or not issubclass(one, Settings):
            continue
        (body,) = (
            node.body
            for node in ast.parse(Path(inspect.getfile(one)).read_text(encoding="utf-8")).body
            if isinstance(node, ast.ClassDef) and node.name == one.__name__
        )
        for field, text in pairwise(body):
            match field, text:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(said))):
                    found[name] = inspect.cleandoc(said)
    return found


def _as_text(value: object) -> object:
    """Options are text, as on the command line: YAML's `true` and `3` are read as written."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


def _auto_or_count(most: int) -> BeforeValidator:
    """Return what reads `auto`, or a whole number in decimal digits."""

    def read(value: object) -> object:
        digits = isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20
        number = int(value) if isinstance(value, str) and digits else value
        if number == AUTO or (
            isinstance(number, int) and not isinstance(number, bool) and 1 <= number <= most
        ):
            return number
        raise ValueError(f"must be {AUTO} or a whole number from 1 to {most}")

    return BeforeValidator(read)


def _as_list(value: object) -> object:
    """A single value will do for a list of one."""
    return (value,) if isinstance(value, str | int | float) and not isinstance(value, bool) else value


def _printable(value: str) -> str:
    if not value.isprintable() or value != value.strip():
        raise ValueError("must be printable text without spaces around it")
    return value


Text: TypeAlias = Annotated[str, BeforeValidator(_as_text)]
"""A text, or a number of a file that is kept as it is written."""
Options: TypeAlias = dict[str, Text]
"""Options by name, as `key=value` gives them."""
BatchSize: TypeAlias = Annotated[int | Literal["auto"], _auto_or_count(MAX_COUNT)]
Processes: TypeAlias = Annotated[int | Literal["auto"], _auto_or_count(MAX_PROCESSES)]
AS_LIST = BeforeValidator(_as_list)
Label: TypeAlias = Annotated[Text, Field(min_length=1, max_length=120), AfterValidator(_printable)]
"""The name of a run in tables and reports."""


def flag_of(kind: type[BaseModel], field: str) -> Flag:
    """Return how the command line offers a field of a settings model."""
    return next(item for item in kind.model_fields[field].metadata if isinstance(item, Flag))


def flag_name(kind: type[BaseModel], field: str) -> str:
    """Return the flag of a field: `--max-new-tokens`."""
    plain = "--" + field.replace("_", "-")
    return flag_of(kind, field).name or plain if field in kind.model_fields else plain
