"""Options of the command line, made of the fields of a settings model: names, types, help and defaults."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, TypeAlias, TypeVar, Union, get_args, get_origin

import typer
from pydantic.fields import FieldInfo

from eidolon.benchmark.settings.fields import Flag, Panel, Settings, docstrings, flag_name, flag_of
from eidolon.models.base.options import parse_options

Command = TypeVar("Command", bound=Callable[..., Any])

Allow: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PART,…",
        help="Compare in spite of another judge, reading, vocabulary, prompt, dataset or policy; separated by commas.",
    ),
]
"""The option of every verb that compares runs."""
MinShared: TypeAlias = Annotated[
    int,
    typer.Option(
        metavar="N", help="Refuse to compare runs that share fewer images. Below 30 there is a warning."
    ),
]
"""The same."""


def with_settings(kind: type[Settings]) -> Callable[[Command], Command]:
    """Give a command every field of a settings model as an option, before the command's own parameters.

    The command takes them as `**options`; `flags_of` turns them back into fields. A flag that was not given is None,
    so that a `--config` file can say it instead; the help shows the model's default.
    """

    def decorate(command: Command) -> Command:
        own = list(inspect.signature(command).parameters.values())
        kept = [parameter for parameter in own if parameter.kind is not parameter.VAR_KEYWORD]
        options = [_parameter(kind, name) for name in _by_panel(kind)]
        positional = [p for p in kept if p.kind is not p.KEYWORD_ONLY]
        keyword_only = [p for p in kept if p.kind is p.KEYWORD_ONLY]
        parameters = [*positional, *options, *keyword_only]
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {p.name: p.annotation for p in parameters}
        return command

    return decorate


def flags_of(kind: type[Settings], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that the options of a command line set."""
    given: dict[str, Any] = {}
    for name in kind.model_fields:
        value = options.get(name)
        if value is None or value == []:
            continue
        field = kind.model_fields[name]
        if _is_switch(field):
            value = None if value is False else not field.default
        elif _holds_options(field):
            value = parse_options(value, flag_name(kind, name))
        elif isinstance(value, list) and not _holds_paths(field) and not _holds_models(field):
            value = split_names(value)
        if value is not None:
            given[name] = value
    return given


def split_names(values: Sequence[str] | None) -> tuple[str, ...]:
    """Read a repeatable option of names separated by commas."""
    return tuple(name.strip() for value in values or () for name in value.split(","))


def _by_panel(kind: type[Settings]) -> list[str]:
    """Return the fields in the order of the help's panels; inherited fields come first in each."""
    panels = get_args(Panel)
    return sorted(kind.model_fields, key=lambda name: panels.index(flag_of(kind, name).panel))


def _parameter(kind: type[Settings], name: str) -> inspect.Parameter:
    field, flag = kind.model_fields[name], flag_of(kind, name)
    switch = _is_switch(field)
    option = typer.Option(
        flag_name(kind, name),
        help=" ".join(docstrings(kind).get(name, "").split()),
        metavar=flag.metavar,
        rich_help_panel=flag.panel,
        show_default=_shown(field, flag),
    )
    annotation: Any = Annotated[bool if switch else _type(field) | None, option]
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=False if switch else None, annotation=annotation
    )


def _shown(field: FieldInfo, flag: Flag) -> str | bool:
    """Return the default that the help shows; False where there is none to show."""
    if flag.default is not None:
        return flag.default
    value = field.default
    if value is None or value == {} or value == () or isinstance(value, bool):
        return False
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _type(field: FieldInfo) -> Any:
    """Return the type in which the command line reads a field."""
    bare = _bare(field)
    if _holds_paths(field):
        return list[Path]
    if _holds_options(field) or get_origin(bare) is tuple:
        return list[str]
    return bare if bare in (int, float, Path) else str


def _bare(field: FieldInfo) -> Any:
    """Return a field's type without None."""
    kind: Any = field.annotation
    if get_origin(kind) in (Union, UnionType):
        parts = [part for part in get_args(kind) if part is not NoneType]
        return parts[0] if len(parts) == 1 else str
    return kind


def _is_switch(field: FieldInfo) -> bool:
    return field.annotation is bool


def _holds_options(field: FieldInfo) -> bool:
    return get_origin(_bare(field)) is dict


def _holds_paths(field: FieldInfo) -> bool:
    return get_args(_bare(field))[:1] == (Path,)


def _holds_models(field: FieldInfo) -> bool:
    """Names of models may hold commas."""
    inner = get_args(_bare(field))[:1]
    return bool(inner) and inner[0] not in (str, int, float, Path) and "ModelSpec" in str(inner[0])
