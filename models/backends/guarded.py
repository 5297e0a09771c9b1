"""What stands between a run and a model of somebody else's code: a user's class, or a plug-in's."""

import contextlib
import importlib
import json
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any

from eidolon.models.base.model import (
    ClosingModel,
    ContinuingModel,
    DecodingCheckedModel,
    DescribedModel,
    MeteredModel,
    Model,
    NamedModel,
    Request,
    ScoringModel,
    SizingModel,
    WhiteBoxModel,
)
from eidolon.scorers.core import foreign
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.foreign import foreign_code
from eidolon.scorers.core.input_files import clean, excerpt
from eidolon.scorers.core.types import Response

OPTIONAL = (
    ClosingModel,
    ContinuingModel,
    DecodingCheckedModel,
    NamedModel,
    ScoringModel,
    SizingModel,
    WhiteBoxModel,
)
"""What a model may offer beside answers and a description; the guard offers what its model does."""


_LARGEST = 1e300
"""Sums of less do not overflow."""


class GuardedModel:
    """Checks what a model of somebody else's returns. Its `generate` may give plain strings.

    Its `generate(requests)` returns one answer per request: a `Response`, or a plain string for the request at the
    same position. An exception inside becomes a UserError that names the model and the line that failed.
    """

    def __init__(self, model: Model, name: str, facts: Mapping[str, Any]) -> None:
        """`name` is the model's name for messages. `facts` start its description."""
        self._model = model
        self._name, self._facts = name, dict(facts)

    def describe(self) -> dict[str, Any]:
        """Return the facts, and what the model's `describe()` returns, if it has one.

        Raises:
            UserError: `describe()` fails, or returns something that JSON cannot hold.
        """
        model = self._model
        if not isinstance(model, DescribedModel):
            return self._facts
        own = run_foreign(self._name, model.describe, "failed in describe()")
        if not isinstance(own, Mapping):
            raise UserError(
                f"model {self._name!r}: describe() must return a dict, found {type(own).__name__}"
            )
        own = run_foreign(self._name, lambda: _json_ready(own), "describe() returned what JSON cannot hold")
        return {**self._facts, **own}

    def usage(self) -> dict[str, int | float]:
        """Return what the model's `usage()` returns, nothing if it does not count.

        Raises:
            UserError: `usage()` fails, or does not return finite numbers by name.
        """
        model = self._model
        if not isinstance(model, MeteredModel):
            return {}
        found = run_foreign(self._name, model.usage, "failed in usage()")
        if not isinstance(found, Mapping) or not all(
            isinstance(name, str) and _is_total(total) for name, total in found.items()
        ):
            raise UserError(
                f"model {self._name!r}: usage() must return finite numbers by name, found {excerpt(found)}"
            )
        return dict(found)

    def generate(self, requests: Sequence[Request]) -> Iterable[Response]:
        """Yield one response per request; strings become responses.

        Raises:
            UserError: the model's `generate()` fails, or does not return one answer per request.
        """
        guard, model = partial(run_foreign, self._name), self._model
        returned = guard(lambda: model.generate(requests), "failed in generate()")
        if isinstance(returned, str | bytes | Mapping | Set):  # iterable, but not over answers in order
            raise UserError(
                f"model {self._name!r}: generate() must return a list of answers in the order of the requests, "
                f"or yield them, found {type(returned).__name__}"
            )
        answers = guard(lambda: iter(returned), "failed in generate()")
        for position, answer in enumerate(self._each(answers)):
            if isinstance(answer, Response):
                yield guard(partial(_checked, answer), "gave a response that is not valid")
            elif not isinstance(answer, str):
                raise UserError(
                    f"model {self._name!r}: generate() must yield strings or Responses, "
                    f"found {type(answer).__name__} as answer {position + 1}"
                )
            elif position >= len(requests):
                raise UserError(
                    f"model {self._name!r}: more answers than the {len(requests)} requests it was given"
                )
            else:
                request = requests[position]
                yield Response(
                    sample_id=request.sample_id,
                    image_id=request.image_id,
                    response=clean(answer),
                    generation=request.generation,
                    prompt=request.prompt,
                )

    def _each(self, answers: Iterator[Any]) -> Iterator[Any]:
        end = object()
        while (
            answer := run_foreign(self._name, lambda: next(answers, end), "failed in generate()")
        ) is not end:
            yield answer


def guard(model: object, name: str, facts: Mapping[str, Any]) -> GuardedModel:
    """Return a model behind the checks. It offers the optional protocols that the model offers.

    Raises:
        UserError: the model has no method `generate`.
    """
    if not isinstance(model, Model):
        raise UserError(f"model {name!r}: has no method generate(requests)")
    offered = [protocol for protocol in OPTIONAL if isinstance(model, protocol)]
    # Attributes of a class, since isinstance looks there for the members of a protocol.
    passed_on = {
        member: property(attrgetter(f"_model.{member}"))
        for protocol in offered
        for base in protocol.__mro__
        for member in vars(base)
        if not member.startswith("_") and member not in ("generate", "usage")
    }
    kind: type[GuardedModel] = type(GuardedModel.__name__, (GuardedModel,), passed_on)
    return kind(model, name, facts)


def run_foreign(name: str, call: Callable[[], Any], what: str, *, fresh: bool = False) -> Any:
    """Return what the code of a model returns; `fresh` says that it is the first call for this model.

    Raises:
        UserError: it fails; the message names the model, `what` failed, and the line.
    """
    try:
        with foreign_code(name, fresh=fresh):
            return call()
    except UserError:
        raise
    except (Exception, SystemExit) as error:  # a script that exits must not end the run without an error
        reason = " ".join(str(error).split()) or "no message"
        raise UserError(f"model {name!r}: {what}: {type(error).__name__}: {reason}{_place(error)}") from error


def _checked(response: Response) -> Response:
    """Return the response with all fields validated and lone surrogates replaced, as a file would store it."""
    fields = response.model_dump(warnings=False)
    return Response(**{name: clean(v) if isinstance(v, str) else v for name, v in fields.items()})


def _is_total(value: object) -> bool:
    """Return whether a value is a number of the size of a count or a cost."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -_LARGEST < value < _LARGEST


def _json_ready(facts: Mapping[str, Any]) -> dict[str, Any]:
    ready: dict[str, Any] = json.loads(
        clean(json.dumps(facts, default=str, allow_nan=False, ensure_ascii=False))
    )
    return ready


def _place(error: BaseException) -> str:
    """Return ` (file.py, line 3)`, where the foreign code failed; empty if none of it ran."""
    ours = (
        __file__,
        foreign.__file__,
        contextlib.__file__,
        str(Path(__file__).with_name("custom.py")),
        importlib.__file__,
        "<frozen",
    )
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(ours)]
    return f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
