"""`eidolon check FILE`: the file of objects is made again from its scores, and the scores from the images."""

import json
from pathlib import Path

import pytest

from eidolon.benchmark.annotate.kinds import Chosen
from eidolon.benchmark.cli import invoke
from tests.benchmark.annotate.noisy import NAMES, NoisyAnnotator, make_images


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    images = tmp_path / "images"
    truth = make_images(images, 30)
    monkeypatch.setattr(Chosen, "make", lambda chosen: NoisyAnnotator(NAMES, truth))
    labelled = tmp_path / "labelled.jsonl"
    rows = [{"image_id": f"{k:03}", "objects": there} for k, there in enumerate(list(truth.values())[:12])]
    labelled.write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = ["annotate", str(images), "--with", "clip/none", "--names", ",".join(NAMES)]
    assert invoke([*given, "--labelled", str(labelled), "--out", str(tmp_path / "objects.jsonl")]) == 0
    return tmp_path / "objects.jsonl"


def test_an_untouched_file_is_fine(file: Path, capsys) -> None:
    capsys.readouterr()
    assert invoke(["check", str(file)]) == 0
    assert "follow from the scores and the labels" in capsys.readouterr().out
    assert invoke(["check", str(file), "--rejudge", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["runs"]
    assert {one["check"]: one["verdict"] for one in found["checks"]} == dict.fromkeys(
        ("images", "decisions", "scores"), "ok"
    )


@pytest.mark.parametrize("field", ["objects", "labelled", "scores", "image_sha256", "cut"])
def test_a_changed_file_is_found_out(file: Path, field: str, capsys) -> None:
    header, first, *rest = file.read_text().splitlines()
    row, top = json.loads(first), json.loads(header)
    if field == "cut":
        top["cut"]["low"] += 0.01
    elif field == "image_sha256":
        row[field] = "0" * 64
    elif field == "scores":
        row[field]["cup"] += 1.0
    else:
        row[field] = [] if row[field] else ["cup"]
    file.write_text("\n".join([json.dumps(top), json.dumps(row), *rest]) + "\n")
    assert invoke(["check", str(file), "--rejudge"]) == 3
    assert "differs" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        (lambda top, row: row["scores"].pop("cup"), 3, "scores are not those of the names"),
        (lambda top, row: top["settings"].update(sure=7), 0, "its settings are not those of this version"),
        (lambda top, row: top.update(annotator="foo/x"), 0, "is not known here"),
    ],
)
def test_an_altered_file_has_a_verdict(file: Path, change, code: int, said: str, capsys) -> None:
    header, first, *rest = file.read_text().splitlines()
    row, top = json.loads(first), json.loads(header)
    change(top, row)
    file.write_text("\n".join([json.dumps(top), json.dumps(row), *rest]) + "\n")
    assert invoke(["check", str(file), "--rejudge"]) == code
    assert said in " ".join(capsys.readouterr().out.replace("│", " ").split())


def test_what_is_no_such_file_takes_one_line(tmp_path: Path, capsys) -> None:
    other = tmp_path / "objects.jsonl"
    other.write_text('{"image_id": 1, "objects": []}\n')
    assert invoke(["check", str(other)]) == 2
    assert "is not a file that eidolon annotate wrote" in capsys.readouterr().err
