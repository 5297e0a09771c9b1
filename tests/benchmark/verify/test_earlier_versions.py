"""Run folders of version 1 open in every verb that reads runs, and resume with the same command where they can."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eidolon.benchmark.cli import invoke
from eidolon.benchmark.report.leaderboard import collect
from eidolon.benchmark.verify.check.run import CheckOptions, check_runs
from eidolon.benchmark.verify.compare import CompareOptions, compare
from tests.benchmark.conftest import OBJECTS, RESPONSES, write_lines
from tests.benchmark.tasks.score_files.test_answers import pope_files

SCENES = [
    "There is a dog and a cat beside a red car.",
    "A person with an umbrella, and a bench.",
    "I can see a bird, a pizza and two clocks.",
]


# Version 1 judged responses as they are, as the reading `original` does.
def model_run(folder: Path, rows: list[dict[str, Any]], *arguments: str) -> list[str]:
    """Return the command of a run of recorded responses."""
    replay = write_lines(folder / "replay.jsonl", rows)
    command = ["run", "--model", f"replay/{replay}", "--limit", "3", "--resamples", "20", *arguments]
    return [*command, "--out", str(folder / "out")]


def describe(folder: Path) -> list[str]:
    rows = [{"sample_id": f"scenes-0-{i}", "response": text} for i, text in enumerate(SCENES)]
    return model_run(folder, rows, "-J", "reading=original", "--temperature", "0.5")


def probe(folder: Path) -> list[str]:
    ids = [
        f"scenes-0-{i}:{split}:{n}"
        for i in range(3)
        for split in ("random", "popular", "adversarial")
        for n in range(1, 7)
    ]
    rows = [{"sample_id": name, "response": "Yes, there is."} for name in ids]
    return model_run(folder, rows, "--task", "probe", "--policy", "all")


# Version 1 measured retention, dependence and forced orders alone.
def forget(folder: Path) -> list[str]:
    return [
        "run", "--task", "forget", "--model", "scenes-small", "--limit", "2", "--lengths", "16",
        "--max-new-tokens", "40", "-J", "reading=original", "--resamples", "20",
        "--skip", "knowledge,cloze,interventions,attention", "--out", str(folder / "out"),
    ]  # fmt: skip


def responses(folder: Path) -> list[str]:
    given = write_lines(folder / "responses.jsonl", RESPONSES)
    objects = write_lines(folder / "objects.jsonl", OBJECTS)
    # Version 1 kept the categories in the lexicon's order alone; the command may have another.
    command = [
        "score",
        "--responses",
        str(given),
        "--objects",
        str(objects),
        "-J",
        "categories=pizza, cat,dog",
        "-J",
        "reading=original",
    ]
    return [*command, "--resamples", "20", "--out", str(folder / "out")]


def pope(folder: Path) -> list[str]:
    return [*map(str, pope_files(folder)), "--policy", "all", "--out", str(folder / "out")]


def as_version_1(run: Path) -> None:
    """Write the record of a fresh run in the layout of version 1."""
    record = json.loads((run / "run.json").read_text())
    config = record["config"]
    old = _model_config(config) if config["verb"] == "run" else _file_config(config)
    del record["signature"]
    record = {**record, "schema": "eidolon/run/1", "config": old}
    (run / "run.json").write_text(json.dumps(record, indent=2) + "\n")


def _model_config(config: dict[str, Any]) -> dict[str, Any]:
    settings, inputs, task = config["settings"], config["inputs"], config["task"]
    (model,) = settings["models"]
    old = {
        "verb": "run",
        "model": {"name": model["name"], "options": model["options"]},
        "dataset": {"name": settings["dataset"], "settings": settings["dataset_options"]},
        "task": task,
        "limit": settings["limit"],
        "seed": settings["seed"],
        "prompt": inputs["prompt"],
        "decoding": {name: settings[name] for name in ("max_new_tokens", "temperature", "top_p")},
        "batch_size": settings["batch_size"],
        "resamples": settings["resamples"],
        "sha256": {"dataset": inputs["dataset"], "model_files": inputs.get("model_files")},
    }
    derived = dict(inputs.get("task", {}))
    if task == "probe":
        old |= {
            "splits": ["random", "popular", "adversarial"],
            "policies": ["original", "exact", "lenient", "strict", "evalscope"],
            "pairs": settings["pairs"],
            "min_objects": settings["pairs"],
            **derived,
        }
        return old
    old |= {
        "generations": settings["generations"],
        "judge": {"name": settings["judge"], "signature": inputs["judge"]},
        "metrics": settings["metrics"],
    }
    if task == "forget":
        old["orders"] = derived.pop("orders")
        old["retention"] = {
            "lengths": settings["lengths"],
            "trained_tokens": settings["trained_length"],
            **derived,
        }
    return old


def _file_config(config: dict[str, Any]) -> dict[str, Any]:
    settings, inputs = config["settings"], config["inputs"]
    old = {
        "verb": "score",
        "fields": settings["fields"],
        "metrics": settings["metrics"],
        "seed": settings["seed"],
        "resamples": settings["resamples"],
        **inputs["files"],
    }
    if config["task"] == "pope":
        return {**old, "policy": settings["policy"]}
    judge = {"name": settings["judge"], "signature": inputs["judge"]}
    return {**old, "truth": inputs["truth"], "limit": settings["limit"], "judge": judge}


def verdicts(run: Path) -> dict[str, str]:
    (found,) = check_runs([run], CheckOptions()).runs
    return {finding.check: finding.verdict for finding in found.checks}


def test_other_categories_are_another_run(tmp_path: Path) -> None:
    command = responses(tmp_path)
    assert invoke(command) == 0
    as_version_1(tmp_path / "out")
    for given in ("categories=cat,dog", "categories=cat,dog,cup"):
        assert invoke([given if word.startswith("categories=") else word for word in command]) == 2
    assert invoke(command) == 0


@pytest.mark.parametrize("kind", [describe, probe, responses, pope, forget])
def test_a_folder_of_version_1(
    kind: Callable[[Path], list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = kind(tmp_path)
    assert invoke(command) == 0
    (run,) = (path.parent for path in (tmp_path / "out").rglob("run.json"))
    fresh = tmp_path / "fresh"
    shutil.copytree(run, fresh)
    scores = (run / "scores.json").read_bytes()
    as_version_1(run)
    assert verdicts(run) == verdicts(fresh)
    assert "differs" not in verdicts(run).values()
    comparison = compare(run, fresh, CompareOptions(resamples=20, min_shared=1))
    assert comparison.differs == ()
    assert any(note.startswith("the runs do not differ") for note in comparison.notes)
    old, new = (collect([path], relative_to=tmp_path).rows[0] for path in (run, fresh))
    assert old.parts == new.parts
    assert (old.task, old.metrics) == (new.task, new.metrics)
    if kind is forget:
        # Version 1 measured dependence by another form, so its lines cannot be continued.
        capsys.readouterr()
        assert invoke(command) == 2
        assert "holds a different run: task.dependency" in capsys.readouterr().err
        return
    assert invoke(command) == 0
    assert (run / "scores.json").read_bytes() == scores
    resumed, before = (json.loads((path / "run.json").read_text()) for path in (run, fresh))
    assert resumed["schema"] == "eidolon/run/2"
    options = resumed["config"]["settings"]["judge_options"], before["config"]["settings"]["judge_options"]
    if "categories" in options[0]:
        assert options[0].pop("categories") == "cat,dog,pizza"
        assert options[1].pop("categories") == "pizza, cat,dog"
    for name in ("config", "signature", "files"):
        assert resumed[name] == before[name]
    assert len(resumed["sessions"]) == 2
