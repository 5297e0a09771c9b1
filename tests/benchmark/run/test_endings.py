"""Models that say nothing, or never stop."""

import json
import shutil
from pathlib import Path

import pytest

from eidolon.models.base.shipped import shipped_models
from tests.benchmark.conftest import Cli, read_lines
from tests.fault_table import FaultRecorder

pytestmark = pytest.mark.faults

SAMPLES = 4
MOST = 12


def run_with_ends(cli: Cli, tmp_path: Path, ends: list[int]) -> Path:
    """Describe a few scenes with a shipped model whose answers end at other tokens; return the run's folder."""
    checkpoint = tmp_path / "model"
    shutil.copytree(shipped_models()["scenes-small"], checkpoint)
    path = checkpoint / "generation_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "eos_token_id": ends}))
    result = cli(
        "run", "--model", f"transformers/{checkpoint}", "--limit", SAMPLES, "--max-new-tokens", MOST, "--batch-size", 2,
        "--temperature", 0, "--resamples", 10, "--out", tmp_path / "out",
    )  # fmt: skip
    assert result.code == 0, result.err
    (run,) = [path.parent for path in (tmp_path / "out").glob("*/run.json")]
    return run


def keys_of(run: Path) -> list[tuple[str, int]]:
    return [(row["sample_id"], 0) for row in read_lines(run / "samples.jsonl")]


def test_a_model_that_only_ends(cli: Cli, tmp_path: Path, faults: FaultRecorder) -> None:
    """Silence is an answer: an empty response, which is scored, and which no headline rewards."""
    vocabulary = json.loads((shipped_models()["scenes-small"] / "config.json").read_text())["text_config"][
        "vocab_size"
    ]
    run = run_with_ends(cli, tmp_path, [*range(vocabulary)])
    rows = read_lines(run / "responses.jsonl")
    assert [(row["response"], row["error"], row["finish_reason"]) for row in rows] == SAMPLES * [
        ("", None, "stop")
    ]
    assert all((row["completion_tokens"], row["token_ends"]) == (1, []) for row in rows)
    scores = json.loads((run / "scores.json").read_text())
    assert scores["responses"]["empty"] == SAMPLES
    assert scores["metrics"]["chair"]["words"]["value"] == 0
    assert not scores["metrics"]["objects"]["f05"]["value"]
    scored = sum(row["unscored"] is None for row in read_lines(run / "judgements.jsonl"))
    faults.after("a model that emits only EOS", run, keys_of(run), injected=SAMPLES, healed=scored)


def test_a_model_that_never_ends(cli: Cli, tmp_path: Path, faults: FaultRecorder) -> None:
    """It is cut at the limit on new tokens; what it said until there is scored, and counted as cut off."""
    run = run_with_ends(cli, tmp_path, [1])
    rows = read_lines(run / "responses.jsonl")
    assert [(row["finish_reason"], row["completion_tokens"]) for row in rows] == SAMPLES * [("length", MOST)]
    scores = json.loads((run / "scores.json").read_text())
    assert scores["responses"]["truncated"] == SAMPLES
    scored = sum(row["unscored"] is None for row in read_lines(run / "judgements.jsonl"))
    faults.after("a model that never stops", run, keys_of(run), injected=SAMPLES, healed=scored)
