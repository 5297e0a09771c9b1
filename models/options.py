"""Options given as `key=value` on the command line, handed to whatever they configure."""

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeVar

from eidolon.scorers.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from pydantic import BaseModel

T = TypeVar("T")
OptionsT = TypeVar("OptionsT", bound="BaseModel")


def construct(
    factory: Callable[..., T], options: Mapping[str, str], *positional: str, flag: str, what: str
) -> T:
    """Call `factory(*positional, **options)`; an option that it does not take is a UserError naming the flag.

    A factory that takes any keyword checks its options itself.
    """
    parameters = list(inspect.signature(factory).parameters.values())[len(positional) :]
    known = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    if not any(p.kind is p.VAR_KEYWORD for p in parameters):
        for key, value in options.items():
            if key not in known:
                mend = did_you_mean(key, known) if known else "; it takes none"
                raise UserError(f"{flag} {key}={value}: {what} has no option {key!r}{mend}")
    return factory(*positional, **options)


def parse_options(pairs: list[str], flag: str) -> dict[str, str]:
    """Read repeated `key=value` arguments; a pair without `=` or a key given twice is a UserError."""
    options: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise UserError(f"{flag} {pair!r}: expected key=value")
        if key in options:
            raise UserError(f"{flag} {pair}: {key!r} is given twice, as {options[key]!r} before")
        options[key] = value
    return options


def validate_options(kind: type[OptionsT], options: Mapping[str, str], *, flag: str = "-M") -> OptionsT:
    """Read `key=value` options into a pydantic model; an unknown or ill-typed one is a UserError."""
    from pydantic import ValidationError

    try:
        return kind.model_validate(options)
    except ValidationError as error:
        problem = error.errors()[0]
        field = str(problem["loc"][0])
        known = [info.alias or name for name, info in kind.model_fields.items()]
        mend = did_you_mean(field, known) if problem["type"] == "extra_forbidden" else ""
        raise UserError(f"{flag} {field}={options.get(field)}: {problem['msg']}{mend}") from error
