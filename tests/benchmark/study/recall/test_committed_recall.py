"""The committed `recall.json`, computed from the committed trainings by plain reading of their files."""

import json
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[4] / "results" / "memory" / "recall"
MEMORIES: list[dict[str, Any]] = json.loads((FOLDER / "recall.json").read_text(encoding="utf-8"))["memories"]


def read_trainings() -> dict[tuple[int, int, str], list[dict[str, Any]]]:
    found: dict[tuple[int, int, str], list[dict[str, Any]]] = {}
    for path in FOLDER.glob("*-seed*.json"):
        one = json.loads(path.read_text(encoding="utf-8"))
        cell = one["cell"]
        label = "-".join(cell["layout"]) + ("" if cell["head_dim"] == 64 else f" d={cell['head_dim']}")
        found.setdefault((cell["length"], cell["pairs"], label), []).append(one)
    return found


TRAININGS = read_trainings()


def test_every_committed_training_is_in_the_summary() -> None:
    assert {(one["length"], one["pairs"], one["label"]) for one in MEMORIES} == set(TRAININGS)


@pytest.mark.parametrize("row", MEMORIES, ids=lambda row: f"{row['length']}x{row['pairs']} {row['label']}")
def test_a_row_is_that_of_the_best_rate_of_the_first_seed(row: dict[str, Any]) -> None:
    trainings = TRAININGS[row["length"], row["pairs"], row["label"]]
    swept = [one for one in trainings if one["cell"]["seed"] == 0]
    finished = [one for one in swept if one["stopped"] in ("saturated", "budget")]
    best = max(finished, key=lambda one: one["validation"][-1][1])["validation"][-1][1]
    chosen = next(one for one in swept if one["cell"]["learning_rate"] == row["learning_rate"])
    assert chosen["validation"][-1][1] == best
    own = {
        one["cell"]["seed"]: one for one in trainings if one["cell"]["learning_rate"] == row["learning_rate"]
    }
    assert row["seeds"] == sorted(own)
    assert row["recall"] == [own[seed]["test"]["value"] for seed in row["seeds"]]
    assert row["sequences"] == [own[seed]["sequences"] for seed in row["seeds"]]
    assert row["rates_tried"] == sorted(one["cell"]["learning_rate"] for one in swept)
    if "BM" in row["label"].split("-"):
        assert all(min(own[seed]["predictor_r_squared"]) >= 0.2 for seed in row["seeds"])
