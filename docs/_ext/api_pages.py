"""Write one reference page for each package of Eidolon; autodoc fills it from the docstrings."""

import pkgutil
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from page_parts import write_folder

FOLDER = "reference/python"
FRONT_DOOR = "eidolon"
ROOMS = ("eidolon.scorers", "eidolon.models", "eidolon.benchmark")
SKIPPED = (
    "eidolon.benchmark.cli",
    "eidolon.benchmark.__main__",
    "eidolon.benchmark.json_schemas",
    "eidolon.scorers.json_schemas",
)


def packages() -> Iterator[tuple[ModuleType, list[str]]]:
    """Yield every documented package with the names of its public modules."""
    for room in ROOMS:
        yield from _walk(import_module(room))


def _walk(package: ModuleType) -> Iterator[tuple[ModuleType, list[str]]]:
    modules, inner = [], []
    for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        if found.name in SKIPPED or found.name.rpartition(".")[2].startswith("_"):
            continue
        (inner if found.ispkg else modules).append(found.name)
    for name in modules:  # before autodoc reads anything: it rewrites annotations that pydantic still needs
        import_module(name)
    yield package, modules
    for name in inner:
        yield from _walk(import_module(name))


def page(package: ModuleType, modules: list[str]) -> str:
    """Return the page of one package: what it is for, then each module with its public members."""
    lines = [package.__name__, "=" * len(package.__name__), "", f".. automodule:: {package.__name__}", ""]
    for module in modules:
        short = module.rpartition(".")[2]
        lines += [
            short,
            "-" * len(short),
            "",
            f".. automodule:: {module}",
            "   :members:",
            "   :show-inheritance:",
            "",
        ]
    return "\n".join(lines)


def front_page(package: ModuleType) -> str:
    """Return the page of the front door: what it is for, then each of its public names."""
    lines = [package.__name__, "=" * len(package.__name__), "", f".. automodule:: {package.__name__}", ""]
    for name in package.__all__:
        member = getattr(package, name)
        if isinstance(member, type):
            lines += [
                f".. autoclass:: {package.__name__}.{name}",
                "   :members:",
                "   :inherited-members: Mapping, Exception, BaseModel",
                "",
            ]
        elif callable(member):
            lines += [f".. autofunction:: {package.__name__}.{name}", ""]
    return "\n".join(lines)


def pages() -> dict[str, str]:
    """Return the page of every package and an index of them, by file name."""
    found = {f"{FRONT_DOOR}.rst": front_page(import_module(FRONT_DOOR))}
    found |= {f"{package.__name__}.rst": page(package, modules) for package, modules in packages()}
    lines = [
        "# Python API",
        "",
        "Every public function and class, from the docstrings. `import eidolon` is the front door; [How to use Eidolon "
        "from Python](../../howto/use-from-python.md) shows it. `eidolon.scorers` turns text into numbers, "
        "`eidolon.models` runs models, `eidolon.benchmark` runs the benchmark.",
        "",
        *["```{toctree}", ":maxdepth: 1", "", *(name.removesuffix(".rst") for name in found), "```", ""],
    ]
    return {**found, "index.md": "\n".join(lines)}


def setup(app: Any) -> dict[str, bool]:
    """Write the pages before Sphinx looks for them."""
    app.connect("builder-inited", lambda app: write_folder(Path(app.srcdir) / FOLDER, pages()))
    return {"parallel_read_safe": True}
