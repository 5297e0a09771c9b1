"""Write one reference page for each package of Eidolon; autodoc fills it from the docstrings."""

import pkgutil
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from page_parts import write_folder

FOLDER = "reference/python"
ROOMS = ("eidolon.scorers", "eidolon.models", "eidolon.benchmark")
SKIPPED = (
    "eidolon.benchmark.cli",
    "eidolon.benchmark.__main__",
    "eidolon.benchmark.json_schemas",
    "eidolon.scorers.json_schemas",
)

_CODE = re.compile(r"``?((?:[^`\n]|\n(?!\s*\n))+)``?(\w?)")
_SPECIAL = re.compile(r"([\\*|`]|_(?=\W|$))")


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


def pages() -> dict[str, str]:
    """Return the page of every package and an index of them, by file name."""
    found = {f"{package.__name__}.rst": page(package, modules) for package, modules in packages()}
    lines = [
        "# Python API",
        "",
        "The packages of Eidolon and their public modules, from the docstrings. `eidolon.scorers` turns text into "
        "numbers, `eidolon.models` runs models, `eidolon.benchmark` runs the benchmark.",
        "",
        *["```{toctree}", ":maxdepth: 1", "", *(name.removesuffix(".rst") for name in found), "```", ""],
    ]
    return {**found, "index.md": "\n".join(lines)}


def as_plain_text(text: str) -> str:
    """Return a docstring as reStructuredText that shows it unchanged.

    Our docstrings are plain text with code in backticks. What reStructuredText would read as emphasis, a substitution
    or a reference is escaped.
    """
    done, parts = 0, []
    for span in _CODE.finditer(text):
        parts.append(_SPECIAL.sub(r"\\\1", text[done : span.start()]))
        inside = " ".join(span[1].split())
        parts.append(f"``{inside}``" + (f"\\ {span[2]}" if span[2] else ""))
        done = span.end()
    return "".join(parts) + _SPECIAL.sub(r"\\\1", text[done:])


def _process(app: Any, what: str, name: str, subject: Any, options: Any, lines: list[str]) -> None:
    lines[:] = as_plain_text("\n".join(lines)).split("\n")


def setup(app: Any) -> dict[str, bool]:
    """Write the pages before Sphinx looks for them, and read docstrings before napoleon does."""
    app.connect("builder-inited", lambda app: write_folder(Path(app.srcdir) / FOLDER, pages()))
    app.connect("autodoc-process-docstring", _process, priority=400)
    return {"parallel_read_safe": True}
