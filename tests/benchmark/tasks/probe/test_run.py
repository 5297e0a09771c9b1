"""`eidolon run --task probe`: from a folder of pictures to scores, and back from its files."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from eidolon.benchmark import json_schemas
from eidolon.benchmark.run.planning import load_run_settings
from eidolon.models.base.defaults import DEFAULT_TEMPERATURE
from eidolon.scorers.json_schemas import schemas
from tests.benchmark.conftest import Cli, read_lines, write_lines

OBJECTS = [
    ["dog", "cat", "person"],
    ["dog", "person", "car", "bus"],
    ["person", "fork", "cup"],
    ["cup", "fork", "cat", "dog"],
    ["bus", "car", "person"],
    ["dog", "cat"],
]
MODEL = """
import os, re, time

class Model:
    '''Says yes to every dog and person, in three ways, and perhaps to cars.'''

    def generate(self, requests):
        for request in requests:
            time.sleep(float(os.environ.get("SLOW_SECONDS", "0")))
            assert request.decoding.temperature == 0 and request.is_question
            name = re.search("Is there an? (.*) in the image", request.prompt)[1]
            yield {"dog": "Yes", "person": "yes, a person.", "car": "Perhaps"}.get(name, "No.")
"""
POLICIES = ["original", "exact", "lenient", "strict", "evalscope"]
SPLITS = ["random", "popular", "adversarial"]
READ = {
    "dog": {"original": True, "exact": True, "lenient": True, "strict": True, "evalscope": True},
    "person": {"original": True, "exact": None, "lenient": True, "strict": None, "evalscope": None},
    "car": {"original": True, "exact": None, "lenient": None, "strict": None, "evalscope": None},
    "other": {"original": False, "exact": None, "lenient": False, "strict": False, "evalscope": False},
}
"""What each policy reads in the model's answers."""


def probe(place: Path, out: str = "out", model: str = "") -> list[Any]:
    """`run --task probe` on the pictures, by default of the model above."""
    return [
        "run", "--task", "probe", "--dataset", f"folder/{place}/pictures", "--resamples", 200,
        "--model", model or f"python/{place}/model.py:Model", "--out", place / out,
    ]  # fmt: skip


@pytest.fixture
def arguments(tmp_path: Path) -> list[Any]:
    """That command, with pictures and model in place."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index in range(len(OBJECTS)):
        Image.new("RGB", (8, 8), (30 * index, 60, 90)).save(folder / f"{index}.png")
    rows = [{"image_id": i, "image": f"{i}.png", "objects": names} for i, names in enumerate(OBJECTS)]
    write_lines(folder / "objects.jsonl", rows)
    (tmp_path / "model.py").write_text(MODEL)
    return probe(tmp_path)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def folder_of(out: Path) -> Path:
    return next(path.parent for path in out.glob("*/run.json"))


def scores_of(out: Path) -> Any:
    return json.loads((folder_of(out) / "scores.json").read_text())


def pope(metrics: Any) -> dict[str, float]:
    return {name: value["value"] for name, value in metrics["pope"].items()}


def expected(rows: list[Any], policy: str) -> dict[str, float]:
    """What the model's rule gives, counted question by question."""
    read = [(READ.get(row["category"], READ["other"])[policy], row["label"] == "yes") for row in rows]
    hits = sum(answer is True and truth for answer, truth in read)
    yes = sum(answer is True for answer, _ in read)
    there = sum(truth and not (policy == "exact" and answer is None) for answer, truth in read)
    right = sum(answer == truth for answer, truth in read)
    if policy == "lenient":
        right = sum(bool(answer) == truth for answer, truth in read)
    return {
        "accuracy": right / len(rows),
        "precision": hits / yes,
        "recall": hits / there,
        "f1": 2 * hits / (yes + there),
        "yes_rate": yes / len(rows),
        "unparsed": sum(answer is None for answer, _ in read) / len(rows),
    }


def test_whole_line(cli: Cli, arguments: list[Any], out: Path) -> None:
    result = cli(*arguments, "--policy", "all")
    assert result.code == 0, result.err
    folder, scores = folder_of(out), scores_of(out)
    questions = read_lines(folder / "questions.jsonl")
    # The picture with two objects is left out; of the others each split asks three and three.
    assert len(questions) == 5 * 3 * 6
    assert scores["n"] == {"requested": 90, "samples": 90, "scored": 90, "unscored": 0}
    assert scores["intervals"]["clusters"] == 5
    assert pope(scores["metrics"]) == pytest.approx(expected(questions, "original"))
    variants = {
        (variant["settings"].get("split"), variant["settings"]["policy"]): variant
        for variant in scores["variants"]
    }
    assert list(variants) == [(split, policy) for split in (None, *SPLITS) for policy in POLICIES]
    for (split, policy), variant in variants.items():
        rows = [row for row in questions if split in (None, row["split"])]
        assert pope(variant["metrics"]) == pytest.approx(expected(rows, policy)), (split, policy)
        assert variant["metrics"]["pope"]["accuracy"]["n"] == len(rows)
    assert variants["popular", "strict"]["label"] == "split=popular,policy=strict"
    unparsed = sum(row["category"] in ("person", "car") for row in questions)
    assert f"│ all         │ strict    │ 90 │ {expected(questions, 'strict')['accuracy']:10.3f}" in result.out
    assert result.out.count(f"{unparsed} │\n") == 2, "of strict and evalscope, all splits"
    assert "pope(policy=original,splits=random+popular+adversarial,questions#" in result.out
    assert "In truth: no." in (folder / "report.html").read_text()
    assert "5 images, 1 left out" in result.out
    assert "those that are wrong before the others" in (folder / "report.html").read_text()


def test_files_of_the_folder(cli: Cli, arguments: list[Any], out: Path) -> None:
    from jsonschema import validate

    assert cli(*arguments, "--policy", "strict").code == 0
    folder = folder_of(out)
    questions = read_lines(folder / "questions.jsonl")
    rows = {name: read_lines(folder / f"{name}.jsonl") for name in ("samples", "responses", "judgements")}
    for name, schema in (
        ("questions", json_schemas.read("questions")),
        ("answers", json_schemas.read("answers")),
        ("samples", json_schemas.read("samples")),
        ("responses", schemas()["responses"]),
        ("judgements", schemas()["judgements"]),
    ):
        for row in read_lines(folder / f"{name}.jsonl"):
            validate(row, schema)
    ids = [question["question_id"] for question in questions]
    assert all([row["sample_id"] for row in found] == ids for found in rows.values())
    assert [row["image_id"] for row in rows["responses"]] == [question["image"] for question in questions]
    assert [row["prompt"] for row in rows["responses"]] == [question["text"] for question in questions]
    for question, judgement in zip(questions, rows["judgements"], strict=True):
        named = [(m["category"], m["verdict"], m["text"]) for m in judgement["mentions"]]
        verdict = "grounded" if question["label"] == "yes" else "hallucinated"
        assert named == ([("dog", verdict, "Yes")] if question["category"] == "dog" else [])
    for question, row in zip(questions, read_lines(folder / "answers.jsonl"), strict=True):
        read = {"dog": "yes", "person": None, "car": None}.get(question["category"], "no")
        assert (row["parsed"], row["dimension"]) == ({"strict": read}, question["split"])
    run = json.loads((folder / "run.json").read_text())
    assert run["sample_ids"] == ids
    inputs, settings = run["config"]["inputs"], run["config"]["settings"]
    assert (run["config"]["task"], inputs["task"]["images"], inputs["task"]["left_out"]) == ("probe", 5, 1)
    assert (settings["max_new_tokens"], settings["temperature"], settings["top_p"]) == (32, 0.0, 1.0)


def test_its_files_scored_again_give_the_same(
    cli: Cli, arguments: list[Any], out: Path, tmp_path: Path
) -> None:
    assert cli(*arguments, "--policy", "all").code == 0
    folder, again = folder_of(out), tmp_path / "again"
    result = cli(
        "score", "--metric", "pope", "--questions", folder / "questions.jsonl",
        "--answers", folder / "responses.jsonl", "--policy", "all", "--resamples", 200, "--out", again,
    )  # fmt: skip
    assert result.code == 0, result.err
    scores, scored_again = scores_of(out), json.loads((again / "scores.json").read_text())
    for name in ("metrics", "counts", "intervals", "n"):
        assert scored_again[name] == scores[name], name
    policies = [variant for variant in scores["variants"] if "split" not in variant["settings"]]
    assert scored_again["variants"] == policies


def test_recorded_answers_are_joined_by_sample(
    cli: Cli, arguments: list[Any], out: Path, tmp_path: Path
) -> None:
    assert cli(*arguments).code == 0
    recorded = read_lines(folder_of(out) / "responses.jsonl")
    model = f"replay/{write_lines(tmp_path / 'recorded.jsonl', recorded)}"
    assert cli(*probe(tmp_path, "replayed", model)).code == 0
    assert scores_of(tmp_path / "replayed") == scores_of(out)
    # Another question about the image has an answer; that is none to this one.
    write_lines(tmp_path / "recorded.jsonl", recorded[:45])
    few = cli(*probe(tmp_path, "few", model))
    assert few.code == 3
    scores = scores_of(tmp_path / "few")
    assert scores["n"] == {"requested": 90, "samples": 90, "scored": 45, "unscored": 45}
    folder = folder_of(tmp_path / "few")
    assert "no response to sample" in read_lines(folder / "judgements.jsonl")[45]["unscored"]
    assert len(read_lines(folder / "answers.jsonl")) == 45


def test_one_split_other_numbers_and_a_prompt(cli: Cli, arguments: list[Any], out: Path) -> None:
    result = cli(
        *arguments, "--split", "popular", "--pairs", 2, "--min-objects", 1, "--limit", 4,
        "--prompt", "Look. {question} Say yes or no.", "--max-new-tokens", 3,
    )  # fmt: skip
    assert result.code == 0, result.err
    rows = read_lines(folder_of(out) / "responses.jsonl")
    assert len(rows) == 4 * 4
    assert all(row["prompt"].startswith("Look. Is there a") for row in rows)
    scores = scores_of(out)
    assert scores["variants"] == []
    assert "splits=popular," in scores["signature"]
    assert "prompt=custom#" in scores["signature"]
    assert "greedy(max=3)" in scores["signature"]
    assert "By split and policy" not in result.out
    assert "4 images" in result.out


def test_an_unreadable_picture_is_unscored(cli: Cli, arguments: list[Any], out: Path, tmp_path: Path) -> None:
    (tmp_path / "pictures/1.png").write_bytes(b"not a picture")
    assert cli(*arguments).code == 3
    scores = scores_of(out)
    assert scores["n"]["unscored"] == 18
    assert scores["metrics"]["pope"]["accuracy"]["n"] == 72
    assert scores["intervals"]["clusters"] == 4


def test_dry_run(cli: Cli, arguments: list[Any], out: Path) -> None:
    result = cli(*arguments, "--dry-run", "--pairs", 2, "--min-objects", 3)
    assert result.code == 0, result.err
    for line in (
        "responses: 60",
        "images: 5, 1 left out",
        "questions: random: 20, popular: 20, adversarial: 20",
        "prompt: {question}",
        "decoding: greedy(max=32)",
        "policy: original",
    ):
        assert line in result.out.splitlines()
    assert not out.exists()


def test_settings_from_a_file(cli: Cli, arguments: list[Any], out: Path, tmp_path: Path) -> None:
    config = tmp_path / "probe.yaml"
    config.write_text("task: probe\nsplit: random\npolicy: strict\npairs: 2\ntemperature: 0.0\n")
    assert arguments[:3] == ["run", "--task", "probe"]
    assert cli("run", "--config", config, "--policy", "exact", *arguments[3:]).code == 0
    settings = json.loads((folder_of(out) / "run.json").read_text())["config"]["settings"]
    assert (settings["split"], settings["policy"], settings["pairs"]) == ("random", "exact", 2)
    assert settings["max_new_tokens"] == 32


def test_defaults_of_the_task() -> None:
    settings = load_run_settings(None, {"task": "probe", "temperature": 0.5}).settings
    assert (settings.prompt, settings.max_new_tokens, settings.temperature) == ("question", 32, 0.5)
    assert load_run_settings(None, {"task": "probe"}).settings.temperature == 0
    assert load_run_settings(None, {}).settings.temperature == DEFAULT_TEMPERATURE


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--split", "popula"], "--split popula: unknown split; did you mean 'popular'"),
        (["--policy", "stric"], "--policy stric: unknown policy; did you mean 'strict'"),
        (["--pairs", "0"], "--pairs 0: must be at least 1"),
        (["--min-objects", "5"], "--min-objects 5: no image of --dataset folder/"),
        (["--judge", "lexicon"], "--judge: is for --task describe, forget, not for --task probe"),
        (["-J", "reading=original"], "-J: is for --task answer, describe, forget, not for --task probe"),
        (["--metric", "chair"], "--metric: is for --task describe"),
        (["--generations", "2"], "--generations: is for --task describe"),
        (["--prompt", "describe"], "--prompt 'describe': unknown prompt preset"),
        (["--prompt", "Yes or no?"], "--prompt 'Yes or no?': must hold {question} once"),
        (["--task", "describe", "--split", "all"], "--split: is for --task probe, not for --task describe"),
        (["--task", "describe", "--min-objects", "2"], "--min-objects: is for --task probe"),
        (["--config", "describe.yaml"], "describe.yaml: field 'judge': is for --task describe"),
    ],
)
def test_mistakes(
    cli: Cli, arguments: list[Any], out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    more: list[str], message: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("describe.yaml").write_text("judge: lexicon\n")
    result = cli(*arguments, *more)
    assert result.code == 2
    assert message in result.err
    assert len(result.err.splitlines()) == 1
    assert not out.exists()


def test_a_folder_holds_one_set_of_questions(cli: Cli, arguments: list[Any], out: Path) -> None:
    assert cli(*arguments).code == 0
    for more in (["--seed", 1], ["--policy", "strict"], ["--split", "random"]):
        result = cli(*arguments, *more)
        assert result.code == 2
        assert "holds a different run" in result.err


def test_tasks_have_tables_of_their_own(cli: Cli, arguments: list[Any], out: Path, tmp_path: Path) -> None:
    assert cli(*arguments, "--seed", 3).code == 0
    described = [*probe(tmp_path, "described"), "--task", "describe"]
    (tmp_path / "model.py").write_text(
        "class Model:\n    def generate(self, requests):\n        return ['A dog.'] * len(requests)\n"
    )
    assert cli(*described).code == 0
    result = cli("leaderboard", out, tmp_path / "described", "--out", tmp_path / "board.json")
    assert result.code == 0, result.err
    described_table, probed_table = result.out.split("Leaderboard of probe")
    assert "Leaderboard of describe" in described_table
    assert "CHAIR_i" in described_table
    assert "accuracy" not in described_table
    assert "yes rate" in probed_table
    assert "CHAIR_i" not in probed_table
    assert "not comparable" not in result.out
    board = json.loads((tmp_path / "board.json").read_text())
    assert [row["task"] for row in board["rows"]] == ["describe", "probe"]
    assert board["headlines"] == {
        "describe": "objects.f05",
        "probe": "pope.accuracy",
        "forget": "forgetting.retention_filler_128",
    }


def command(place: Path, out: str) -> list[str]:
    program = [sys.executable, "-c", "from eidolon.benchmark.cli import main; main()"]
    return [*program, *map(str, probe(place, out)), "--batch-size", "7", "--policy", "all"]


def test_killed_run_ends_like_an_uninterrupted_one(arguments: list[Any], tmp_path: Path) -> None:
    subprocess.run(command(tmp_path, "whole"), cwd=tmp_path, check=True, capture_output=True)
    whole = folder_of(tmp_path / "whole")
    folder = tmp_path / "killed" / whole.name
    responses = folder / "responses.jsonl"
    for wanted in (8, 40):
        process = subprocess.Popen(
            command(tmp_path, "killed"), cwd=tmp_path, env={**os.environ, "SLOW_SECONDS": "0.03"},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            if responses.exists() and responses.read_bytes().count(b"\n") >= wanted:
                break
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert wanted <= responses.read_bytes().count(b"\n") < 90
    responses.write_bytes(responses.read_bytes()[:-20])
    subprocess.run(command(tmp_path, "killed"), cwd=tmp_path, check=True, capture_output=True)
    for name in ("scores.json", "samples.jsonl", "questions.jsonl", "responses.jsonl", "judgements.jsonl",
                 "answers.jsonl"):  # fmt: skip
        assert (folder / name).read_bytes() == (whole / name).read_bytes(), name
