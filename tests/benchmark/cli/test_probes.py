import json
from pathlib import Path
from typing import get_args

import pytest

from eidolon.benchmark.tasks.probe.answers import find_splits
from eidolon.benchmark.tasks.rows import Split
from eidolon.scorers.probes.model_file import load_probe_model
from tests.benchmark.conftest import Cli, Result, write_lines

SAID = (
    ("A cup on a table. A fork lies beside it.", ["cup", "dining table"]),
    ("A cup and a fork.", ["cup"]),
    ("A bus and a car.", ["bus"]),
    ("A bus in the street, and a car.", ["bus", "dog"]),
    ("A dog.", ["dog", "car", "fork"]),
)


def judge(cli: Cli, folder: Path, said: tuple[tuple[str, list[str]], ...] = SAID, truth: bool = True) -> Path:
    folder.mkdir(exist_ok=True)
    responses = write_lines(
        folder / "responses.jsonl", [{"image_id": i, "response": text} for i, (text, _) in enumerate(said)]
    )
    objects = write_lines(
        folder / "objects.jsonl", [{"image_id": i, "objects": names} for i, (_, names) in enumerate(said)]
    )
    given = ["--objects", objects] if truth else []
    result = cli("score", "--responses", responses, *given, "--out", folder / "judged")
    assert result.code == 0, result.err
    return folder / "judged"


def refused(result: Result, *expected: str) -> None:
    assert result.code == 2
    (line,) = result.err.splitlines()
    assert all(text in line for text in expected), line


def test_probes_of_a_run_make_questions(cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "probes.json"
    result = cli("probes", judge(cli, tmp_path / "a"), "--out", out)
    assert result.code == 0, result.err
    assert "5 images, 4 inventions" in result.out
    model = load_probe_model(out)
    assert model.vocabulary == ("bus", "car", "cup", "dining table", "dog", "fork")


def test_held_out_images_teach_nothing(cli: Cli, tmp_path: Path) -> None:
    run, held = judge(cli, tmp_path / "a"), tmp_path / "held.txt"
    held.write_text("0\n1\n")
    out = tmp_path / "probes.json"
    result = cli("probes", run, "--hold-out", held, "--no-contrast", "--out", out)
    assert result.code == 0, result.err
    assert "3 images, 2 inventions" in result.out
    found = json.loads(out.read_text())
    assert (found["contrast"], found["images"]) == (False, 3)
    held.write_text("".join(f"{i}\n" for i in range(5)))
    refused(cli("probes", run, "--hold-out", held, "--out", out), "--hold-out leaves no image")


def test_what_cannot_be_learned_from(cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "probes.json"
    right = tuple((f"A {names[0]}.", names) for _, names in SAID)
    refused(cli("probes", judge(cli, tmp_path / "b", right), "--out", out), "nothing to learn", "more runs")
    one = (("A cup.", ["cup"]), ("A cup.", ["cup"]))
    refused(cli("probes", judge(cli, tmp_path / "c", one), "--out", out), "1 categories")
    run = judge(cli, tmp_path / "a")
    refused(cli("probes", run, "--out", run / "probes.json"), "--out", "another place")
    other = judge(cli, tmp_path / "d", (("A dog.", ["dog"]), *SAID[1:]))
    refused(cli("probes", run, other, "--out", out), "image 0 has other objects")
    assert not out.exists()


@pytest.mark.parametrize(
    ("content", "expected"),
    [("{}", "not a file of eidolon probes"), ("no", "not a file of eidolon probes"), (None, "")],
)
def test_file_that_is_no_probes(cli: Cli, tmp_path: Path, content: str | None, expected: str) -> None:
    path = tmp_path / "probes.json"
    if content is not None:
        path.write_text(content)
    result = cli("run", "--task", "probe", "--split", f"learned={path}", "--out", tmp_path / "out")
    refused(result, str(path), expected)
    refused(cli("run", "--task", "probe", "--split", "learned", "--out", tmp_path / "out"), "learned=FILE")


def test_list_names_all_splits(cli: Cli) -> None:
    result = cli("list", "splits", "--json")
    assert result.code == 0, result.err
    splits = {split for name in json.loads(result.out) for split in find_splits(name)}
    assert splits == set(get_args(Split))


def test_list_names_the_learned_parts(cli: Cli) -> None:
    result = cli("list", "learned", "--json")
    assert result.code == 0, result.err
    assert [*json.loads(result.out)] == ["discover", "risk", "probes"]
    for verb in json.loads(result.out):
        assert cli(verb, "--help").code == 0
    assert "risk" in json.loads(cli("list", "metrics", "--json").out)
    assert "learned=FILE" in json.loads(cli("list", "splits", "--json").out)
