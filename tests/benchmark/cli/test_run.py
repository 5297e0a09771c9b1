"""`eidolon run` on a folder of pictures with recorded and custom models."""

import json
from pathlib import Path

import pytest

from eidolon.benchmark.run.planning import default_out
from eidolon.benchmark.settings.run import RunSettings
from tests.benchmark.conftest import Cli, read_lines, write_lines

TALKER = """
class Talker:
    def __init__(self, word="dog"):
        self.word = word

    def generate(self, requests):
        for request in requests:
            assert request.image.mode == "RGB"
            yield f"A {self.word} is on the grass; \\x1b[31m[bold] a fridge [/bold] hums."
"""


@pytest.fixture
def talker(tmp_path: Path) -> str:
    path = tmp_path / "talker.py"
    path.write_text(TALKER)
    return f"python/{path}:Talker"


def folder_of(out: Path) -> Path:
    return next(path.parent for path in out.glob("*/run.json"))


def test_whole_line(cli: Cli, picture_folder: Path, replay_file: Path, tmp_path: Path) -> None:
    """Ten times dog and cat; the cat is there in five pictures: 5 of 20 mentions hallucinated."""
    out = tmp_path / "out"
    result = cli(
        "run", "--model", f"replay/{replay_file}", "--dataset", f"folder/{picture_folder}", "--out", out
    )
    assert result.code == 0, result.err
    folder = folder_of(out)
    scores = json.loads((folder / "scores.json").read_text())
    assert scores["metrics"]["chair"]["chair_i"]["value"] == 5 / 20
    assert scores["metrics"]["objects"]["precision"]["value"] == 15 / 20
    assert scores["n"] == {"requested": 10, "samples": 10, "scored": 10, "unscored": 0}
    run = json.loads((folder / "run.json").read_text())
    assert run["status"] == "success"
    assert run["batches"] == {"size": 16, "count": 1}
    assert run["model"]["backend"] == "replay"
    assert run["config"]["inputs"]["prompt"]["text"] == "Describe this image in detail."
    assert len(run["config"]["inputs"]["dataset"]) == 64
    board = json.loads((out / "leaderboard.json").read_text())
    assert [row["run"] for row in board["rows"]] == [folder.name]
    assert result.out.count("[!cat!]") == 3
    assert "signature: dataset=folder" in result.out


def test_text_of_models_is_harmless(cli: Cli, picture_folder: Path, talker: str, tmp_path: Path) -> None:
    result = cli("run", "--model", talker, "--dataset", f"folder/{picture_folder}", "--out", tmp_path / "out")
    assert result.code == 0, result.err
    assert "\x1b" not in result.out
    assert "\\x1b[31m[bold] a [!fridge!] [/bold] hums." in result.out


def test_two_models_with_their_own_options(
    cli: Cli, picture_folder: Path, talker: str, tmp_path: Path
) -> None:
    config = tmp_path / "run.yaml"
    config.write_text(
        f"dataset: folder/{picture_folder}\nlimit: 6\nbatch_size: 4\nmodels:\n"
        f"- {{name: '{talker}', label: cats, options: {{word: cat}}}}\n"
        f"- {{name: '{talker}', label: dogs}}\n"
    )
    out = tmp_path / "out"
    result = cli("run", "--config", config, "--out", out, "--limit", 5)
    assert result.code == 0, result.err
    assert len(read_lines(out / "dogs/responses.jsonl")) == 5
    board = json.loads((out / "leaderboard.json").read_text())
    assert [row["name"] for row in board["rows"]] == ["dogs", "cats"]
    assert json.loads((out / "cats/run.json").read_text())["batches"] == {"size": 4, "count": 2}


def test_model_options_go_to_every_model(cli: Cli, picture_folder: Path, talker: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ("run", "--model", talker, "--dataset", f"folder/{picture_folder}", "--out", out)
    assert cli(*arguments, "-M", "word=cat").code == 0
    assert "A cat is" in read_lines(folder_of(out) / "responses.jsonl")[0]["response"]
    assert cli(*arguments, "-M", "word=bear").code == 2


def test_dry_run_writes_nothing(cli: Cli, picture_folder: Path, talker: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = cli(
        "run", "--model", talker, "--dataset", f"folder/{picture_folder}", "--out", out, "--dry-run",
        "--generations", 2, "--temperature", 1, "--batch-size", 8,
    )  # fmt: skip
    assert result.code == 0
    assert "responses: 20" in result.out
    assert "batches: 3" in result.out
    assert "metrics: chair, objects, forgetting" in result.out
    assert not out.exists()


def test_unreadable_image_is_unscored(cli: Cli, picture_folder: Path, talker: str, tmp_path: Path) -> None:
    picture = picture_folder / "3.png"
    picture.write_bytes(picture.read_bytes()[:45])
    (picture_folder / "5.png").write_bytes(b"")
    (picture_folder / "7.png").write_bytes(b"not a picture")
    out = tmp_path / "out"
    arguments = (
        "run",
        "--model",
        talker,
        "--dataset",
        f"folder/{picture_folder}",
        "--out",
        out,
        "--batch-size",
        2,
    )
    assert cli(*arguments).code == 3
    folder = folder_of(out)
    scores = json.loads((folder / "scores.json").read_text())
    assert scores["n"] == {"requested": 10, "samples": 10, "scored": 7, "unscored": 3}
    rows = read_lines(folder / "responses.jsonl")
    assert [row["sample_id"] for row in rows] == [str(index) for index in range(10)]
    assert rows[3]["response"] is None
    assert "image cannot be read" in rows[3]["error"]
    assert " at 0x" not in rows[5]["error"] + rows[7]["error"]
    assert cli(*arguments, "--max-unscored", "0.3").code == 0


def test_missing_recorded_response_is_unscored(cli: Cli, picture_folder: Path, tmp_path: Path) -> None:
    replay = write_lines(tmp_path / "few.jsonl", [{"image_id": 0, "response": "A dog."}])
    out = tmp_path / "out"
    assert (
        cli("run", "--model", f"replay/{replay}", "--dataset", f"folder/{picture_folder}", "--out", out).code
        == 3
    )
    assert "no response to sample 1" in read_lines(folder_of(out) / "judgements.jsonl")[1]["unscored"]


def test_generations(cli: Cli, picture_folder: Path, talker: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = cli(
        "run", "--model", talker, "--dataset", f"folder/{picture_folder}", "--out", out,
        "--generations", 3, "--temperature", 0.7, "--batch-size", 4,
    )  # fmt: skip
    assert result.code == 0, result.err
    rows = read_lines(folder_of(out) / "responses.jsonl")
    assert [(row["sample_id"], row["generation"]) for row in rows[:4]] == [
        ("0", 0),
        ("0", 1),
        ("0", 2),
        ("1", 0),
    ]
    scores = json.loads((folder_of(out) / "scores.json").read_text())
    assert scores["n"]["scored"] == 30
    assert scores["intervals"]["clusters"] == 10


def test_stages_can_be_done_again(cli: Cli, picture_folder: Path, talker: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ("run", "--model", talker, "--dataset", f"folder/{picture_folder}", "--out", out)
    cli(*arguments)
    folder = folder_of(out)
    names = ("responses.jsonl", "judgements.jsonl", "scores.json")
    first = {name: (folder / name).read_bytes() for name in names}
    for gone in (
        ("scores.json",),
        ("judgements.jsonl",),
        ("judgements.jsonl", "scores.json"),
        ("responses.jsonl",),
    ):
        for name in gone:
            (folder / name).unlink()
        assert cli(*arguments).code == 0
        assert {name: (folder / name).read_bytes() for name in names} == first


def test_failing_model_is_reported_by_name(cli: Cli, picture_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text("class Broken:\n    def generate(self, requests):\n        return [1 / 0]\n")
    out = tmp_path / "out"
    result = cli(
        "run", "--model", f"python/{path}:Broken", "--dataset", f"folder/{picture_folder}", "--out", out
    )
    assert result.code == 2
    assert "broken.py:Broken" in result.err
    assert "ZeroDivisionError" in result.err
    assert "line 3" in result.err
    assert json.loads((folder_of(out) / "run.json").read_text())["status"] == "error"


def test_wrong_numbers_of_answers(cli: Cli, picture_folder: Path, tmp_path: Path) -> None:
    for name, body, expected in (
        ("few", "return ['a dog'] * 3", "gave no answer to sample '3'"),
        ("many", "return ['a dog'] * 11", "more answers than the 10 requests"),
        ("none", "return None", "TypeError"),
        ("number", "return [3]", "found int"),
    ):
        path = tmp_path / f"{name}.py"
        path.write_text(f"class Model:\n    def generate(self, requests):\n        {body}\n")
        result = cli(
            "run",
            "--model",
            f"python/{path}:Model",
            "--dataset",
            f"folder/{picture_folder}",
            "--out",
            tmp_path / name,
        )
        assert result.code == 2
        assert expected in result.err


def test_default_out_is_the_same_for_the_same_command(
    cli: Cli, picture_folder: Path, talker: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ("run", "--model", talker, "--dataset", f"folder/{picture_folder}")
    for more in ((), (), ("--limit", 3)):
        assert cli(*arguments, *more).code == 0
    assert len(list((tmp_path / "results/runs").iterdir())) == 2


def test_default_out_of_a_bare_run_is_the_demos() -> None:
    assert default_out(RunSettings()) == Path("results/runs/demo")
    assert default_out(RunSettings(limit=3)) != Path("results/runs/demo")


def test_scenes(cli: Cli, talker: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = cli("run", "--model", talker, "--limit", 3, "--out", out, "-D", "image_size=32", "-D", "noise=0")
    assert result.code == 0, result.err
    run = json.loads((folder_of(out) / "run.json").read_text())
    settings = run["config"]["settings"]
    assert (settings["dataset"], settings["dataset_options"]) == (
        "scenes",
        {"image_size": "32", "noise": "0"},
    )
    assert run["sample_ids"] == ["scenes-0-0", "scenes-0-1", "scenes-0-2"]


@pytest.mark.parametrize("kind", ["models", "datasets", "judges", "metrics", "prompts"])
def test_list(cli: Cli, kind: str) -> None:
    expected = {
        "models": "replay/", "datasets": "scenes", "judges": "lexicon", "metrics": "chair",
        "prompts": "Describe this image in detail.",
    }  # fmt: skip
    result = cli("list", kind)
    assert result.code == 0
    assert expected[kind] in result.out
    described = json.loads(cli("list", kind, "--json").out)
    assert [line.split()[0] for line in result.out.splitlines()] == list(described)
    assert all(described.values())


def test_version_and_help(cli: Cli) -> None:
    assert cli("--version").out.startswith("eidolon ")
    assert cli().out == cli("--help").out
    assert "leaderboard" in cli("--help").out
