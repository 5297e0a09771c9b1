"""`eidolon trace`: the numbers, the flags, and hostile text."""

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import validate
from PIL import Image
from rich.console import Console

from eidolon.benchmark import json_schemas
from eidolon.benchmark.cli import invoke
from eidolon.benchmark.report.trace.page import draw_trace, render_page
from eidolon.benchmark.report.trace.records import Trace
from eidolon.benchmark.report.trace.terminal import show
from eidolon.benchmark.scenes.scene import Dials, make_scene, render

SMALL = ("--model", "scenes-small")
HOSTILE = (
    "There is a cup on the table and a knife is near it.</span><script>alert(1)</script> \x1b[31m$x_{1}$ "
    "\u202eknife [red]"
)


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures") / "scene.png"
    render(make_scene(0, 2, Dials())).save(path)
    return path


def traced(folder: Path, *arguments: str) -> dict[str, Any]:
    assert invoke(["trace", *arguments, "--out", str(folder)]) == 0
    found: dict[str, Any] = json.loads((folder / "trace.json").read_text())
    validate(found, json_schemas.read("trace"))
    return found


def test_80_columns_lose_no_number(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert invoke(["trace", *SMALL, "--scene", "0:2"]) == 0
    printed = capsys.readouterr().out
    assert "\u2026" not in printed
    assert all(title in printed for title in ("verdict", "p without", "runner-up", "contrastive"))
    assert max(map(len, printed.splitlines())) <= 80


def test_it_shows_the_hallucinations_of_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = traced(tmp_path, *SMALL, "--scene", "0:2")
    printed = capsys.readouterr().out
    truth = make_scene(0, 2, Dials()).objects
    assert found["schema"] == "eidolon/trace/1"
    assert tuple(found["objects"]) == truth
    wrong = [m for m in found["mentions"] if m["verdict"] == "hallucinated"]
    assert wrong, "the shipped model hallucinates a knife in this scene"
    assert all((m["category"] in truth) == (m["verdict"] == "grounded") for m in found["mentions"])
    for mention in wrong:
        assert f"Token {mention['token'] + 1} names “{mention['text']}”, which is not in the image" in printed
    assert "NOT THERE" in printed
    page = (tmp_path / "trace.html").read_text()
    assert 'class="hallucinated"' in page
    assert not re.search(r'(src|href)="(?!data:)', page), "the page needs no other file"
    assert Image.open(tmp_path / "trace.png").width > 1000


def test_tokens_and_mentions_agree(tmp_path: Path) -> None:
    found = traced(tmp_path, *SMALL, "--scene", "0:3", "--max-new-tokens", "40", "--without", "zeroed")
    assert found["without"] == "zeroed"
    assert "".join(token["text"] for token in found["tokens"]) == found["text"]
    assert len(found["tokens"]) <= 40
    for index, token in enumerate(found["tokens"]):
        assert 0 <= token["pdm"] <= 1
        # Greedy decoding took the likeliest token, up to ties.
        assert token["seen"] == pytest.approx(token["likely_seen"][0]["probability"], abs=1e-4)
        likely = [option["probability"] for option in token["likely_seen"]]
        assert likely == sorted(likely, reverse=True)
        if token["mention"] is not None:
            mention = found["mentions"][token["mention"]]
            assert mention["token"] <= index < mention["token"] + mention["tokens"]
    for mention in found["mentions"]:
        of = found["tokens"][mention["token"] : mention["token"] + mention["tokens"]]
        assert mention["text"] in "".join(token["text"] for token in of)
        product = 1.0
        for token in of:
            product *= token["seen"]
        assert mention["seen"] == pytest.approx(product)
        assert mention["pdm"] == of[0]["pdm"]


def test_sampling_is_recorded_and_reproducible(tmp_path: Path) -> None:
    def sampled(seed: str, folder: str) -> dict[str, Any]:
        given = ("--scene", "0:3", "--temperature", "0.9", "--seed", seed, "--max-new-tokens", "30")
        return traced(tmp_path / folder, *SMALL, *given)

    first = sampled("2", "a")
    assert first["decoding"] == "sample(t=0.9,p=1.0,max=30,seed=2)"
    assert first == sampled("2", "b")
    assert first["text"] != sampled("3", "c")["text"]


def test_a_given_text_with_given_objects(tmp_path: Path, picture: Path) -> None:
    text = "There is a bowl and a knife."
    found = traced(tmp_path, *SMALL, "--image", str(picture), "--text", text, "--objects", "bowl, fork")
    assert (found["text"], found["generated"], found["decoding"]) == (text, False, None)
    assert [(m["category"], m["verdict"]) for m in found["mentions"]] == [
        ("bowl", "grounded"),
        ("knife", "hallucinated"),
    ]
    assert found["image"] == "scene.png"


def test_without_objects_there_are_no_verdicts(
    tmp_path: Path, picture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = traced(tmp_path, *SMALL, "--image", str(picture), "--text", "A knife.")
    assert found["objects"] is None
    assert [m["verdict"] for m in found["mentions"]] == [None]
    printed = capsys.readouterr().out
    assert "verdict" not in printed
    assert "NOT THERE" not in printed
    assert "not in the image" not in printed
    empty = traced(tmp_path, *SMALL, "--image", str(picture), "--text", "A knife.", "--objects", "")
    assert [m["verdict"] for m in empty["mentions"]] == ["hallucinated"]


def test_hostile_text_does_nothing(tmp_path: Path, picture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = traced(tmp_path, *SMALL, "--image", str(picture), "--text", HOSTILE, "--objects", "cup")
    printed = capsys.readouterr().out
    assert "\x1b[31m" not in printed
    assert "\u202e" not in printed
    assert "[red]" in printed.replace("\n", "").replace(" ", "").replace("│", "")
    assert found["mentions"]
    page = (tmp_path / "trace.html").read_text()
    assert "<script" not in page
    assert "\x1b" not in page
    assert "\u202e" not in page
    evil = Trace.model_validate(
        {
            **found,
            "model": "<img src=x onerror=1>",
            "image": "\x1b]0;x\x07$\\frac{$.png",
            "prompt": "<b>\u202e",
            "objects": ["<i>"],
        }
    )
    image = Image.new("RGB", (40, 40))
    page = render_page(evil, image, draw_trace(evil))
    assert "<img src=x" not in page
    assert "<b>\u202e" not in page
    assert "<i>" not in page
    stream = io.StringIO()
    show(evil, Console(file=stream, width=100, force_terminal=True, color_system="truecolor"))
    assert "\x1b]0" not in stream.getvalue()
    assert "\u202e" not in stream.getvalue()


def test_a_text_that_the_judge_cannot_read_has_a_reason(
    tmp_path: Path, picture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "Auf dem Bild ist ein Hund, der auf einer Wiese neben einem Baum liegt und schläft."
    found = traced(tmp_path, *SMALL, "--image", str(picture), "--text", text, "--objects", "dog")
    assert found["text"] == text
    assert found["mentions"] == []
    assert found["unjudged"] in capsys.readouterr().out
    assert found["unjudged"] in (tmp_path / "trace.html").read_text()


def test_the_shade_follows_pdm(tmp_path: Path) -> None:
    found = traced(tmp_path, *SMALL, "--scene", "0:2", "--max-new-tokens", "12", "--without", "dropped")
    stream = io.StringIO()
    show(
        Trace.model_validate(found),
        Console(file=stream, width=200, force_terminal=True, color_system="truecolor"),
    )
    shades = {}
    for token in found["tokens"]:
        match = re.search(r"48;2;(\d+);\d+;\d+m" + re.escape(token["text"].strip()), stream.getvalue())
        if match:
            shades[token["pdm"]] = int(match[1])
    assert len(shades) > 6
    assert [shades[pdm] for pdm in sorted(shades)] == sorted(shades.values(), reverse=True)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((*SMALL,), "--image: name the image; give either"),
        ((*SMALL, "--image", "a.png", "--scene", "0:1"), "--scene: --image is given too; give either"),
        ((*SMALL, "--image", "no-such.png"), "--image no-such.png: no such file"),
        ((*SMALL, "--scene", "7"), "--scene 7: must be SEED:INDEX"),
        ((*SMALL, "--scene", "0:1", "--objects", "cup"), "--objects: the objects of a scene are known"),
        ((*SMALL, "--scene", "0:1", "--text", " "), "--text: is empty"),
        (
            (*SMALL, "--scene", "0:1", "--prompt", "descibe"),
            "--prompt 'descibe': unknown prompt preset; did you mean 'describe'",
        ),
        (
            (*SMALL, "--scene", "0:1", "--without", "shuffled"),
            "--without shuffled: needs other images; give neutral",
        ),
        ((*SMALL, "--scene", "0:1", "--without", "zerod"), "--without zerod: unknown form"),
        ((*SMALL, "--scene", "0:1", "--max-new-tokens", "0"), "--max-new-tokens 0: must be at least 1"),
        ((*SMALL, "--scene", "0:1", "--temperature", "-1"), "--temperature -1: must be 0 or above"),
        ((*SMALL, "--scene", "0:1", "--temperature", "nan"), "--temperature nan: must be 0 or above"),
        ((*SMALL, "--scene", "0:1", "--seed", "-1"), "--seed -1: must be at least 0"),
        (("--model", "scenes-smal", "--scene", "0:1"), "no shipped model of this name; did you mean"),
        (
            ("--model", "openai/m@http://localhost:1/v1", "--scene", "0:1"),
            "backend 'openai' does not give the probabilities of tokens",
        ),
    ],
)
def test_mistakes_are_reported_in_one_line(
    arguments: tuple[str, ...], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(["trace", *arguments]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: ")
    assert printed.count("\n") == 1
    assert expected in printed


def test_more_mistakes_in_files(tmp_path: Path, picture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "broken.png").write_bytes(picture.read_bytes()[:500])
    (tmp_path / "file").write_text("")
    (tmp_path / "closed.py").write_text(
        "class Closed:\n    def generate(self, requests):\n        return []\n"
    )
    for arguments, expected in (
        (("--image", str(tmp_path / "broken.png")), "broken.png: cannot be read"),
        (("--image", str(picture), "--objects", "cups"), "--objects: unknown category 'cups'"),
        (("--scene", "0:1", "--out", str(tmp_path / "file")), "file: is not a folder"),
    ):
        assert invoke(["trace", *SMALL, *arguments]) == 2
        assert expected in capsys.readouterr().err
    assert invoke(["trace", "--model", f"python/{tmp_path}/closed.py:Closed", "--scene", "0:1"]) == 2
    assert "does not give the probabilities of tokens" in capsys.readouterr().err


def test_a_long_text_is_cut_in_the_plot_only(tmp_path: Path, picture: Path) -> None:
    found = traced(tmp_path, *SMALL, "--image", str(picture), "--text", "There is a cup. " * 100)
    assert len(found["tokens"]) > 400
    height = Image.open(tmp_path / "trace.png").height
    assert height < 3200
    assert f"All {len(found['tokens'])} tokens" in (tmp_path / "trace.html").read_text()
