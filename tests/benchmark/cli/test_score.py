"""`eidolon score` on inputs that are fine, however odd."""

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from eidolon.scorers.json_schemas import path as schema_path
from tests.benchmark.conftest import OBJECTS, RESPONSES, Cli, read_lines, write_lines


def scores_of(folder: Path) -> dict:
    return json.loads((folder / "scores.json").read_text(encoding="utf-8"))


def value(folder: Path, name: str) -> float:
    family, _, quantity = name.partition(".")
    return scores_of(folder)["metrics"][family][quantity]["value"]


def test_hand_worked(cli: Cli, inputs: list[str], tmp_path: Path) -> None:
    """Mentions: dog, cat* | pizza, fork, dog* | none; * hallucinated."""
    out = tmp_path / "out"
    result = cli("score", *inputs, "--out", out)
    assert result.code == 0, result.err
    assert value(out, "chair.chair_i") == pytest.approx(2 / 5)
    assert value(out, "chair.chair_s") == pytest.approx(2 / 3)
    assert value(out, "chair.recall") == 1
    assert value(out, "objects.precision") == pytest.approx(3 / 5)
    assert value(out, "objects.recall") == 1
    assert "out" in result.out
    assert "judge=lexicon(reading=careful" in result.out


def test_run_folder(cli: Cli, inputs: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    cli("score", *inputs, "--out", out)
    run = json.loads((out / "run.json").read_text())
    assert run["schema"] == "eidolon/run/2"
    assert run["status"] == "success"
    assert run["sample_ids"] == ["1", "2", "3"]
    assert run["sessions"][0]["ended"] is not None
    assert {"eidolon", "numpy", "spacy"} <= set(run["provenance"]["packages"])
    verdicts = [[m["verdict"] for m in j["mentions"]] for j in read_lines(out / "judgements.jsonl")]
    assert verdicts == [["grounded", "hallucinated"], ["grounded", "grounded", "hallucinated"], []]
    assert [r["response"] for r in read_lines(out / "responses.jsonl")] == [r["response"] for r in RESPONSES]
    assert "T" not in scores_of(out)["signature"].split("seed=")[1]


def test_again_changes_nothing(cli: Cli, inputs: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    cli("score", *inputs, "--out", out)
    first = {
        name: (out / name).read_bytes() for name in ("scores.json", "responses.jsonl", "judgements.jsonl")
    }
    assert cli("score", *inputs, "--out", out).code == 0
    assert {name: (out / name).read_bytes() for name in first} == first
    assert len(json.loads((out / "run.json").read_text())["sessions"]) == 2


def test_metric_names_and_field_names(cli: Cli, tmp_path: Path) -> None:
    responses = write_lines(tmp_path / "r.jsonl", [{"img": 1, "caption": "A dog."}])
    objects = write_lines(tmp_path / "o.jsonl", OBJECTS)
    out = tmp_path / "out"
    result = cli(
        "score", "--responses", responses, "--objects", objects, "--out", out,
        "--field", "response=caption", "--field", "image_id=img", "--metric", "objects",
    )  # fmt: skip
    assert result.code == 0, result.err
    assert list(scores_of(out)["metrics"]) == ["objects"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   \n ",
        "🐕‍🦺 a dog 🍕 \ud83d\ude00 é 漢",
        "a dog \u0000 and a \u0000cat",
        "a dog " * 17_000,
        "dog" * 34_000,
        "\x1b[2J[bold]dog[/bold]",
        "a dog \u2028 and a cat \u2029 end\r\nof it\x85",
    ],
    ids=["empty", "blank", "emoji", "NUL", "100 kB", "100 kB word", "escapes", "line separators"],
)
def test_odd_responses_are_valid(cli: Cli, tmp_path: Path, text: str) -> None:
    rows = [{"image_id": 1, "response": text}, {"image_id": 2, "response": "A pizza on a plate."}]
    responses = tmp_path / "r.jsonl"
    responses.write_bytes("".join(json.dumps(row) + "\n" for row in rows).encode("utf-8", "surrogatepass"))
    objects = write_lines(tmp_path / "o.jsonl", OBJECTS)
    out = tmp_path / "out"
    result = cli("score", "--responses", responses, "--objects", objects, "--out", out, "--max-unscored", 1)
    assert result.code == 0, result.err
    assert scores_of(out)["n"]["samples"] == 2
    assert "\x1b" not in result.out


@pytest.mark.parametrize(
    "content",
    [
        b'\xef\xbb\xbf{"image_id": 1, "response": "A dog."}\n{"image_id": 2, "response": "A pizza."}\n',
        b'{"image_id": 1, "response": "A dog."}\r\n{"image_id": 2, "response": "A pizza."}\r\n',
        b'{"image_id": 1, "response": "A dog."}\n{"image_id": 2, "response": "A pizza."}',
        b'{"image_id": 1, "response": "A dog."}\n\n{"image_id": 2, "response": "A pizza."}\n\n',
        b'{"image_id": 1, "response": "A dog.\x00\x01"}\n{"image_id": 2, "response": "A\tpizza."}\n',
        b'{"image_id": 1, "response": "A dog.\\ud800"}\n{"image_id": 2, "response": "A pizza."}\n',
    ],
    ids=["BOM", "CRLF", "no last newline", "blank lines", "raw control characters", "lone surrogate"],
)
def test_odd_files_are_valid(cli: Cli, tmp_path: Path, content: bytes) -> None:
    responses = tmp_path / "r.jsonl"
    responses.write_bytes(content)
    objects = write_lines(tmp_path / "o.jsonl", OBJECTS)
    out = tmp_path / "out"
    result = cli("score", "--responses", responses, "--objects", objects, "--out", out)
    assert result.code == 0, result.err
    assert value(out, "objects.precision") == 1


def test_several_responses_to_an_image(cli: Cli, tmp_path: Path) -> None:
    rows = [{"sample_id": f"1/{i}", "image_id": 1, "response": "A dog."} for i in range(3)]
    responses = write_lines(tmp_path / "r.jsonl", rows)
    objects = write_lines(tmp_path / "o.jsonl", OBJECTS)
    out = tmp_path / "out"
    assert cli("score", "--responses", responses, "--objects", objects, "--out", out).code == 0
    assert scores_of(out)["n"]["scored"] == 3
    assert scores_of(out)["intervals"]["clusters"] == 1


@pytest.mark.parametrize("coco", [False, True])
def test_truth_is_cut_to_a_narrowed_judge(cli: Cli, tmp_path: Path, coco: bool) -> None:
    rows = [{"image_id": 1, "response": "A dog and a cat."}, {"image_id": 2, "response": "A dog."}]
    responses = write_lines(tmp_path / "r.jsonl", rows)
    truth = tmp_path / "o.json"
    if coco:
        categories = [{"id": i, "name": name} for i, name in enumerate(("dog", "cat"))]
        annotations = [{"image_id": 1, "category_id": 0}, {"image_id": 1, "category_id": 1}]
        document = {"images": [{"id": 1}, {"id": 2}], "categories": categories, "annotations": annotations}
        truth.write_text(json.dumps(document))
    else:
        write_lines(truth, [{"image_id": 1, "objects": ["cat", "dog"]}, {"image_id": 2, "objects": ["cat"]}])
    out = tmp_path / "out"
    arguments = ("score", "--responses", responses, "--objects", truth, "-J", "categories=dog", "--out", out)
    result = cli(*arguments)
    assert result.code == 0, result.err
    assert scores_of(out)["counts"]["objects"] == {"tp": 1, "fp": 1, "fn": 0}
    truth.write_text(truth.read_text().replace('"cat"', '"dgo"'))
    result = cli(*arguments)
    assert result.code == 2
    assert "unknown category 'dgo'; did you mean 'dog'" in result.err


def test_a_broken_coco_file_is_reported_where_it_breaks(cli: Cli, tmp_path: Path) -> None:
    responses = write_lines(tmp_path / "r.jsonl", [{"image_id": 1, "response": "A dog."}])
    document = {"images": [{"id": 1}], "categories": [{"id": 1, "name": "dog"}], "annotations": []}
    lines = json.dumps(document, indent=1).splitlines()
    broken = tmp_path / "coco.json"
    for text, line in (
        ("\n".join([*lines[:4], "oops", *lines[4:]]), 5),
        ("\n".join(lines[:-1]), len(lines) - 1),
        ('{"image_id": 1, "objects": ["dog"\n{"image_id": 2, "objects": []}', 1),
    ):
        broken.write_text(text)
        result = cli("score", "--responses", responses, "--objects", broken, "--out", tmp_path / "out")
        assert result.code == 2
        assert f"coco.json:{line}: is not valid JSON" in result.err


def test_sample_id_alone_and_string_ids(cli: Cli, tmp_path: Path) -> None:
    responses = write_lines(tmp_path / "r.jsonl", [{"sample_id": "a.jpg", "response": "A dog."}])
    objects = write_lines(tmp_path / "o.jsonl", [{"image_id": "a.jpg", "objects": ["dog"]}])
    out = tmp_path / "out"
    assert cli("score", "--responses", responses, "--objects", objects, "--out", out).code == 0
    assert value(out, "chair.chair_i") == 0


def coco(tmp_path: Path) -> Path:
    document = {
        "images": [{"id": 1}, {"id": 2}, {"id": 3}],
        "categories": [{"id": 18, "name": "dog"}, {"id": 59, "name": "pizza"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 18, "iscrowd": 0},
            {"id": 2, "image_id": 2, "category_id": 59, "iscrowd": 1},
            {"id": 3, "image_id": 2, "category_id": 59, "iscrowd": 0},
        ],
    }
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(document, indent=1))
    return path


def test_coco_instances(cli: Cli, inputs: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = cli("score", *inputs[:2], "--objects", coco(tmp_path), "--out", out)
    assert result.code == 0, result.err
    assert [row["objects"] for row in read_lines(out / "samples.jsonl")] == [["dog"], ["pizza"], []]


def test_coco_instances_on_one_line(cli: Cli, inputs: list[str], tmp_path: Path) -> None:
    path = coco(tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text())))
    out = tmp_path / "out"
    assert cli("score", *inputs[:2], "--objects", path, "--out", out).code == 0
    assert value(out, "chair.chair_i") == pytest.approx(3 / 5)


def test_captions_join_the_truth(cli: Cli, inputs: list[str], tmp_path: Path) -> None:
    captions = tmp_path / "captions.json"
    annotations = [
        {"image_id": 1, "caption": "A kitten with a dog."},
        {"image_id": 99, "caption": "An elephant."},
        {"image_id": 2, "caption": "Somebody's puppy begs for pizza."},
    ]
    captions.write_text(json.dumps({"annotations": annotations}))
    out = tmp_path / "out"
    assert cli("score", *inputs, "--captions", captions, "--out", out).code == 0
    truth = [row["objects"] for row in read_lines(out / "samples.jsonl")]
    assert truth[0] == ["cat", "dog"]
    assert "dog" in truth[1]
    assert value(out, "chair.chair_i") == 0


BOXED = {
    "images": [{"id": 1, "width": 20, "height": 10}, {"id": 2, "width": 10, "height": 10}, {"id": 3}],
    "categories": [{"id": 18, "name": "dog"}, {"id": 59, "name": "pizza"}, {"id": 3, "name": "car"}],
    "annotations": [
        {"image_id": 1, "category_id": 18, "bbox": [0, 0, 4, 5]},
        {"image_id": 1, "category_id": 18, "bbox": [3, 0, 10, 10]},
        {"image_id": 2, "category_id": 59, "bbox": [0, 0, 5, 5]},
        {"image_id": 2, "category_id": 3},
        {"image_id": 3, "category_id": 3, "bbox": [0, 0, 5, 5]},
    ],
}


def test_areas_of_boxes_and_of_lines(cli: Cli, inputs: list[str], tmp_path: Path) -> None:
    """The largest box of a category as a share of the image, where both sizes are given; the same from lines."""
    boxed = tmp_path / "boxed.json"
    boxed.write_text(json.dumps(BOXED))
    known = [{"dog": 0.5}, {"pizza": 0.25}, None]
    rows = [
        {"image_id": 1, "objects": ["dog"], "areas": {"dog": 0.5}},
        {"image_id": 2, "objects": ["car", "pizza"], "areas": {"pizza": 0.25}},
        {"image_id": 3, "objects": ["car"], "areas": None},
    ]
    details = []
    for name, objects in (("boxes", boxed), ("lines", write_lines(tmp_path / "boxed.jsonl", rows))):
        out = tmp_path / name
        result = cli("score", *inputs[:2], "--objects", objects, "--resamples", 20, "--out", out)
        assert result.code == 0, result.err
        samples = read_lines(out / "samples.jsonl")
        assert [row.get("areas") for row in samples] == known
        assert not any("annotated" in row for row in samples)
        details.append(json.loads((out / "forgetting.json").read_text()))
        again = cli(
            "score", *inputs[:2], "--objects", out / "samples.jsonl", "--out", tmp_path / f"{name} again"
        )
        assert again.code == 0, again.err
        assert read_lines(tmp_path / f"{name} again" / "samples.jsonl") == samples
    assert details[0] == details[1]
    assert details[0]["sizes"] == [], "of two objects no thirds are made"
    write_lines(tmp_path / "boxed.jsonl", [{**rows[0], "areas": {"dog": 0.4}}, *rows[1:]])
    changed = cli(
        "score",
        *inputs[:2],
        "--objects",
        tmp_path / "boxed.jsonl",
        "--resamples",
        20,
        "--out",
        tmp_path / "lines",
    )
    assert changed.code == 2, "other areas make another run"
    assert "areas is" in changed.err


def test_sizes_of_boxes_make_strata(cli: Cli, tmp_path: Path) -> None:
    """Salience on COCO as on Scenes: recall and place by size, though one object has no box."""
    responses = write_lines(tmp_path / "r.jsonl", [
        {"image_id": 1, "response": "A dog sleeps. Behind it stands a car."},
        {"image_id": 2, "response": "A dog, and nothing else."},
    ])  # fmt: skip
    rows = [
        {
            "image_id": i,
            "objects": ["dog", "cup", "car", "bed"],
            "areas": {"dog": 0.5, "cup": 0.01, "car": 0.2},
        }
        for i in (1, 2)
    ]
    objects = write_lines(tmp_path / "o.jsonl", rows)
    out = tmp_path / "out"
    assert cli("score", "--responses", responses, "--objects", objects, "--out", out).code == 0
    sizes = json.loads((out / "forgetting.json").read_text())["sizes"]
    assert [(s["smallest"], s["objects"], s["named"]) for s in sizes] == [
        (0.01, 2, 0),
        (0.2, 2, 1),
        (0.5, 2, 2),
    ]
    assert [s["word"] for s in sizes] == [None, 7, 1]


def test_captions_are_a_second_look(cli: Cli, inputs: list[str], tmp_path: Path) -> None:
    """The samples record the source of each object; what captions add, in forgetting.json."""
    boxed, captions = tmp_path / "boxed.json", tmp_path / "captions.json"
    boxed.write_text(json.dumps(BOXED))
    annotations = [
        {"image_id": 1, "caption": "A kitten with a dog."},
        {"image_id": 2, "caption": "Somebody's puppy begs for pizza."},
    ]
    captions.write_text(json.dumps({"annotations": annotations}))
    out = tmp_path / "out"
    arguments = ("score", *inputs[:2], "--objects", boxed, "--captions", captions, "--resamples", 20)
    assert cli(*arguments, "--out", out).code == 0
    samples = read_lines(out / "samples.jsonl")
    assert [row.get("annotated") for row in samples] == [["dog"], ["car", "pizza"], None]
    assert [row.get("captioned") for row in samples] == [["cat", "dog"], ["dog", "pizza"], None]
    detail = json.loads((out / "forgetting.json").read_text())
    jsonschema.validate(detail, json.loads(schema_path("forgetting").read_text()))
    found = detail["annotation"]["captions"]
    early = next(look for look in found["looks"] if (look["split"], look["part"]) == ("all", "early"))
    # dog, cat | pizza, fork, dog: dog and pizza by both, cat and dog by captions, fork by neither.
    assert [early[name] for name in ("both", "boxes", "captions", "neither")] == [2, 0, 2, 1]
    assert found["images"] == 2
    assert found["boxes_alone"]["early"]["value"] == pytest.approx(3 / 5)
    assert found["joined"]["early"]["value"] == pytest.approx(1 / 5)
    check = cli("check", out)
    assert check.code == 0, check.out
    rows = [row | {"captioned": ["dog"]} if row["image_id"] == 1 else row for row in samples]
    write_lines(out / "samples.jsonl", rows)
    check = cli("check", out)
    assert check.code == 3
    assert "has sources with the hash" in " ".join(check.out.split())


def test_references_join_the_truth(cli: Cli, tmp_path: Path) -> None:
    row = {"image_id": 1, "response": "A dog and a cat.", "references": ["A cat looks on.", ""]}
    responses = write_lines(tmp_path / "r.jsonl", [row])
    objects = write_lines(tmp_path / "o.jsonl", OBJECTS)
    out = tmp_path / "out"
    assert cli("score", "--responses", responses, "--objects", objects, "--out", out).code == 0
    assert value(out, "chair.chair_i") == 0


def test_own_run_folder_can_be_scored_again(cli: Cli, inputs: list[str], tmp_path: Path) -> None:
    out, again = tmp_path / "out", tmp_path / "again"
    cli("score", *inputs, "--out", out)
    result = cli(
        "score", "--responses", out / "responses.jsonl", "--objects", out / "samples.jsonl", "--out", again
    )
    assert result.code == 0, result.err
    assert scores_of(again)["metrics"] == scores_of(out)["metrics"]


def test_limit(cli: Cli, inputs: list[str], tmp_path: Path) -> None:
    assert cli("score", *inputs, "--out", tmp_path / "out", "--limit", 2).code == 0
    assert scores_of(tmp_path / "out")["n"]["samples"] == 2


@pytest.mark.parametrize("reading", ["careful", "original"])
def test_kinds_are_counted_whether_scored_or_not(cli: Cli, tmp_path: Path, reading: str) -> None:
    texts = ["Ein Hund und eine Katze mit dem Ball auf der Wiese.", "I am sorry, I cannot see the image.", ""]
    rows = [{"image_id": i, "response": text} for i, text in enumerate(texts, 1)]
    rows.append({"image_id": 4, "response": None, "error": "out of memory"})
    responses = write_lines(tmp_path / "r.jsonl", rows)
    objects = write_lines(tmp_path / "o.jsonl", OBJECTS)
    out = tmp_path / "out"
    arguments = ("--responses", responses, "--objects", objects, "--out", out, "-J", f"reading={reading}")
    assert cli("score", *arguments, "--max-unscored", 1).code == 0
    scores = scores_of(out)
    assert scores["responses"] == {"empty": 1, "refusals": 1, "non_english": 1, "truncated": 0}
    assert scores["n"]["unscored"] == (2 if reading == "careful" else 1)


def test_too_much_unscored(cli: Cli, tmp_path: Path) -> None:
    failed = {"image_id": 2, "response": None, "error": "out of memory"}
    responses = write_lines(tmp_path / "r.jsonl", [RESPONSES[0], failed])
    objects = write_lines(tmp_path / "o.jsonl", OBJECTS)
    arguments = ["score", "--responses", responses, "--objects", objects, "--out", tmp_path / "out"]
    result = cli(*arguments)
    assert result.code == 3
    assert "50.0%" in result.err
    assert read_lines(tmp_path / "out/judgements.jsonl")[1]["unscored"] == "out of memory"
    assert scores_of(tmp_path / "out")["n"] == {"requested": 2, "samples": 2, "scored": 1, "unscored": 1}
    assert cli(*arguments, "--max-unscored", 0.5).code == 0


def test_nothing_scored(cli: Cli, tmp_path: Path) -> None:
    responses = write_lines(tmp_path / "r.jsonl", [{"image_id": 1, "response": None, "error": "timeout"}])
    objects = write_lines(tmp_path / "o.jsonl", OBJECTS)
    result = cli("score", "--responses", responses, "--objects", objects, "--out", tmp_path / "out")
    assert result.code == 3
    assert scores_of(tmp_path / "out")["metrics"]["objects"]["f05"]["value"] is None


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import eidolon.benchmark, sys; from eidolon.benchmark.cli import invoke; "
        f"invoke({arguments}); "
        "heavy = {'torch', 'spacy', 'datasets', 'transformers', 'numpy', 'scipy', 'matplotlib', 'PIL'}; "
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_score_of_chair_imports_only_what_it_needs(inputs: list[str], tmp_path: Path) -> None:
    arguments = ["score", *inputs, "--out", str(tmp_path / "lean"), "--metric", "chair"]
    code = (
        "import sys; from eidolon.benchmark.cli import invoke; "
        f"assert invoke({arguments}) == 0; "
        "heavy = {'yaml', 'jsonlines', 'PIL', 'urllib.request', 'spacy', 'torch', "
        "'eidolon.scorers.forgetting.metric', 'eidolon.benchmark.verify.compare'}; "
        "assert not heavy & set(sys.modules), heavy & set(sys.modules); "
        "learned = ('discovery', 'risk', 'probes'); "
        "paid = [name for name in sys.modules if name.startswith('eidolon.') and set(name.split('.')) & {*learned}]; "
        "assert not paid, paid"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_interrupt_is_recorded(
    cli: Cli, inputs: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("eidolon.benchmark.tasks.score_files.batches.decide", interrupt)
    assert cli("score", *inputs, "--out", tmp_path / "out").code == 130
    assert json.loads((tmp_path / "out/run.json").read_text())["status"] == "cancelled"
    monkeypatch.undo()
    assert cli("score", *inputs, "--out", tmp_path / "out").code == 0
    run = json.loads((tmp_path / "out/run.json").read_text())
    assert [session["status"] for session in run["sessions"]] == ["cancelled", "success"]


def test_bug_keeps_its_traceback(
    cli: Cli, inputs: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("eidolon.benchmark.tasks.score_files.streamed_work.StreamedWork.score", fail)
    with pytest.raises(ZeroDivisionError):
        cli("score", *inputs, "--out", tmp_path / "out")
    run = json.loads((tmp_path / "out/run.json").read_text())
    assert run["status"] == "error"
    assert "ZeroDivisionError: a bug" in run["sessions"][0]["error"]
    assert not (tmp_path / "out/scores.json").exists()
