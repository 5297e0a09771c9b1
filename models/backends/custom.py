"""The user's own models: any class with a `generate(requests)` method, named by `python/module:Class`."""

import importlib
import importlib.util
import json
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

from eidolon.models.base.backend import BackendTraits
from eidolon.models.base.checkpoint_files import local_files
from eidolon.models.base.model import DescribedModel, Model, Request
from eidolon.scorers.core.errors import UserError, did_you_mean
from eidolon.scorers.core.input_files import clean, user_path
from eidolon.scorers.core.types import Response


class CustomModel:
    """Wraps the user's class, which is constructed with the model options as keyword arguments (strings).

    Its `generate(requests)` returns one answer per request: a `Response`, or a plain string for the request at the
    same position. An exception inside becomes a UserError that names the class and the line that failed.
    """

    traits: ClassVar[BackendTraits] = BackendTraits()

    @classmethod
    def content_files(cls, target: str) -> dict[str, Path]:
        """Return the file of the class; none for a module by name."""
        file = target.rpartition(":")[0]
        return local_files(file) if os.path.isfile(user_path(file)) else {}

    def __init__(self, target: str, /, **options: str) -> None:
        """Import and construct the class `MODULE:CLASS` or `FILE.py:CLASS`.

        Raises:
            UserError: there is no such class, it cannot be constructed, or it has no method `generate`.
        """
        self._name = f"python/{target}"
        module, _, attribute = target.rpartition(":")
        if not module or not attribute:
            raise UserError(f"model {self._name!r}: expected python/MODULE:CLASS or python/FILE.py:CLASS")
        loaded = self._guard(lambda: _import(module, self._name), "cannot be imported")
        factory = getattr(loaded, attribute, None)
        if factory is None:
            classes = [name for name, value in vars(loaded).items() if isinstance(value, type)]
            raise UserError(
                f"model {self._name!r}: {module} has no {attribute!r}{did_you_mean(attribute, classes)}"
            )
        self._model = self._guard(lambda: factory(**options), "could not be constructed")
        if not isinstance(self._model, Model):
            raise UserError(f"model {self._name!r}: has no method generate(requests)")

    def describe(self) -> dict[str, Any]:
        """Return the class's name and what its `describe()` returns, if it has one.

        Raises:
            UserError: `describe()` fails, or returns something that JSON cannot hold.
        """
        described = isinstance(self._model, DescribedModel)
        own = self._guard(self._model.describe, "failed in describe()") if described else {}
        if not isinstance(own, Mapping):
            raise UserError(
                f"model {self._name!r}: describe() must return a dict, found {type(own).__name__}"
            )
        own = self._guard(lambda: _json_ready(own), "describe() returned what JSON cannot hold")
        return {"backend": "python", "class": self._name.removeprefix("python/"), **own}

    def generate(self, requests: Sequence[Request]) -> Iterable[Response]:
        """Yield one response per request; strings become responses.

        Raises:
            UserError: the class's `generate()` fails, or does not return one answer per request.
        """
        returned = self._guard(lambda: self._model.generate(requests), "failed in generate()")
        if isinstance(returned, str | bytes | Mapping | Set):  # iterable, but not over answers in order
            raise UserError(
                f"model {self._name!r}: generate() must return a list of answers in the order of the requests, "
                f"or yield them, found {type(returned).__name__}"
            )
        answers = self._guard(lambda: iter(returned), "failed in generate()")
        for position, answer in enumerate(self._each(answers)):
            if isinstance(answer, Response):
                yield self._guard(partial(_checked, answer), "gave a response that is not valid")
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
        while (answer := self._guard(lambda: next(answers, end), "failed in generate()")) is not end:
            yield answer

    def _guard(self, call: Callable[[], Any], what: str) -> Any:
        try:
            return call()
        except UserError:
            raise
        except (Exception, SystemExit) as error:  # a script that exits must not end the run without an error
            reason = " ".join(str(error).split()) or "no message"
            raise UserError(
                f"model {self._name!r}: {what}: {type(error).__name__}: {reason}{_place(error)}"
            ) from error


def _checked(response: Response) -> Response:
    """Return the response with all fields validated and lone surrogates replaced, as a file would store it."""
    fields = response.model_dump(warnings=False)
    return Response(**{name: clean(v) if isinstance(v, str) else v for name, v in fields.items()})


def _json_ready(facts: Mapping[str, Any]) -> dict[str, Any]:
    ready: dict[str, Any] = json.loads(
        clean(json.dumps(facts, default=str, allow_nan=False, ensure_ascii=False))
    )
    return ready


def _place(error: BaseException) -> str:
    """Return ` (file.py, line 3)`, where the user's code failed; empty if none of it ran."""
    ours = (__file__, importlib.__file__, "<frozen")
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(ours)]
    return f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""


def _import(module: str, name: str) -> ModuleType:
    """Import a dotted module, which may be in the working folder, or a file."""
    if not module.endswith(".py"):
        if os.getcwd() not in sys.path:
            sys.path.insert(0, os.getcwd())
        return importlib.import_module(module)
    path = user_path(module)
    if not os.path.isfile(path):
        raise UserError(f"model {name!r}: no such file: {path}")
    # The prefix keeps a file called json.py from replacing the module that others import.
    spec = importlib.util.spec_from_file_location(f"eidolon_custom_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = loaded
    spec.loader.exec_module(loaded)
    return loaded
