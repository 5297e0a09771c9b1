"""A model whose connector gives zeros: its picture cannot matter, so nothing may depend on it, fade or be forgotten."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from eidolon.benchmark.cli import invoke
from eidolon.models.base.shipped import shipped_models


@pytest.fixture(scope="module")
def blind(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "blind"
    shutil.copytree(shipped_models()["scenes-small"], folder)
    (weights,) = folder.glob("*.safetensors")
    tensors = load_file(weights)
    zeroed = [name for name in tensors if "connector" in name]
    assert zeroed
    save_file(
        {name: tensor * (name not in zeroed) for name, tensor in tensors.items()}, weights, {"format": "pt"}
    )
    return folder


def traced(folder: Path, model: str, *more: str) -> dict[str, Any]:
    given = ["--scene", "0:2", "--max-new-tokens", "24", "--out", str(folder), *more]
    assert invoke(["trace", "--model", model, *given]) == 0
    found: dict[str, Any] = json.loads((folder / "trace.json").read_text())
    return found


def test_a_trace_shows_no_dependence(blind: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = traced(tmp_path, f"transformers/{blind}")
    assert found["without"] == "neutral"
    assert max(token["pdm"] for token in found["tokens"]) < 1e-4
    assert all(abs(token["seen"] - token["blind"]) < 1e-4 for token in found["tokens"])
    looking = traced(tmp_path, "scenes-small")
    assert max(token["pdm"] for token in looking["tokens"]) > 0.3, "else the test says nothing"
    capsys.readouterr()
    dropped = traced(tmp_path, f"transformers/{blind}", "--without", "dropped")
    mean = sum(token["pdm"] for token in dropped["tokens"]) / len(dropped["tokens"])
    assert mean > 0.02, "this form finds what is not there"
    assert dropped["control"] == pytest.approx(mean, abs=1e-4), "and the control says so"
    printed = " ".join(capsys.readouterr().out.split())
    assert f"mean PDM {mean:.2f}; {mean:.2f} between it and a grey image" in printed


def test_a_run_finds_no_dependence_and_no_forgetting(blind: Path, tmp_path: Path) -> None:
    given = [
        "--limit",
        "20",
        "--lengths",
        "16,48",
        "--max-new-tokens",
        "60",
        "--resamples",
        "100",
        "--no-cache",
    ]
    given += ["--skip", "attention", "--label", "blind", "--out", str(tmp_path)]
    assert invoke(["run", "--task", "forget", "--model", f"transformers/{blind}", *given]) == 0
    (run,) = (path.parent for path in tmp_path.rglob("pdm.json"))
    table = json.loads((run / "pdm.json").read_text())
    assert (table["without"], table["beside"]) == ("shuffled", "neutral")
    for mean in [*table["means"], *table["means_beside"]]:
        assert (mean["value"] or 0) < 1e-4
    for fade in [table["fade"], *table["sensitivity"]]:
        assert (fade["rate"], fade["decay_per_100"], fade["finding"]) == (None, None, None)
        assert fade["reason"]
    scores = json.loads((run / "scores.json").read_text())["metrics"]["forgetting"]
    for name in ("pdm_decay_per_100_tokens", "pdm_half_life_tokens", "pdm_decay_objects_per_100_tokens"):
        assert scores[name]["value"] is None
    for name, found in scores.items():
        if name.startswith("retention_"):
            assert found["value"] is None, name
    verdicts = {
        name: json.loads((run / f"{name}.json").read_text())["found"]["verdict"]
        for name in ("knowledge", "cloze", "interventions")
    }
    assert verdicts["knowledge"] != "rises"
    assert verdicts["cloze"] != "falls"
    assert verdicts["interventions"] != "a second look helps more later"
    assert scores["picture_effect"]["value"] == 0
    low, high = scores["reminder_effect"]["ci"]
    assert low <= 0 <= high
    assert invoke(["check", str(run)]) == 0
