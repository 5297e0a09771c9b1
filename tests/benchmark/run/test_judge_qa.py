"""`--judge qa` from the command line: scored, resumed, unscored, shown."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from eidolon.scorers.json_schemas import path as schema_path
from eidolon.scorers.judges.qa import QuestionJudge
from tests.benchmark.conftest import Cli, read_lines, write_lines

ASK = """
import os, time

class Slow:
    def __init__(self, model):
        self.name, self.signature, self._model = model.name, model.signature, model

    def reply(self, prompts, **arguments):
        time.sleep(float(os.environ.get("SLOW_SECONDS", "0")))
        return self._model.reply(prompts, **arguments)
"""


@pytest.fixture
def models(tiny_judges: dict[str, Path]) -> str:
    return "models=" + ",".join(f"transformers/{path}" for path in tiny_judges.values())


def described(tmp_path: Path, n: int) -> list[str]:
    """Arguments of `eidolon score` for n responses, two of them to each image."""
    named = ("dog", "cat", "cup", "apple", "bench")
    rows = [
        {"image_id": i // 2, "sample_id": f"{i // 2}", "generation": i % 2, "prompt": "Describe.",
         "response": f"A {named[i % 5]} stands on the grass. There is an {named[(i + 3) % 5]} in this image."}
        for i in range(n)
    ]  # fmt: skip
    objects = [{"image_id": i, "objects": [named[i % 5], "skis"]} for i in range(-(-n // 2))]
    return [
        "--responses", str(write_lines(tmp_path / "responses.jsonl", rows)),
        "--objects", str(write_lines(tmp_path / "objects.jsonl", objects)),
    ]  # fmt: skip


FEW = ("-J", "categories=dog,cat,cup,apple,bench,skis")


def naive(out: Path, k: int, voters: int, categories: list[str]) -> dict[str, Any]:
    """Scores from the files of the run folder alone, with sets and loops."""
    truth = {row["sample_id"]: set(row["objects"]) for row in read_lines(out / "samples.jsonl")}
    hits, predicted, true = (dict.fromkeys(categories, 0) for _ in range(3))
    tp = fp = fn = 0
    for row in read_lines(out / "judgements.jsonl"):
        yes = {c: sum(row["votes"].get(c, {}).values()) for c in categories}
        named = {c for c in categories if yes[c] >= k}
        there = {c for c in truth[row["sample_id"]] if not voters - k < yes[c] < k}
        tp, fp, fn = tp + len(named & there), fp + len(named - there), fn + len(there - named)
        for c in categories:
            predicted[c] += c in named
            true[c] += c in there
            hits[c] += c in named & there
    precisions = [hits[c] / predicted[c] for c in categories if predicted[c]]
    return {
        "classwise_precision": sum(precisions) / len(precisions) if precisions else None,
        "f05": 1.25 * tp / (1.25 * tp + 0.25 * fn + fp) if tp + fn + fp else None,
    }


def test_scores_come_from_the_stored_votes(cli: Cli, models: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ("--judge", "qa", "-J", models, *FEW, "-J", "threshold=4")
    result = cli("score", *described(tmp_path, 24), "--out", out, *arguments)
    assert result.code == 0, result.err
    scores = json.loads((out / "scores.json").read_text())
    assert list(scores["metrics"]) == ["throne", "objects"]
    categories = list(scores["metrics"]["throne"]["per_category"])
    assert scores["intervals"]["clusters"] == 12
    expected = naive(out, 4, 6, categories)
    assert expected["classwise_precision"] is not None
    assert scores["metrics"]["throne"]["classwise_precision"]["value"] == pytest.approx(
        expected["classwise_precision"]
    )
    assert scores["metrics"]["objects"]["f05"]["value"] == pytest.approx(expected["f05"])
    variants = {variant["label"]: variant for variant in scores["variants"]}
    assert list(variants) == ["throne fixed", "throne threshold=5", "throne threshold=6"]
    for k in (5, 6):
        found = variants[f"throne threshold={k}"]["metrics"]["throne"]["classwise_precision"]["value"]
        wanted = naive(out, k, 6, categories)["classwise_precision"]
        assert found == (None if wanted is None else pytest.approx(wanted))
    assert scores["counts"]["throne"]["images"] == 24
    assert scores["calibration"]["voters"] == 6
    assert scores["calibration"]["formats"] == ["1a", "1b", "2a"]
    positions = scores["calibration"]["by_position"]
    assert sum(part["cells"] for part in positions["parts"]) == 48
    narrowed = "+".join(categories)
    assert positions["reader"] == f"lexicon(reading=careful-2,vocabulary=coco80:{narrowed})"
    assert "qa(models=tiny-one#" in scores["signature"]
    for name in ("scores", "judgements"):
        schema = json.loads(schema_path(name).read_text())
        rows = [scores] if name == "scores" else read_lines(out / "judgements.jsonl")
        for row in rows:
            jsonschema.validate(row, schema)
    keys = {
        key
        for row in read_lines(out / "judgements.jsonl")
        for votes in row["votes"].values()
        for key in votes
    }
    assert keys == {f"tiny-{size}/{f}" for size in ("one", "two") for f in ("1a", "1b", "2a")}
    for told in ("THRONE F0.5", "Fleiss' kappa", "first named in fifth 5", "tiny-two"):
        assert told in result.out
    page = (out / "report.html").read_text()
    assert "first named in fifth 5" in page
    assert "judged to be named" in page
    again = cli("leaderboard", out)
    assert again.code == 0
    assert "THRONE P" in again.out


def test_scenes_from_a_model_to_the_leaderboard(cli: Cli, models: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = cli(
        "run", "--model", "scenes-small", "--limit", 2, "--max-new-tokens", 24, "--resamples", 20,
        "--out", out, "--judge", "qa", "-J", models, "-J", "formats=1a,4b", "-J", "batch_size=40",
        "--metric", "throne,objects,chair",
    )  # fmt: skip
    assert result.code == 0, result.err
    scores = json.loads((out / "scenes-small/scores.json").read_text())
    assert list(scores["metrics"]) == ["throne", "objects", "chair"]
    assert scores["calibration"]["cells"] == 160
    assert "[!!]" not in result.out
    assert "judge qa: 0 of 2 responses done" in result.err


def test_a_dry_run_says_who_would_judge(
    cli: Cli, models: str, replay_file: Path, picture_folder: Path
) -> None:
    result = cli(
        "run", "--model", f"replay/{replay_file}", "--dataset", f"folder/{picture_folder}", "--dry-run",
        "--judge", "qa", "-J", models,
    )  # fmt: skip
    assert result.code == 0, result.err
    assert "threshold=6of6" in result.out
    assert "metrics: throne, objects" in result.out


def test_a_language_model_that_is_down_leaves_all_unscored(cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = cli(
        "score", *described(tmp_path, 4), "--out", out, "--judge", "qa", *FEW,
        "-J", "models=openai/m@http://127.0.0.1:9/v1", "-J", "retries=0",
    )  # fmt: skip
    assert result.code == 3
    assert "unscored" in result.err
    rows = read_lines(out / "judgements.jsonl")
    assert rows[0]["unscored"].startswith("judge m: the endpoint cannot be reached")
    assert all("the endpoint cannot be reached" in row["unscored"] for row in rows)
    assert not any("votes" in row for row in rows)
    scores = json.loads((out / "scores.json").read_text())
    assert scores["n"]["unscored"] == 4
    assert scores["metrics"]["throne"]["classwise_f05"]["value"] is None


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--judge", "qa", "-J", "models=unknown"), ("-J models=unknown",)),
        (("--judge", "qa", "-J", "{models}", "-J", "thershold=3"), ("thershold", "did you mean 'threshold'")),
        (("--judge", "qa", "-J", "{models}", "-J", "threshold=2"), ("-J threshold=2", "from 4")),
        (("--metric", "throne"), ("--metric throne", "'lexicon'", "--judge qa")),
        (("--judge", "qa", "-J", "{models}", "--metric", "throne,pope"), ("pope", "alone")),
        (("-J", "models=x"), ("-J models=x", "has no option")),
    ],
)
def test_mistakes_are_one_line(
    cli: Cli,
    inputs: list[str],
    tmp_path: Path,
    models: str,
    arguments: tuple[str, ...],
    told: tuple[str, ...],
) -> None:
    result = cli("score", *inputs, "--out", tmp_path / "out", *(a.format(models=models) for a in arguments))
    assert result.code == 2
    assert len(result.err.splitlines()) == 1
    for part in told:
        assert part in result.err
    assert not (tmp_path / "out").exists()


def test_detection_needs_a_judge_that_says_where(cli: Cli, models: str, tmp_path: Path) -> None:
    row = {
        "image_id": 1,
        "words": ["A", "dog"],
        "human_hallucinated": [False, True],
        "references": ["A cat."],
    }
    result = cli(
        "score", "--metric", "detection", "--responses", write_lines(tmp_path / "r.jsonl", [row]),
        "--out", tmp_path / "out", "--judge", "qa", "-J", models,
    )  # fmt: skip
    assert result.code == 2
    assert "--judge qa: does not say which words" in result.err


def test_a_run_that_is_killed_while_it_judges_goes_on_where_it_was(models: str, tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(ASK)
    start = (
        "import slow; from eidolon.models.backends import text_models as t; load = t.language_models; "
        "t.language_models = lambda *a, **k: tuple(map(slow.Slow, load(*a, **k))); "
        "from eidolon.benchmark.cli import main; main()"
    )
    inputs = described(tmp_path, 56)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}

    def command(out: str) -> list[str]:
        return [
            sys.executable, "-c", start, "score", *inputs, "--out", str(tmp_path / out), "--judge", "qa",
            "-J", models, *FEW,
        ]  # fmt: skip

    subprocess.run(command("whole"), env=environment, check=True, capture_output=True)
    judgements = tmp_path / "killed/judgements.jsonl"
    process = subprocess.Popen(
        command("killed"), env={**environment, "SLOW_SECONDS": "0.5"},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        # A batch may be seen while it is being written: wait for its last line.
        if judgements.exists() and judgements.read_bytes().count(b"\n") >= QuestionJudge.batch:
            break
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = judgements.read_bytes()
    done = kept.count(b"\n")
    assert done in (QuestionJudge.batch, 2 * QuestionJudge.batch)
    ended = subprocess.run(command("killed"), env=environment, check=True, capture_output=True, text=True)
    assert f"judge qa: {done} of 56 responses done" in ended.stderr
    assert judgements.read_bytes().startswith(kept)
    for name in ("judgements.jsonl", "scores.json"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
