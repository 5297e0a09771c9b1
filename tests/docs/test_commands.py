"""Every command of the pages is run here, or marked with what CI lacks; then its verb and its flags are looked up."""

import gc
import importlib
import re
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest
import typer

from eidolon.benchmark.cli import app, invoke
from eidolon.scorers.core.registry import Registry
from tests.docs.inputs import write_inputs
from tests.docs.pages import NEEDS, PAGES, ROOT, Block, blocks, name_of

COMPARABLE = "10"
"""Images: `compare` refuses runs that share fewer."""
FEW_SCENES = ["--limit", COMPARABLE]
"""Given to runs that would draw more, so that a page takes seconds."""
FEW_RESAMPLES = ["--resamples", "100"]
DEMO = "demo"

_INLINE = re.compile(r"`(eidolon [^`]+)`")
_PLACEHOLDER = re.compile(r"…|^\[|\]$")

SHELL = [(page, block) for page in PAGES for block in blocks(page) if block.language == "sh"]
RUNNABLE = [page for page in PAGES if any(p == page and "needs" not in block.marks for p, block in SHELL)]


@pytest.fixture(scope="module")
def program() -> tuple[Any, Any]:
    """Return the command line's root command and a context of it."""
    command = typer.main.get_command(app)
    return command, command.make_context("eidolon", ["list"], resilient_parsing=True)


def parse(words: list[str], program: tuple[Any, Any]) -> None:
    """Look up the verb and the flags of `eidolon …` without running it; a placeholder counts as any value."""
    command, context = program
    words = [word for word in words[1:] if not _PLACEHOLDER.search(word)]
    while words and hasattr(command, "list_commands"):
        name = words[0]
        if name.startswith("-"):
            break
        inner = command.get_command(context, name)
        assert inner is not None, f"no such verb: {name}"
        command, context = inner, type(context)(inner, info_name=name, parent=context)
        words = words[1:]
    command.make_parser(context).parse_args(args=words)


@pytest.mark.parametrize(("page", "block"), SHELL, ids=[f"{name_of(p)}:{b.line}" for p, b in SHELL])
def test_the_command_exists(page: Path, block: Block, program: tuple[Any, Any]) -> None:
    needs = block.marks.get("needs", "").split()
    assert set(needs) <= set(NEEDS), f"known marks: {', '.join(NEEDS)}"
    for words in block.commands():
        match words:
            case ["eidolon", *_]:
                parse(words, program)
            case ["python", script, *_] if not script.startswith("-"):
                assert (ROOT / script).is_file()
            case ["make", *targets]:
                makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
                assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)
        if words[0] != "eidolon":
            assert needs, f"{words[0]}: mark the block with what it needs"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_inline_commands_exist(page: Path, program: tuple[Any, Any]) -> None:
    for found in _INLINE.finditer(
        re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    ):
        words = [word for word in found[1].split() if word.isascii() or word.startswith("-")]
        if not words[-1].isupper():  # `eidolon VERB` is no command
            parse([*words, "VALUE"], program)


@pytest.fixture(scope="module")
def one_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a response cache that all pages share: most ask the same model about the same scenes."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, one_cache: Path) -> Path:
    """Return a small run of the demo, whose folder some blocks begin from."""
    folder = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("EIDOLON_CACHE", str(one_cache))
        assert invoke(["run", "--limit", COMPARABLE, *FEW_RESAMPLES, "--out", "results/runs/demo"]) == 0
    return folder


@pytest.mark.parametrize("page", RUNNABLE, ids=name_of)
def test_the_page_runs(
    page: Path, demo: Path, one_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Follow a page from top to bottom in one folder: write the files that it shows, run the commands and the code."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("EIDOLON_CACHE", str(one_cache))
    write_inputs(tmp_path)
    for number, block in enumerate(blocks(page)):
        where = f"{name_of(page)}:{block.line}"
        if "file" in block.marks:
            Path(block.marks["file"]).write_text(block.text, encoding="utf-8")
            if block.marks["file"] == "pyproject.toml":
                install(tomllib.loads(block.text)["project"], tmp_path)
        elif block.language == "python":
            module = f"{page.stem.replace('-', '_')}_{number}"
            (tmp_path / f"{module}.py").write_text(block.text, encoding="utf-8")
            importlib.import_module(module)
        elif block.language == "sql":
            assert duckdb.sql(block.text).columns, where
        if block.language != "sh" or "needs" in block.marks:
            continue
        if block.marks.get("run after") == DEMO:
            shutil.copytree(demo, tmp_path, dirs_exist_ok=True)
        for words in block.commands():
            code = invoke(shorter(words[1:]))
            assert code == int(block.marks.get("exit code", 0)), f"{where}: {' '.join(words)}"


def install(project: dict[str, Any], site: Path) -> None:
    """Do what pip does for a package of one module that lies in `site` already: write down its entry points."""
    about = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    groups = (
        "\n".join([f"[{group}]", *(f"{name} = {target}" for name, target in points.items())])
        for group, points in project["entry-points"].items()
    )
    (about / "entry_points.txt").write_text("\n".join(groups) + "\n")
    forget_plugins()


def forget_plugins() -> None:
    """Let every registry look for plug-ins again; this process has asked them before."""
    importlib.invalidate_caches()
    for registry in (found for found in gc.get_objects() if type(found) is Registry):
        vars(registry).pop("_plugins", None)


@pytest.fixture(autouse=True)
def _no_plugins_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Take the plug-ins of a page out again when its test ends."""
    yield
    monkeypatch.undo()
    forget_plugins()


def shorter(arguments: list[str]) -> list[str]:
    """Return a command with fewer scenes and resamples, if it leaves their number to the defaults."""
    if arguments[0] == "run" and "--dry-run" not in arguments:
        few = [] if "--limit" in arguments or any("folder/" in word for word in arguments) else FEW_SCENES
        return [*arguments, *few, *([] if "--resamples" in arguments else FEW_RESAMPLES)]
    return arguments
