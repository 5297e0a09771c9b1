"""How `eidolon score` and `run` present a run: its label, pictures, what was left out, and what its scores mean."""

import json
import os
import re
import subprocess
import sys
from importlib import import_module
from inspect import cleandoc
from pathlib import Path

import pytest
from PIL import Image
from typer import Typer
from typer.main import get_group

from eidolon.benchmark.cli import SUMMARIES, VERBS
from eidolon.benchmark.data.picture_files import find_pictures
from eidolon.benchmark.terminal import progress
from eidolon.scorers.core.errors import UserError
from eidolon.scorers.forgetting.metric import Forgetting
from tests.benchmark.conftest import Cli, write_lines


def record(run: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((run / "run.json").read_text())
    return found


def test_a_label_names_a_scored_run(cli: Cli, inputs: list[str], tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = ("score", *inputs, "--out", out, "--metric", "chair")
    result = cli(*command, "--label", "My model, v2")
    assert result.code == 0, result.err
    assert "My model, v2" in result.out
    assert record(out)["name"] == "My model, v2"
    assert "<title>My model, v2 " in (out / "report.html").read_text()
    assert "My model, v2" in cli("leaderboard", out).out
    before = (out / "scores.json").read_bytes()
    assert cli(*command, "--label", "My model, v3").code == 0, "the label decides no score"
    assert record(out)["name"] == "My model, v3"
    assert (out / "scores.json").read_bytes() == before
    assert cli("check", out).code == 0
    other = tmp_path / "other"
    assert cli("score", *inputs, "--out", other, "--metric", "chair", "--label", "B").code == 0
    assert "A: My model, v3 (" in cli("compare", out, other, "--min-shared", 1).out


def test_a_label_names_a_model(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "class Mine:\n    def generate(self, requests):\n        return ['A cup.' for r in requests]\n"
    )
    model = f"python/{tmp_path / 'mine.py'}:Mine"
    out = tmp_path / "out"
    command = ("run", "--limit", 2, "--metric", "chair", "--out", out, "--model", model)
    assert cli(*command, "--label", "Cups only").code == 0
    (run,) = (path.parent for path in out.glob("*/run.json"))
    assert record(run)["name"] == "Cups only"
    result = cli(*command, "--model", "scenes-small", "--label", "Both")
    assert result.code == 2
    assert "--label Both: names one model, and there are 2" in result.err


@pytest.mark.parametrize("label", ["", " x", "a\nb", "a\x1b[31m", "x" * 121])
def test_a_label_is_one_printable_line(cli: Cli, inputs: list[str], tmp_path: Path, label: str) -> None:
    result = cli("score", *inputs, "--out", tmp_path / "run", "--label", label)
    assert result.code == 2
    assert "--label" in result.err
    assert len(result.err.splitlines()) == 1


def pictures(folder: Path, *names: str) -> Path:
    folder.mkdir(exist_ok=True)
    for name in names:
        Image.new("RGB", (640, 480), (9, 99, 199)).save(folder / name)
    return folder


def test_pictures_are_in_the_report(cli: Cli, inputs: list[str], tmp_path: Path) -> None:
    folder = pictures(tmp_path / "photos", "1.png", "COCO_val2014_000000000002.jpg")
    plain, shown = tmp_path / "plain", tmp_path / "shown"
    assert cli("score", *inputs, "--out", plain, "--metric", "chair").code == 0
    result = cli("score", *inputs, "--out", shown, "--metric", "chair", "--images", folder)
    assert result.code == 0, result.err
    assert "has no picture of 1 of 3 samples; the first is of image 3" in result.err
    found = re.findall(
        r"<img alt=.sample (\d+). src=.data:image/jpeg;base64,([^\"]+)", (shown / "report.html").read_text()
    )
    assert sorted(sample for sample, _ in found) == ["1", "2"]
    assert max(len(content) for _, content in found) < 20_000, "thumbnails"
    assert "<img" not in (plain / "report.html").read_text().replace('<img class="plot"', "")
    assert (plain / "scores.json").read_bytes() == (shown / "scores.json").read_bytes()


def test_a_broken_picture_is_left_out(cli: Cli, inputs: list[str], tmp_path: Path) -> None:
    folder = pictures(tmp_path / "photos", "1.png")
    (folder / "2.jpg").write_bytes(b"no image")
    assert cli("score", *inputs, "--out", tmp_path / "run", "--metric", "chair", "--images", folder).code == 0
    assert "<img alt" in (tmp_path / "run" / "report.html").read_text()


@pytest.mark.parametrize(
    ("image_id", "name"),
    [
        (139, "000000000139.jpg"),
        (139, "COCO_val2014_000000000139.jpg"),
        (139, "139.png"),
        ("139", "0139.webp"),
        ("a dog", "a dog.JPG"),
        ("dog.jpg", "dog.jpg"),
        ("dog.jpg", "dog.png"),
        ("COCO_val2014_000000000139.jpg", "000000000139.jpg"),
        ("AMBER_7", "AMBER_7.jpg"),
    ],
)
def test_the_file_of_an_image(tmp_path: Path, image_id: int | str, name: str) -> None:
    folder = pictures(tmp_path / "photos", "other.png", "some_5.png")
    (folder / name).write_bytes(b"")
    (folder / "notes.txt").write_text("139")
    assert find_pictures(folder, [image_id, "nothing"]) == {image_id: folder / name}


def test_a_number_of_two_files_is_nobodys(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "photos", "a_7.png", "b_7.png", "8.png")
    assert find_pictures(folder, [7, 8]) == {8: folder / "8.png"}


def test_a_folder_without_the_images_is_refused(cli: Cli, inputs: list[str], tmp_path: Path) -> None:
    folder = pictures(tmp_path / "photos", "other.png")
    for wrong, message in ((folder, "has no picture of any image"), (tmp_path / "nowhere", "cannot be read")):
        result = cli("score", *inputs, "--out", tmp_path / "run", "--images", wrong)
        assert result.code == 2
        assert message in result.err
        assert not (tmp_path / "run").exists()
    with pytest.raises(UserError, match=r"cannot be read \(No such file"):
        find_pictures(tmp_path / "nowhere", [1])


def test_forgetting_is_left_out_where_it_takes_long(
    cli: Cli, inputs: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = cli("score", *inputs, "--out", tmp_path / "few")
    assert "forgetting" in json.loads((tmp_path / "few" / "scores.json").read_text())["metrics"]
    assert "left out" not in few.err
    monkeypatch.setattr(Forgetting, "default_responses", 2)
    many = cli("score", *inputs, "--out", tmp_path / "many")
    assert many.code == 0
    assert [*json.loads((tmp_path / "many" / "scores.json").read_text())["metrics"]] == ["chair", "objects"]
    (said,) = (line for line in many.err.splitlines() if "left out" in line)
    assert "--metric chair,objects,forgetting" in said
    asked = cli("score", *inputs, "--out", tmp_path / "asked", "--metric", "chair,objects,forgetting")
    assert "left out" not in asked.err
    assert (tmp_path / "asked" / "scores.json").read_bytes() == (
        tmp_path / "few" / "scores.json"
    ).read_bytes()


def test_the_bound_is_a_field_of_the_metric() -> None:
    assert Forgetting().default_responses == 500


def test_slow_stages_are_said(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with progress.meter("quick", 300, 0, patience=2.0) as meter:
        for now[0] in (0.5, 1.0, 1.5):
            meter.advance(100, 0, 0)
    assert capsys.readouterr().err == ""
    with progress.meter("slow", 300, 0, patience=2.0) as meter:
        for now[0] in (2.0, 4.0, 20.0):
            meter.advance(100, 0, 0)
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "slow: 200 of 300 responses done, 100 to do"
    assert said[-1].startswith("slow: 300/300 (100 %)")


def test_a_stage_without_a_count_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.busy("reading", patience=0.01):
        progress.time.sleep(0.2)
    with progress.busy("nothing", patience=30):
        pass
    assert capsys.readouterr().err == "reading …\n"


TEXTS = ["A cup and a fork.", "A red car."]


@pytest.fixture
def asked(cli: Cli, tmp_path: Path) -> dict[str, Path]:
    """Runs by the shipped judge over texts about Scenes and about others, and one of rules."""
    found = {}
    for name, ids, judge in (
        (
            "drawn",
            ("scenes-0-0", "scenes-0-1"),
            ("qa", "-J", "models=judge-small", "-J", "categories=cup,car"),
        ),
        ("photos", (1, 2), ("qa", "-J", "models=judge-small", "-J", "categories=cup,car")),
        ("rules", (1, 2), ("lexicon",)),
    ):
        rows = [{"image_id": i, "response": text} for i, text in zip(ids, TEXTS, strict=True)]
        responses = write_lines(tmp_path / f"{name}.jsonl", rows)
        truth = write_lines(
            tmp_path / f"{name}-objects.jsonl", [{"image_id": i, "objects": ["cup"]} for i in ids]
        )
        out = found[name] = tmp_path / "runs" / name
        result = cli(
            "score", "--responses", responses, "--objects", truth, "--out", out, "--judge", *judge,
            "--metric", "objects",
        )  # fmt: skip
        assert result.code == 0, result.err
        assert ("was trained on texts of scenes alone" in result.out) == (name == "photos")
    return found


def test_a_judge_outside_its_training_has_no_headline(cli: Cli, asked: dict[str, Path]) -> None:
    report = (asked["photos"] / "report.html").read_text()
    assert "judge-small of judge qa was trained on texts of scenes alone" in report
    assert 'class="warning"' not in (asked["drawn"] / "report.html").read_text()
    assert 'class="warning"' not in (asked["rules"] / "report.html").read_text()
    for run in asked.values():
        objects = json.loads((run / "scores.json").read_text())["metrics"]["objects"]
        assert objects["f05"]["value"] is not None, "the number is kept"
    board = cli("leaderboard", asked["photos"])
    (row,) = (line for line in board.out.splitlines() if line.startswith("│ photos"))
    assert "photos !" in row
    assert row.split("│")[3].strip() == "-", "F0.5"
    assert "warning: photos: judge-small of judge qa" in board.out
    (found,) = json.loads(cli("leaderboard", asked["photos"], "--json").out)["rows"]
    assert len(found["warnings"]) == 1
    assert cli("check", asked["photos"], asked["drawn"]).code == 0


def test_it_is_last_in_its_table(cli: Cli, asked: dict[str, Path], tmp_path: Path) -> None:
    for name in ("photos", "drawn", "rules"):
        path = asked[name] / "run.json"
        document = json.loads(path.read_text())
        document["signature"]["dataset"] = "same#0"
        path.write_text(json.dumps(document))
    rows = json.loads(cli("leaderboard", tmp_path / "runs", "--json").out)["rows"]
    assert rows[-1]["name"] == "photos"


def test_the_list_of_verbs_says_what_their_help_says() -> None:
    assert SUMMARIES.keys() == VERBS.keys()
    for verb, place in VERBS.items():
        module, _, name = place.partition(":")
        found = getattr(import_module(module), name)
        text = get_group(found).help if isinstance(found, Typer) else found.__doc__
        assert SUMMARIES[verb] == " ".join(cleandoc(text).split("\n\n")[0].split()), verb


def test_a_reader_that_leaves_ends_the_command_quietly() -> None:
    """As in `eidolon score --help | head -1`."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "eidolon.benchmark", "score", "--help"],
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    finally:
        os.close(writing)
    assert done.returncode == 141
    assert done.stderr == ""
