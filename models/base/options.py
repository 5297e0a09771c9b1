"""Options given as `key=value` on the command line."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from eidolon.scorers.core.errors import UserError, did_you_mean

T = TypeVar("T")


def construct(
    factory: Callable[..., T], options: Mapping[str, str], *positional: str, flag: str, what: str
) -> T:
    """Return `factory(*positional, **options)`. `flag` and `what` are for messages.

    A factory with `**` parameters must check its options itself.

    Raises:
        UserError: the factory has no such option.
    """
    parameters = list(inspect.signature(factory).parameters.values())[len(positional) :]
    known = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    if not any(p.kind is p.VAR_KEYWORD for p in parameters):
        for key, value in options.items():
            if key not in known:
                hint = did_you_mean(key, known) if known else "; it takes none"
                raise UserError(f"{flag} {key}={value}: {what} has no option {key!r}{hint}")
    return factory(*positional, **options)


def parse_options(pairs: list[str], flag: str) -> dict[str, str]:
    """Return the options of repeated `key=value` arguments. `flag` is for messages.

    Raises:
        UserError: an argument has no `=` or no key, or a key is given twice.
    """
    options: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise UserError(f"{flag} {pair!r}: expected key=value")
        if key in options:
            raise UserError(f"{flag} {pair}: {key!r} is given twice, as {options[key]!r} before")
        options[key] = value
    return options


def validate_options(kind: type[T], options: Mapping[str, str], *, flag: str = "-M") -> T:
    """Return a pydantic model or dataclass with `key=value` options as its fields. `flag` is for messages.

    Raises:
        UserError: an option is unknown or has an invalid value.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(kind).validate_python(dict(options))
    except ValidationError as error:
        problem = error.errors()[0]
        field = str(problem["loc"][0])
        fields: Mapping[str, Any] = kind.__pydantic_fields__  # type: ignore[attr-defined]
        known = [info.alias or name for name, info in fields.items()]
        unknown = problem["type"] in ("extra_forbidden", "unexpected_keyword_argument")
        hint = did_you_mean(field, known) if unknown else ""
        raise UserError(f"{flag} {field}={options.get(field)}: {problem['msg']}{hint}") from error
