"""Settings from a YAML file and from flags; a wrong field is a one-line UserError that names its place."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from eidolon.benchmark.settings.fields import Settings, flag_name
from eidolon.scorers.core.errors import UserError, did_you_mean
from eidolon.scorers.core.input_files import excerpt

SettingsT = TypeVar("SettingsT", bound=Settings)

FRESH_OPTIONS = {"judge": "judge_options", "decoding": "decoding_options", "task": "task_options"}
"""Fields that another choice of a flag empties: another judge than the file's starts from no options."""


@dataclass(frozen=True, slots=True)
class Given(Generic[SettingsT]):
    """Settings with where each of them was said."""

    settings: SettingsT
    content: Mapping[str, Any]
    """The fields of the file."""
    flags: Mapping[str, Any]
    file: Path | None = None

    def says(self, field: str) -> bool:
        """Tell whether the user set the field."""
        return field in self.flags or field in self.content

    def place(self, field: str) -> str:
        """Return where a field was set, for a message: its flag, or file and field."""
        if field in self.flags or self.file is None:
            return flag_name(type(self.settings), field)
        return f"{self.file}: field {field!r}"


def load_settings(
    kind: type[SettingsT],
    file: Path | None,
    flags: Mapping[str, Any],
    defaults: Mapping[str, Any] | None = None,
) -> Given[SettingsT]:
    """Merge a YAML file with what the flags say (None: not given), which win; `defaults` fill what neither sets.

    Raises:
        UserError: the file cannot be read, or a field is unknown or has a wrong value.
    """
    content = {} if file is None else _read_file(file)
    base = dict(defaults or {})
    settings = _validate(kind, base | content, file)
    given = {name: value for name, value in flags.items() if value is not None}
    set_here = settings.model_fields_set - (base.keys() - content.keys())
    content = {name: getattr(settings, name) for name in set_here}
    for field, options in FRESH_OPTIONS.items():
        if field in given and given[field] != getattr(settings, field, None):
            content.pop(options, None)
        elif options in given and options in content and field != "decoding":
            given[options] = {**content[options], **given[options]}
    settings = _validate(kind, base | content | given, None)
    return Given(settings, content, given, file)


def _read_file(path: Path) -> dict[str, Any]:
    from eidolon.benchmark.settings.yaml_file import read_yaml  # most commands have no such file

    return read_yaml(path)


def _validate(kind: type[SettingsT], fields: Mapping[str, Any], file: Path | None) -> SettingsT:
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        problem = error.errors()[0]
        place = [str(part) for part in problem["loc"]]
        where = f"{file}: field {'.'.join(place)!r}" if place else f"{file}"
        if file is None:
            where = flag_name(kind, place[0]) if place else kind.__name__
        found = excerpt(problem["input"])
        if problem["type"] == "extra_forbidden":
            hint = did_you_mean(place[-1], [*_owner(kind, place).model_fields])
            raise UserError(f"{where}: unknown field, with the value {found}{hint}") from None
        if (bound := _bound(problem)) is not None:
            value = f" {found}" if file is None else ""
            more = "" if file is None else f", found {found}"
            raise UserError(f"{where}{value}: {bound}{more}") from None
        message = problem["msg"].removeprefix("Value error, ")
        message = message[0].lower() + message[1:]
        shown = "" if "found" in message else f", found {found}"
        raise UserError(f"{where}: {message}{shown}") from None


def _bound(problem: ErrorDetails) -> str | None:
    """Return which bound a number broke, None where that is not the problem."""
    for name, words in (("ge", "at least"), ("gt", "above"), ("le", "at most"), ("lt", "below")):
        if name in problem.get("ctx", {}):
            bound = problem["ctx"][name]
            return f"must be {words} {bound if isinstance(bound, int) else format(bound, 'g')}"
    return None


def _owner(kind: type[BaseModel], place: list[str]) -> type[BaseModel]:
    from eidolon.benchmark.settings.run import ModelSpec

    return ModelSpec if place[0] == "models" and len(place) > 1 else kind
