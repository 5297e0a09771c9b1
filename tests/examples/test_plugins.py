"""The package of plug-ins: pip installs it, and each plug-in is one module and one entry point."""

import ast
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent.parent / "examples" / "plugins"
ENTRY_POINTS = tomllib.loads((PACKAGE / "pyproject.toml").read_text())["project"]["entry-points"]
GROUPS = {f"eidolon.{kind}" for kind in ("datasets", "judges", "metrics", "models", "tasks")}
MODULES = {path.stem for path in (PACKAGE / "eidolon_example_plugins").glob("*.py")} - {"__init__"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the package is installed into."""
    site = tmp_path_factory.mktemp("site")
    build = tmp_path_factory.mktemp("build")
    settings = build / "settings.cfg"
    settings.write_text(f"[build]\nbuild_base = {build}\n[egg_info]\negg_base = {build}\n")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(site), str(PACKAGE)],
        check=True,
        capture_output=True,
        env={**os.environ, "DIST_EXTRA_CONFIG": str(settings)},
    )
    return site


def eidolon(site: Path, *arguments: str | Path, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "eidolon.benchmark", *arguments],
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == code, done.stderr
    return done.stdout


def test_each_plugin_is_one_module_and_one_line() -> None:
    """`count` has a second line, without which its runs cannot be compared."""
    targets = {(group, target) for group, found in ENTRY_POINTS.items() for target in found.values()}
    targets.remove(("eidolon.metrics", "eidolon_example_plugins.count:CountErrors"))
    assert {group for group, _ in targets} == GROUPS
    assert sorted(target.partition(":")[0].rpartition(".")[2] for _, target in targets) == sorted(MODULES)
    for module in MODULES:
        tree = ast.parse((PACKAGE / "eidolon_example_plugins" / f"{module}.py").read_text())
        imported = {
            node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module
        }
        assert not any(name.startswith("eidolon_example_plugins") for name in imported)


def test_the_plugins_are_listed(site: Path) -> None:
    for kind in ("metrics", "judges", "datasets", "models"):
        listed = eidolon(site, "list", kind)
        for name in ENTRY_POINTS[f"eidolon.{kind}"]:
            assert f"\n{name}" in f"\n{listed}"


def test_they_run_together(site: Path, tmp_path: Path) -> None:
    """Ten pictures, five with a ball; the model says of each that it shows two balls and a dog."""
    text = "A sports ball, two sports balls and a dog."
    model = ("--model", f"constant/{text}", "--dataset", "balls", "--out", tmp_path)
    eidolon(site, "run", *model, "--judge", "names", "--metric", "repetition,chair")
    (run,) = (path.parent for path in tmp_path.glob("*/scores.json"))
    scores = json.loads((run / "scores.json").read_text())
    assert scores["n"] == {"requested": 10, "samples": 10, "scored": 10, "unscored": 0}
    assert scores["metrics"]["repetition"]["repeated"]["value"] == pytest.approx(1 / 3)
    # In each three mentions, the dog is never there and the balls are in every other picture.
    assert scores["metrics"]["chair"]["chair_i"]["value"] == pytest.approx((5 * 1 + 5 * 3) / 30)
    assert "|judge=names(vocabulary=coco80)|" in scores["signature"]
    checked = eidolon(site, "check", run)
    assert f"{run}: ok" in checked
    assert "names(vocabulary=coco80) says the same of all 10 responses" in checked
    board = eidolon(site, "leaderboard", tmp_path)
    assert "repetition.repeated" in board


def test_a_class_of_strings_runs_like_its_file(site: Path, tmp_path: Path) -> None:
    """The class of the README, once by its file and once by its entry point."""
    file = PACKAGE / "eidolon_example_plugins" / "blind.py"
    for model in (f"python/{file}:Blind", "blind"):
        eidolon(site, "run", "--model", model, "--limit", "4", "--out", tmp_path)
    by_file, by_name = sorted(tmp_path.glob("*/scores.json"), key=lambda path: path.parent.name == "blind")
    assert by_name.parent.name == "blind"
    first, second = (json.loads(path.read_text()) for path in (by_file, by_name))
    assert first == second
    assert first["n"]["scored"] == 4
    described = json.loads((by_name.parent / "run.json").read_text())["model"]
    assert described["package"] == "eidolon-example-plugins 1.0"


def test_the_metric_works_in_python(site: Path) -> None:
    code = (
        "import eidolon; print(eidolon.metric('repetition', judge='names')"
        ".score(['A dog, a dog and a cat.'], [['dog']])['repeated'].value)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(done.stdout) == pytest.approx(1 / 3)


def test_a_task_of_a_plugin_runs_like_a_built_in_one(site: Path, tmp_path: Path) -> None:
    """Five pictures of ten hold one kind of object, the others none."""
    for answer in ("1", "There are 3."):
        model = ("--model", f"constant/{answer}", "--dataset", "balls", "--out", tmp_path)
        eidolon(site, "run", "--task", "count", *model)
    one, three = (tmp_path / name for name in ("constant-1", "constant-There-are-3"))
    scores = json.loads((one / "scores.json").read_text())
    assert scores["metrics"]["count"]["exact"]["value"] == 0.5
    assert scores["metrics"]["count"]["error"]["value"] == 0.5
    assert "|policy=unscored-left-out|" in scores["signature"]
    assert "error" in eidolon(site, "compare", one, three)
    assert "count.exact" in eidolon(site, "leaderboard", tmp_path)
    assert json.loads((one / "run.json").read_text())["config"]["task"] == "count"


def test_check_computes_the_run_of_a_plugin_task_again(site: Path, tmp_path: Path) -> None:
    """`check` knows files, judge, metric and truth of the task from the plug-in alone."""
    model = ("--model", "constant/1", "--dataset", "balls", "--out", tmp_path)
    eidolon(site, "run", "--task", "count", *model)
    run = tmp_path / "constant-1"
    (report,) = json.loads(eidolon(site, "check", "--json", run))["runs"]
    verdicts = {finding["check"]: finding["verdict"] for finding in report["checks"]}
    assert {name for name, verdict in verdicts.items() if verdict != "ok"} <= {"answers", "versions"}
    details = {finding["check"]: finding["detail"] for finding in report["checks"]}
    assert details["judge"] == "number(first) says the same of all 10 responses"
    assert details["scores"] == "2 values computed again"
    scores = json.loads((run / "scores.json").read_text())
    scores["metrics"]["count"]["exact"]["value"] = 0.9
    (run / "scores.json").write_text(json.dumps(scores))
    lines = (run / "responses.jsonl").read_text().replace('"response":"1"', '"response":"one"', 1)
    (run / "responses.jsonl").write_text(lines)
    (report,) = json.loads(eidolon(site, "check", "--json", run, code=3))["runs"]
    differing = {finding["check"] for finding in report["checks"] if finding["verdict"] == "differs"}
    assert {"scores", "judge", "hashes"} <= differing
