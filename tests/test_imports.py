"""The shape of the code: who may import whom (contracts in pyproject.toml), and how large things may be.

    python tests/test_imports.py

prints the measures.
"""

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("api", "benchmark", "models", "scorers")
LOOSE_MODULES = 3
LONGEST_FUNCTION = 80
MOST_PARAMETERS = 12
LONGEST_FILE = 400
LONG_FILES: dict[str, str] = {}
"""Files that may be longer, with the reason."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def modules() -> dict[str, ast.Module]:
    """Return every module's syntax tree by its path in the repository."""
    paths = (path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py")))
    return {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text(encoding="utf-8")) for path in paths}


def functions() -> Iterator[tuple[str, Function]]:
    """Yield every function with its place."""
    for path, tree in modules().items():
        for node in ast.walk(tree):
            if isinstance(node, Function):
                yield f"{path}:{node.lineno} {node.name}", node


def length(node: Function) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def parameters(node: Function) -> int:
    given = node.args
    return len([*given.posonlyargs, *given.args, *given.kwonlyargs]) - (
        bool(given.args) and given.args[0].arg in ("self", "cls")
    )


def file_lengths() -> dict[str, int]:
    return {path: len((ROOT / path).read_text(encoding="utf-8").splitlines()) for path in modules()}


def public_classes() -> Counter[str]:
    """Return how often each public class name is defined at the top of a module."""
    return Counter(
        node.name
        for tree in modules().values()
        for node in tree.body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The import package `eidolon` as a folder that can be walked: an editable install maps it only while it runs."""
    folder = tmp_path_factory.mktemp("site") / "eidolon"
    folder.mkdir()
    for path in (ROOT / "api").iterdir():
        (folder / path.name).symlink_to(path)
    for room in ROOMS[1:]:
        (folder / room).symlink_to(ROOT / room)
    return folder


def test_no_import_goes_against_the_order(package: Path) -> None:
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = subprocess.run(
        [sys.executable, "-c", code, str(ROOT / "pyproject.toml"), "--no-cache"],
        cwd=package.parent,
        env={"PYTHONPATH": str(package.parent)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(modules())} files" in done.stdout


def test_benchmark_has_few_loose_modules() -> None:
    loose = [path.name for path in (ROOT / "benchmark").glob("*.py") if path.name != "__init__.py"]
    assert len(loose) <= LOOSE_MODULES, loose


def test_functions_are_short() -> None:
    assert {place: length(node) for place, node in functions() if length(node) > LONGEST_FUNCTION} == {}


def test_signatures_are_short() -> None:
    many = {place: parameters(node) for place, node in functions()}
    assert {place: n for place, n in many.items() if n > MOST_PARAMETERS} == {}


def test_files_are_short() -> None:
    long = {path: n for path, n in file_lengths().items() if n > LONGEST_FILE}
    assert long.keys() == LONG_FILES.keys(), long


def test_no_two_public_classes_share_a_name() -> None:
    assert {name: n for name, n in public_classes().items() if n > 1} == {}


def main() -> None:
    """Print the largest of each measure."""
    for what, found in (
        ("lines of a function", {place: length(node) for place, node in functions()}),
        ("parameters of a function", {place: parameters(node) for place, node in functions()}),
        ("lines of a file", file_lengths()),
        ("definitions of a public class name", dict(public_classes())),
    ):
        print(what)
        for place, n in Counter(found).most_common(12):
            print(f"  {n:5} {place}")


if __name__ == "__main__":
    main()
