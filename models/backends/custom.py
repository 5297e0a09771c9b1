"""Models of other people's code: `python/module:Class`, and classes of plug-ins. Both get the same guard."""

import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

from eidolon.models.backends.guarded import GuardedModel, guard, run_foreign
from eidolon.models.base.backend import BackendTraits
from eidolon.models.base.checkpoint_files import local_files
from eidolon.models.base.options import construct
from eidolon.scorers.core.errors import UserError, did_you_mean
from eidolon.scorers.core.input_files import check_regular, user_path
from eidolon.scorers.core.registry import Plugin


class CustomModel:
    """The user's class `MODULE:CLASS` or `FILE.py:CLASS`, behind a guard (`GuardedModel`).

    The class is constructed with the model options as keyword arguments (strings).
    """

    traits: ClassVar[BackendTraits] = BackendTraits()

    @classmethod
    def content_files(cls, target: str) -> dict[str, Path]:
        """Return the file of the class; none for a module by name.

        Raises:
            UserError: the file is too large to be read.
        """
        file = target.rpartition(":")[0]
        if not os.path.isfile(user_path(file)):
            return {}
        _check_source(user_path(file), f"python/{target}")
        return local_files(file)

    def __new__(cls, target: str, /, **options: str) -> GuardedModel:  # type: ignore[misc]
        """Import and construct the class.

        Raises:
            UserError: there is no such class, it cannot be constructed, or it has no method `generate`.
        """
        name = f"python/{target}"
        module, _, attribute = target.rpartition(":")
        if not module or not attribute:
            raise UserError(f"model {name!r}: expected python/MODULE:CLASS or python/FILE.py:CLASS")
        loaded = run_foreign(name, lambda: _import(module, name), "cannot be imported", fresh=True)
        factory = getattr(loaded, attribute, None)
        if factory is None:
            classes = [name for name, value in vars(loaded).items() if isinstance(value, type)]
            raise UserError(
                f"model {name!r}: {module} has no {attribute!r}{did_you_mean(attribute, classes)}"
            )
        model = run_foreign(name, lambda: factory(**options), "could not be constructed")
        return guard(model, name, {"backend": "python", "class": target})


def load_plugin_model(
    name: str, plugin: Plugin, factory: Callable[..., Any], target: str, options: Mapping[str, str]
) -> GuardedModel:
    """Construct a plug-in's model with its target, unless that is empty, and its options as keyword arguments.

    Raises:
        UserError: it has no such option, it cannot be constructed, or it has no method `generate`.
    """
    backend = plugin.name
    positional = (target,) if target else ()

    def make() -> object:
        return construct(factory, options, *positional, flag="-M", what=f"model backend {backend!r}")

    model = run_foreign(name, make, "could not be constructed", fresh=True)
    return guard(model, name, {"backend": backend, "class": plugin.value, "package": plugin.package})


def check_plugin_target(given: str, backend: str, factory: Callable[..., Any], target: str) -> None:
    """Check that a plug-in's class takes a name if one is given, and none if it needs one.

    Raises:
        UserError: it does not; `given` starts the message.
    """
    try:
        parameters = [*inspect.signature(factory).parameters.values()]
    except (TypeError, ValueError):  # a class of an extension module may hide its signature
        return
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    if target and not positional and not variadic:
        raise UserError(f"{given}: this backend takes no name of a model; write {backend}")
    if not target and any(p.default is p.empty for p in positional):
        raise UserError(f"{given}: the name of a model is missing; write {backend}/NAME")


def plugin_files(plugin: Plugin) -> dict[str, Path]:
    """Return the source file of a loaded plug-in's module, by the module's name; none if it has no file."""
    module = plugin.value.partition(":")[0].strip()
    file = getattr(sys.modules.get(module), "__file__", None)
    return {module: Path(file)} if file and os.path.isfile(file) else {}


def _import(module: str, name: str) -> ModuleType:
    """Import a dotted module, which may be in the working folder, or a file."""
    if not module.endswith(".py"):
        if os.getcwd() not in sys.path:
            sys.path.insert(0, os.getcwd())
        return importlib.import_module(module)
    path = user_path(module)
    _check_source(path, name)
    # The prefix keeps a file called json.py from replacing the module that others import.
    spec = importlib.util.spec_from_file_location(f"eidolon_custom_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = loaded
    spec.loader.exec_module(loaded)
    return loaded


def _check_source(path: Path, name: str) -> None:
    try:
        check_regular(path)
    except UserError as error:
        raise UserError(f"model {name!r}: {error}") from None
