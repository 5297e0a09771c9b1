"""Pipes, sockets, devices, loops of links and folders in place of files: one line at once, and exit code 2."""

import json
import shutil
from pathlib import Path

import pytest

from tests.benchmark.conftest import Cli, bounded, write_lines
from tests.fault_table import FaultRecorder
from tests.special_files import SPECIAL

pytestmark = pytest.mark.faults

COMMANDS: dict[str, tuple[str, ...]] = {
    "score --responses": ("score", "--responses", "{}", "--objects", "objects.jsonl", "--out", "out"),
    "score --objects": ("score", "--responses", "answers.jsonl", "--objects", "{}", "--out", "out"),
    "score --captions": (
        "score", "--responses", "answers.jsonl", "--objects", "instances.json", "--captions", "{}", "--out", "out",
    ),
    "score --config": (
        "score", "--config", "{}", "--responses", "answers.jsonl", "--objects", "objects.jsonl", "--out", "out",
    ),
    "score, POPE questions": (
        "score", "--metric", "pope", "--questions", "{}", "--answers", "answers.jsonl", "--out", "out",
    ),
    "score, POPE answers": (
        "score", "--metric", "pope", "--questions", "objects.jsonl", "--answers", "{}", "--out", "out",
    ),
    "score, AMBER annotations": (
        "score", "--metric", "amber", "--annotations", "{}", "--relations", "objects.jsonl", "--answers",
        "answers.jsonl", "--out", "out",
    ),
    "score, AMBER relations": (
        "score", "--metric", "amber", "--annotations", "objects.jsonl", "--relations", "{}", "--answers",
        "answers.jsonl", "--out", "out",
    ),
    "score, THRONE answers": (
        "score", "--metric", "throne", "--annotations", "instances.json", "--answers", "{}", "--threshold", "1",
        "--out", "out",
    ),
    "score, THRONE annotations": (
        "score", "--metric", "throne", "--annotations", "{}", "--answers", "answers.jsonl", "--threshold", "1",
        "--out", "out",
    ),
    "score, detection": ("score", "--metric", "detection", "--responses", "{}", "--out", "out"),
    "score, lexicon": (
        "score", "--responses", "answers.jsonl", "--objects", "objects.jsonl", "-J", "lexicon={}", "--out", "out",
    ),
    "run --config": ("run", "--config", "{}", "--out", "out"),
    "run --dataset folder": (
        "run", "--model", "replay/answers.jsonl", "--dataset", "folder/strange", "--out", "out",
    ),
    "run --model replay": ("run", "--model", "replay/{}", "--limit", "2", "--out", "out"),
    "run --model python": ("run", "--model", "python/{}:Mine", "--limit", "2", "--out", "out"),
    "run --sample-ids": (
        "run", "--model", "replay/answers.jsonl", "--sample-ids", "{}", "--out", "out",
    ),
    "run, COCO annotations": (
        "run", "--model", "replay/answers.jsonl", "--dataset", "coco", "-D", "annotations={}", "-D",
        "images=pictures", "--out", "out",
    ),
    "run, AMBER": (
        "run", "--model", "replay/answers.jsonl", "--dataset", "amber", "-D", "annotations={}", "-D",
        "images=pictures", "--out", "out",
    ),
    "vocabulary": ("vocabulary", "--annotations", "{}", "--out", "mine.json"),
    "trace --image": ("trace", "--model", "scenes-small", "--image", "{}"),
}  # fmt: skip


@pytest.fixture
def here(tmp_path: Path, picture_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with good files beside the special one."""
    monkeypatch.chdir(tmp_path)
    write_lines(
        tmp_path / "answers.jsonl", [{"image_id": index, "response": "A dog."} for index in range(10)]
    )
    coco = {
        "images": [{"id": index} for index in range(10)],
        "categories": [{"id": 1, "name": "dog"}],
        "annotations": [{"image_id": 1, "category_id": 1}],
    }
    (tmp_path / "instances.json").write_text(json.dumps(coco), encoding="utf-8")
    shutil.copy(picture_folder / "objects.jsonl", tmp_path / "objects.jsonl")
    return tmp_path


@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_special_file_as_input(
    command: str, kind: str, cli: Cli, here: Path, faults: FaultRecorder
) -> None:
    make, expected = SPECIAL[kind]
    name = "special.py" if command == "run --model python" else "special.json"
    if "folder/strange" in COMMANDS[command]:
        (here / "strange").mkdir()
        make(here / "strange" / "objects.jsonl")
    else:
        make(here / name)
    with bounded():
        result = cli(*(part.format(name) for part in COMMANDS[command]))
    assert (result.code, result.out) == (2, "")
    (line,) = result.err.splitlines()
    assert line.startswith("error: ")
    assert expected in line
    assert not (here / "out").exists()
    faults.record(f"input: {kind}", healed=1)


@pytest.fixture
def finished(cli: Cli, here: Path) -> Path:
    """A finished run of `score`."""
    score = ("score", "--responses", "answers.jsonl", "--objects", "objects.jsonl", "--resamples", "10")
    assert cli(*score, "--out", "out").code == 0
    return here / "out"


VERBS: dict[str, tuple[str, ...]] = {
    "score": (
        "score", "--responses", "answers.jsonl", "--objects", "objects.jsonl", "--resamples", "10", "--out",
        "out",
    ),
    "run": ("run", "--model", "replay/answers.jsonl", "--dataset", "folder/pictures", "--out", "."),
    "compare": ("compare", "out", "out"),
    "check": ("check", "out"),
    "leaderboard": ("leaderboard", "."),
}  # fmt: skip


@pytest.mark.parametrize(
    "kind", ["pipe", "endless device", "loop of links", "folder", "sparse file of 1 TiB"]
)
@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("name", ["run.json", "scores.json", "judgements.jsonl", "other.json"])
def test_a_special_file_in_a_run_folder(
    name: str, verb: str, kind: str, cli: Cli, finished: Path, faults: FaultRecorder
) -> None:
    make, _ = SPECIAL[kind]
    (finished / name).unlink(missing_ok=True)
    make(finished / name)
    with bounded():
        result = cli(*VERBS[verb])
    assert result.code in ((0, 2, 3) if name != "run.json" else (0, 2)), result.err
    if result.code == 2:
        (line,) = result.err.splitlines()
        assert line.startswith("error: ")
    faults.record(f"run folder: {kind}", healed=1)


@pytest.mark.parametrize("kind", SPECIAL)
def test_an_image_that_is_a_special_file(kind: str, cli: Cli, here: Path, faults: FaultRecorder) -> None:
    """It is unscored with the reason, and the others are scored."""
    make, expected = SPECIAL[kind]
    (here / "pictures" / "3.png").unlink()
    make(here / "pictures" / "3.png")
    with bounded():
        result = cli(
            "run", "--model", "replay/answers.jsonl", "--dataset", "folder/pictures", "--resamples", "10",
            "--max-unscored", "1", "--out", "out",
        )  # fmt: skip
    if result.code == 2:
        assert "3.png" in result.err or "must be inside the folder" in result.err
    else:
        assert result.code == 0
        (judged,) = here.glob("out/*/judgements.jsonl")
        assert expected in judged.read_text(encoding="utf-8")
    faults.record(f"image: {kind}", healed=0 if result.code == 0 else 1, unscored=result.code == 0)
