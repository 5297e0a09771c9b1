"""Settings from a YAML file and from flags; a wrong field is a one-line UserError that names its place."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from eidolon.benchmark.settings.fields import Settings, flag_name
from eidolon.scorers.core.errors import UserError, did_you_mean
from eidolon.scorers.core.input_files import MAX_SMALL_BYTES, decode_text, excerpt, read_bytes

SettingsT = TypeVar("SettingsT", bound=Settings)

MAX_YAML_NODES = 100_000
"""The most values of a settings file. Real ones have some tens."""
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
    content = {} if file is None else _read_yaml(file)
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


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        content = _load_yaml(decode_text(read_bytes(path, MAX_SMALL_BYTES), path))
    except RecursionError as error:
        raise UserError(f"{path}: is not valid YAML (nested too deeply)") from error
    except ValueError as error:  # an integer of thousands of digits, the 31st of February
        raise UserError(f"{path}: is not valid YAML ({error})") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or error
        raise UserError(f"{path}{line}: is not valid YAML ({problem})") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected fields like 'dataset: scenes', found {excerpt(content)}")
    return {str(key): value for key, value in content.items()}


def _load_yaml(text: str) -> Any:
    """Return the content of a YAML document.

    An alias repeats a part of the document, so that a few lines of aliases to aliases are gigabytes when written out.
    The size is counted before anything is written out.

    Raises:
        yaml.YAMLError: it is not YAML.
        ValueError: it has a value that is none, or more than `MAX_YAML_NODES` values.
    """
    loader = yaml.SafeLoader(text)
    try:
        root = loader.get_single_node()
        if root is None:
            return None
        _count_nodes(root, {})
        return loader.construct_document(root)
    finally:
        loader.dispose()


def _count_nodes(node: yaml.Node, known: dict[int, int]) -> int:
    """Return the number of values below a node, with every alias written out. A node inside itself counts as one."""
    if id(node) in known:
        return known[id(node)]
    known[id(node)] = 1
    inner: Iterable[yaml.Node] = ()
    if isinstance(node, yaml.MappingNode):
        inner = (part for pair in node.value for part in pair)
    elif isinstance(node, yaml.SequenceNode):
        inner = node.value
    count = 1 + sum(_count_nodes(part, known) for part in inner)
    if count > MAX_YAML_NODES:
        raise ValueError(f"more than {MAX_YAML_NODES:,} values, with every alias written out")
    known[id(node)] = count
    return count


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
