"""Registries of what can be plugged in. An entry is loaded when it is asked for.

A third-party package adds an entry with an entry point, and needs nothing else:

    [project.entry-points."eidolon.metrics"]
    my_metric = "my_package.metric:MyMetric"
"""

import ast
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from eidolon.scorers.core.distribution import how_to_install
from eidolon.scorers.core.errors import UserError, did_you_mean
from eidolon.scorers.core.foreign import foreign_code

if TYPE_CHECKING:
    from eidolon.scorers.core.judge import Judge
    from eidolon.scorers.core.metric import Metric

T = TypeVar("T")

_SENTENCE_END = re.compile(r"(?<=[.?!])\s+(?=[A-Z`])")


@dataclass(frozen=True, slots=True)
class Plugin:
    """An entry of an installed package."""

    name: str
    value: str
    """The object, as `module:attribute`."""
    package: str
    """The package's name and version."""


class Registry(Generic[T]):
    """Maps names to objects given as `module:attribute`: the built-in ones, then those of installed plug-ins."""

    def __init__(self, kind: str, group: str, builtin: Mapping[str, str]) -> None:
        """Take what an entry is called in messages (`metric`), the entry-point group, and the built-in entries."""
        self.kind = kind
        self.group = group
        self._builtin = dict(builtin)

    def names(self) -> tuple[str, ...]:
        """Return all names, sorted. Loads nothing."""
        return tuple(sorted((*self._builtin, *self._plugins)))

    def get(self, name: str) -> T:
        """Import and return the named object.

        An error in one of our own modules is a bug and is raised as it is.

        Raises:
            UserError: the name is unknown, a plug-in cannot be loaded, or a package of an extra is missing.
        """
        plugin = self._plugins.get(name)
        if plugin is not None:
            return self._load_plugin(plugin)
        if name not in self._builtin:
            raise UserError(f"unknown {self.kind} {name!r}{did_you_mean(name, self.names())}")
        try:
            found: T = _load(self._builtin[name])
        except ModuleNotFoundError as error:
            missing = how_to_install(error)
            if missing is None:
                raise
            raise UserError(f"{self.kind} {name!r} {missing}") from error
        return found

    def plugin(self, name: str) -> Plugin | None:
        """Return where an entry comes from, None if it is a built-in one or unknown. Loads nothing."""
        entry = self._plugins.get(name)
        return None if entry is None else Plugin(name, entry.value, _package(entry))

    def describe(self, name: str) -> str:
        """Return the first sentence of the named object's docstring, empty if it has none.

        The sentence is read from the source, so that a list of names loads nothing.

        Raises:
            UserError: the name is unknown.
        """
        plugin = self._plugins.get(name)
        if plugin is None and name not in self._builtin:
            raise UserError(f"unknown {self.kind} {name!r}{did_you_mean(name, self.names())}")
        return first_sentence(plugin.value if plugin else self._builtin[name])

    def _load_plugin(self, plugin: EntryPoint) -> T:
        try:
            with foreign_code():
                found: T = plugin.load()
        except Exception as error:
            raise UserError(
                f"{self.kind} {plugin.name!r} of the plug-in {_package(plugin)} ({plugin.value}) cannot be "
                f"loaded: {type(error).__name__}: {error}; repair or uninstall that package"
            ) from error
        return found

    @cached_property
    def _plugins(self) -> dict[str, EntryPoint]:
        plugins: dict[str, EntryPoint] = {}
        for entry in sorted(entry_points(group=self.group), key=lambda entry: (entry.name, _package(entry))):
            if entry.name in self._builtin:
                raise UserError(
                    f"the plug-in {_package(entry)} takes the name of the built-in {self.kind} "
                    f"{entry.name!r}; uninstall it, or ask its author to rename it"
                )
            if entry.name in plugins:
                raise UserError(
                    f"the plug-ins {_package(plugins[entry.name])} and {_package(entry)} both provide the "
                    f"{self.kind} {entry.name!r}; uninstall one of them"
                )
            plugins[entry.name] = entry
        return plugins


def first_sentence(target: str) -> str:
    """Return the first sentence of the docstring of `module` or `module:attribute`, read from the module's source."""
    module, _, attribute = target.partition(":")
    try:
        found = find_spec(module.strip())
        source = Path(found.origin).read_text(encoding="utf-8") if found and found.origin else ""
        node: ast.AST = ast.parse(source)
    except Exception:  # a plug-in's package may be broken in any way; loading it shows how
        return ""
    for part in attribute.strip().split(".") if attribute else ():
        inner = next((n for n in ast.iter_child_nodes(node) if getattr(n, "name", None) == part), None)
        if inner is None:
            return ""
        node = inner
    documented = (
        ast.get_docstring(node) if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) else None
    )
    return _SENTENCE_END.split(" ".join((documented or "").partition("\n\n")[0].split()))[0].rstrip(".")


def _load(target: str) -> Any:
    module, _, attribute = target.partition(":")
    found: Any = import_module(module)
    for part in attribute.split("."):
        found = getattr(found, part)
    return found


def _package(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist is not None else "(unknown package)"


judges: "Registry[Callable[..., Judge]]" = Registry(
    "judge",
    "eidolon.judges",
    {
        "extract": "eidolon.scorers.judges.extract:ExtractJudge",
        "lexicon": "eidolon.scorers.judges.lexicon:LexiconJudge",
        "nouns": "eidolon.scorers.judges.nouns:NounsJudge",
        "qa": "eidolon.scorers.judges.qa:QuestionJudge",
        "words": "eidolon.scorers.judges.words:WordsJudge",
    },
)
metrics: "Registry[Callable[..., Metric]]" = Registry(
    "metric",
    "eidolon.metrics",
    {
        "aloha": "eidolon.scorers.metrics.aloha:Aloha",
        "chair": "eidolon.scorers.metrics.chair:Chair",
        "forgetting": "eidolon.scorers.forgetting.metric:Forgetting",
        "rivals": "eidolon.scorers.forgetting.rivals.metric:RivalExplanations",
        "objects": "eidolon.scorers.metrics.objects:Objects",
        "attributes": "eidolon.scorers.metrics.attributes:Attributes",
        "openchair": "eidolon.scorers.metrics.openchair:OpenChair",
        "risk": "eidolon.scorers.risk.metric:Risk",
        "throne": "eidolon.scorers.metrics.throne_judged:JudgedThrone",
    },
)
