"""`eidolon score` on files as other programs write them: formats, names of fields, forms of ids, names of objects."""

import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.benchmark.cli.test_errors import check
from tests.benchmark.conftest import Cli, Result, read_lines, write_lines
from tests.benchmark.tasks.score_files.test_answers import dump, scores_of

TEXTS = {42: "A puppy runs after a car.", 7: "A bicycle, and nothing else."}
OBJECTS = [{"image_id": 42, "objects": ["dog", "car"]}, {"image_id": 7, "objects": ["bicycle"]}]
ROWS = [{"image_id": image_id, "response": text} for image_id, text in TEXTS.items()]
CAPTIONED = [{"image_id": row["image_id"], "caption": row["response"]} for row in ROWS]
BY_LMMS_EVAL = [
    {
        "doc_id": index,
        "doc": {"question_id": f"COCO_val2014_{image_id:012}.jpg", "answer": ["A cat."], "id": 90 + index},
        "target": "A cat.",
        "resps": [[text + " More"]],
        "filtered_resps": [text],
    }
    for index, (image_id, text) in enumerate(TEXTS.items())
]
CSV = "image_id,response\r\n" + "".join(f'{image_id},"{text}"\r\n' for image_id, text in TEXTS.items())

FILES: dict[str, tuple[str, bytes, str | None]] = {
    "lines": ("r.jsonl", b"\n".join(json.dumps(row).encode() for row in ROWS), None),
    "array": ("r.json", json.dumps(ROWS).encode(), "read as json array"),
    "pretty array": ("r.json", json.dumps(ROWS, indent=2).encode(), "read as json array"),
    "two arrays": ("r.json", b"".join(json.dumps([row]).encode() + b"\n" for row in ROWS), "json array"),
    "pretty objects": ("r.json", b"\n".join(json.dumps(row, indent=2).encode() for row in ROWS), "json objects"),
    "no line breaks": ("r.json", b"".join(json.dumps(row).encode() for row in ROWS), "json objects"),
    "commas at the ends": ("r.jsonl", b",\n".join(json.dumps(row).encode() for row in ROWS), None),
    "texts by id": ("r.json", json.dumps(TEXTS).encode(), "read as json by id"),
    "texts by file": (
        "r.json",
        json.dumps({f"{image_id:012}.jpg": text for image_id, text in TEXTS.items()}).encode(),
        "read as json by id",
    ),
    "records by id": (
        "r.json",
        json.dumps({image_id: {"caption": text, "CHAIRi": 0} for image_id, text in TEXTS.items()}).encode(),
        "'caption' is read as 'response'",
    ),
    "CHAIR's output": (
        "r.json",
        json.dumps({"overall_metrics": {"CHAIRi": 0.1}, "sentences": CAPTIONED}).encode(),
        "read as json list, the list 'sentences'",
    ),
    "lmms-eval's samples": (
        "r.jsonl",
        b"\n".join(json.dumps(row).encode() for row in BY_LMMS_EVAL),
        "'filtered_resps' is read as 'response'",
    ),
    "lmms-eval's logs": ("r.json", json.dumps({"args": {}, "logs": BY_LMMS_EVAL}).encode(), "the list 'logs'"),
    "CSV": ("r.csv", CSV.encode(), "read as csv"),
    "CSV with BOM": ("r.csv", b"\xef\xbb\xbf" + CSV.encode(), "read as csv"),
    "CSV of Excel": ("r.csv", CSV.replace(",", ";", 3).replace("car", "car").encode(), "read as csv"),
    "CSV of pandas": (
        "r.csv",
        b',image_id,response\n0,42.0,"A puppy\nruns, ""fast"", after a car."\n1,7.0,A bicycle.\n',
        "read as csv",
    ),
    "TSV": (
        "r.tsv",
        "".join(f"{k}\t{v}\n" for k, v in {"image_id": "response", **TEXTS}.items()).encode(),
        "read as tsv",
    ),
    "a table by another name": ("r.txt", CSV.encode(), "read as csv"),
    "gzip": ("r.jsonl.gz", gzip.compress(b"\n".join(json.dumps(row).encode() for row in ROWS)), None),
    "gzip of CSV": ("r.csv.gz", gzip.compress(CSV.encode()), "read as csv"),
    "UTF-16 of PowerShell": ("r.jsonl", "\n".join(map(json.dumps, ROWS)).encode("utf-16"), None),
    "texts in lists": (
        "r.jsonl",
        b"\n".join(json.dumps({"image_id": k, "outputs": [v]}).encode() for k, v in TEXTS.items()),
        "'outputs' is read as 'response'",
    ),
}  # fmt: skip


def score(cli: Cli, folder: Path, responses: Path, *more: object, objects: Path | None = None) -> Result:
    objects = objects or write_lines(folder / "o.jsonl", OBJECTS)
    arguments = ("--responses", responses, "--objects", objects, "--resamples", 0, "--metric", "chair")
    return cli("score", *arguments, *more, "--out", folder / "out")


def chair(folder: Path) -> tuple[float, float]:
    values = scores_of(folder / "out")["metrics"]["chair"]
    return values["chair_i"]["value"], values["recall"]["value"]


def notes_of(folder: Path) -> list[dict[str, Any]]:
    run = json.loads((folder / "out" / "run.json").read_text())
    found: list[dict[str, Any]] = run["config"]["inputs"].get("notes", [])
    return found


@pytest.mark.parametrize("kind", FILES)
def test_formats_of_responses(kind: str, cli: Cli, tmp_path: Path) -> None:
    """All formats give the same scores; what was assumed is one line, and data in the record."""
    name, content, said = FILES[kind]
    (tmp_path / name).write_bytes(content)
    result = score(cli, tmp_path, tmp_path / name)
    assert result.code == 0, result.err
    assert chair(tmp_path) == (0, 1)
    assert (said or "") in result.err
    assert bool(notes_of(tmp_path)) == (said is not None) == bool(result.err)
    assert [row["image_id"] for row in read_lines(tmp_path / "out" / "responses.jsonl")] == [42, 7]


def test_a_converted_run_is_checked_and_resumed(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text(CSV.replace("42,", "COCO_val2014_000000000042.jpg,"))
    assert score(cli, tmp_path, tmp_path / "r.csv").code == 0
    first = (tmp_path / "out" / "scores.json").read_bytes()
    checked = cli("check", tmp_path / "out")
    assert checked.code == 0, checked.out
    assert score(cli, tmp_path, tmp_path / "r.csv").code == 0
    assert (tmp_path / "out" / "scores.json").read_bytes() == first
    assert "assumed: --responses: read as csv" in (tmp_path / "out" / "report.html").read_text()


IDS = [
    (42, "000000000042"),
    (42, "42"),
    (42, " 42 "),
    (42, "42.0"),
    (42, 42.0),
    (42, "000000000042.jpg"),
    (42, "COCO_val2014_000000000042.jpg"),
    (42, "COCO_train2014_000000000042"),
    (42, "val2014/COCO_val2014_000000000042.jpg"),
    (42, "C:\\data\\val2014\\COCO_val2014_000000000042.JPG"),
    (42, "http://images.cocodataset.org/val2017/000000000042.jpg?size=1"),
    (2405722, "VG_100K_2/2405722.jpg"),
    (420917, "images/v1/patch8/objects365_v1_00420917.jpg"),
    ("000000000042", 42),
    ("COCO_val2014_000000000042.jpg", 42),
    ("street.jpg", "pictures/Street.png"),
    ("red car.png", "red car"),
    ("a/1.jpg", "data/a/1.jpg"),
]


@pytest.mark.parametrize(("there", "here"), IDS)
def test_forms_of_an_id(there: int | str, here: int | str | float, cli: Cli, tmp_path: Path) -> None:
    """The id of the truth is kept in the run, so that runs from any form are compared by sample."""
    other = "b/1.jpg" if there == "a/1.jpg" else 99
    rows = [{"image_id": there, "objects": ["dog"]}, {"image_id": other, "objects": ["cat"]}]
    objects = write_lines(tmp_path / "o.jsonl", rows)
    responses = write_lines(tmp_path / "r.jsonl", [{"image_id": here, "response": "A dog."}])
    result = score(cli, tmp_path, responses, objects=objects)
    assert result.code == 0, result.err
    assert chair(tmp_path) == (0, 1)
    (row,) = read_lines(tmp_path / "out" / "responses.jsonl")
    assert (row["image_id"], row["sample_id"]) == (there, str(there))
    assert ("matched by number or file name" in result.err) == (here != there)


REFUSED: dict[str, tuple[list[Any], list[Any], tuple[str, ...]]] = {
    "two images of one number": (["042", 42], ["0042"], ('"0042" may be "042" and 42',)),
    "two folders": (["a/1.jpg", "b/1.jpg"], ["1.jpg"], ('may be "a/1.jpg" and "b/1.jpg"',)),
    "one image twice": ([42], ["42", "000000000042.jpg"], ("r.jsonl:2", "already on line 1", "'sample_id'")),
    "a number in a name": ([42], ["img_42.jpg"], ('"img_42.jpg" is not in',)),
    "half a number": ([42], [42.5], ("42.5",)),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_ids_that_are_not_guessed(kind: str, cli: Cli, tmp_path: Path) -> None:
    there, here, expected = REFUSED[kind]
    objects = write_lines(tmp_path / "o.jsonl", [{"image_id": i, "objects": ["dog"]} for i in there])
    responses = write_lines(tmp_path / "r.jsonl", [{"image_id": i, "response": "A dog."} for i in here])
    check(score(cli, tmp_path, responses, objects=objects), *expected)
    assert not (tmp_path / "out").exists()


FIELDS: dict[str, tuple[dict[str, Any], tuple[str, ...], str | None]] = {
    "caption": ({"image_id": 42, "caption": "A dog."}, (), None),
    "image and text": ({"image": "000000000042.jpg", "text": "A dog."}, (), None),
    "capitals": ({"Image ID": 42, "Answer": "A dog."}, (), None),
    "file_name and prediction": ({"file_name": "42.png", "prediction": "A dog.", "id": 5}, (), None),
    "a picture in the row": ({"image": "A" * 5000, "image_id": 42, "output": "A dog."}, (), None),
    "two texts": ({"image_id": 42, "text": "A dog.", "output": "A cat."}, (), "'text', 'output'"),
    "two texts, told": (
        {"image_id": 42, "text": "A dog.", "output": "A cat."},
        ("--field", "response=text"),
        None,
    ),
    "two images": ({"image": "42.jpg", "file_name": "7.jpg", "text": "A dog."}, (), "'image', 'file_name'"),
    "ours beside others": ({"image_id": 42, "response": "A dog.", "caption": "A cat."}, (), None),
    "two responses in a list": (
        {"image_id": 42, "outputs": ["A dog.", "A cat."]},
        (),
        "'response' is missing",
    ),
}


@pytest.mark.parametrize("kind", FIELDS)
def test_names_of_fields(kind: str, cli: Cli, tmp_path: Path) -> None:
    row, more, refused = FIELDS[kind]
    objects = write_lines(tmp_path / "o.jsonl", [{"image_id": 42, "objects": ["dog"]}])
    result = score(cli, tmp_path, write_lines(tmp_path / "r.jsonl", [row]), *more, objects=objects)
    if refused is not None:
        check(result, "r.jsonl", refused, "--field")
        return
    assert result.code == 0, result.err
    assert chair(tmp_path) == (0, 1)


BAD_FILES: dict[str, tuple[str, bytes, tuple[str, ...]]] = {
    "no header": ("r.csv", b"42,A dog.\n", ("r.csv", "no responses")),
    "more cells": ("r.csv", b"image_id,response\n42,A dog, a car.\n", ("r.csv:2", "3 cells", "quotes")),
    "open quote": ("r.csv", b'image_id,response\n42,"A dog.\n', ("r.csv:2", "table")),
    "a column twice": (
        "r.csv",
        b"image_id,response,response\n1,a,b\n",
        ("r.csv:1", "two columns 'response'"),
    ),
    "an id twice": ("r.json", b'{"42": "A dog.", "42": "A cat."}', ("r.json", '"42" is there twice')),
    "two lists": (
        "r.json",
        b'{"first": [{"image_id": 42, "caption": ""}], "second": [{"image_id": 42, "caption": ""}]}',
        ("r.json", '"first", "second"'),
    ),
    "cut gzip": ("r.jsonl.gz", gzip.compress(b"x" * 500)[:-12], ("r.jsonl.gz", "end is missing")),
    "damaged gzip": ("r.jsonl.gz", b"\x1f\x8b" + b"\0" * 30, ("r.jsonl.gz", "gzip")),
    "an item of a list": (
        "r.json",
        b'[{"image_id": 42, "response": "A dog."}, 3]',
        ("r.json: item 1", "found 3"),
    ),
    "a broken object": (
        "r.json",
        b'{\n "image_id": 42,\n "response": oops\n}',
        ("r.json:3", "not valid JSON"),
    ),
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_damaged_files(kind: str, cli: Cli, tmp_path: Path) -> None:
    name, content, expected = BAD_FILES[kind]
    (tmp_path / name).write_bytes(content)
    check(score(cli, tmp_path, tmp_path / name), *expected)


def instances(annotations: list[Mapping[str, Any]], images: tuple[Any, ...] = (42, 7)) -> dict[str, Any]:
    categories = [{"id": 1, "name": "dog"}, {"id": 2, "name": "car"}, {"id": 3, "name": "bicycle"}]
    return {
        "images": [{"id": image, "file_name": f"{image:012}.jpg"} for image in images],
        "categories": categories,
        "annotations": annotations,
    }


TRUE = [(42, 1), (42, 2), (7, 3)]
TRUTHS: dict[str, tuple[str, Any]] = {
    "ids of annotations as strings": (
        "o.json",
        instances([{"image_id": str(i), "category_id": c} for i, c in TRUE]),
    ),
    "padded ids": ("o.json", instances([{"image_id": f"{i:012}", "category_id": c} for i, c in TRUE])),
    "categories as strings": ("o.json", instances([{"image_id": i, "category_id": str(c)} for i, c in TRUE])),
    "array": ("o.json", OBJECTS),
    "objects by id": ("o.json", {str(row["image_id"]): row["objects"] for row in OBJECTS}),
    "CSV of lists": ("o.csv", "image_id,objects\n42,dog;car\n7,\"['bicycle']\"\n"),
    "one label a row": ("o.csv", "ImageID,LabelName\n42,Dog\n42,Car\n42,Dog\n7,Bicycle\n"),
    "other spellings": (
        "o.jsonl",
        [{"image_id": 42, "labels": ["Dog", "automobile"]}, {"image_id": 7, "labels": ["bike"]}],
    ),
}


@pytest.mark.parametrize("kind", TRUTHS)
def test_formats_of_the_truth(kind: str, cli: Cli, tmp_path: Path) -> None:
    name, content = TRUTHS[kind]
    if isinstance(content, str):
        (tmp_path / name).write_text(content)
    else:
        dump(tmp_path / name, content)
    responses = write_lines(tmp_path / "r.jsonl", ROWS)
    result = score(cli, tmp_path, responses, objects=tmp_path / name)
    assert result.code == 0, result.err
    assert chair(tmp_path) == (0, 1)


def test_file_names_of_images_with_other_ids(cli: Cli, tmp_path: Path) -> None:
    """The ids of a subset were changed: file names decide, and a number that contradicts them is refused."""
    document = instances([{"image_id": 1, "category_id": 1}, {"image_id": 2, "category_id": 3}], (1, 2))
    document["images"] = [
        {"id": 1, "file_name": "000000000042.jpg"},
        {"id": 2, "file_name": "000000000007.jpg"},
    ]
    objects = dump(tmp_path / "o.json", document)
    rows = [
        {"image": "000000000042.jpg", "text": "A dog."},
        {"image": "000000000007.jpg", "text": "A bicycle."},
    ]
    result = score(cli, tmp_path, write_lines(tmp_path / "r.jsonl", rows), objects=objects)
    assert result.code == 0, result.err
    assert chair(tmp_path) == (0, 1)
    rows = [{"image": "000000000001.jpg", "text": "A dog."}]
    other = score(cli, tmp_path, write_lines(tmp_path / "s.jsonl", rows), objects=objects)
    check(other, "s.jsonl:1", "has the number of image 1", "000000000042.jpg")


NAMES = {"words.json": '{"Hund": "dog", "Auto": "automobile", "Rad": "bicycle", "Baum": null}'}
NAMES["words.csv"] = "name,category\nHund,dog\nAuto,car\nRad,bicycle\nBaum,\n"
NAMES["headless.csv"] = "Hund,Dog\nAuto,Car\nRad,Bicycle\nBaum,\n"
NAMES["pairs.jsonl"] = "\n".join(
    json.dumps({"from": a, "to": b})
    for a, b in (("Hund", "dog"), ("Auto", "car"), ("Rad", "bicycle"), ("Baum", None))
)


@pytest.mark.parametrize("name", NAMES)
def test_names_of_other_programs(name: str, cli: Cli, tmp_path: Path) -> None:
    (tmp_path / name).write_text(NAMES[name])
    rows = [{"image_id": 42, "objects": ["Hund", "Auto", "Baum"]}, {"image_id": 7, "objects": ["Rad"]}]
    objects = write_lines(tmp_path / "o.jsonl", rows)
    responses = write_lines(tmp_path / "r.jsonl", ROWS)
    result = score(cli, tmp_path, responses, "--names", tmp_path / name, objects=objects)
    assert result.code == 0, result.err
    assert chair(tmp_path) == (0, 1)


def test_all_unknown_names_are_in_one_message(cli: Cli, tmp_path: Path) -> None:
    rows = [
        {"image_id": 42, "objects": ["dog", "bycicle", "sofa", "xylophone"]},
        {"image_id": 7, "objects": ["gnu"]},
    ]
    objects = write_lines(tmp_path / "o.jsonl", rows)
    result = score(cli, tmp_path, write_lines(tmp_path / "r.jsonl", ROWS), objects=objects)
    check(
        result, "o.jsonl:1", "3 unknown categories", "'bycicle' (did you mean 'bicycle'?)", "'xylophone'", "'gnu'",
        "--names FILE",
    )  # fmt: skip


def test_what_is_odd_in_the_truth_is_said(cli: Cli, tmp_path: Path) -> None:
    """In the terminal, in the record and in the report."""
    responses = write_lines(tmp_path / "r.jsonl", [{"image_id": 42, "response": "A dog."}])
    objects = dump(tmp_path / "o.json", instances([{"image_id": 5, "category_id": 1}]))
    result = score(cli, tmp_path, responses, objects=objects)
    assert result.code == 0, result.err
    orphans, none = result.err.splitlines()
    assert orphans.startswith("warning: --objects: 1 annotations are of images that are not in its 'images'")
    assert none.startswith("warning: --objects: no annotation at all: none of the 1 images has an object")
    assert [(note["kind"], note["what"]) for note in notes_of(tmp_path)] == [
        ("warning", "orphans"),
        ("warning", "no objects"),
    ]
    assert "no annotation at all" in (tmp_path / "out" / "report.html").read_text()


CAPTIONS: dict[str, tuple[str, Any]] = {
    "COCO": ("c.json", {"images": [], "annotations": [{"image_id": "42", "caption": "A cat."}]}),
    "records": ("c.jsonl", [{"file_name": "000000000042.jpg", "caption": "A cat."}]),
    "lists by id": ("c.json", {"42": ["A cat.", "Another cat."]}),
    "CSV": ("c.csv", "image,caption\nval2014/COCO_val2014_000000000042.jpg,A cat.\n"),
}


@pytest.mark.parametrize("kind", CAPTIONS)
def test_captions_of_a_part(kind: str, cli: Cli, tmp_path: Path) -> None:
    name, content = CAPTIONS[kind]
    if isinstance(content, str):
        (tmp_path / name).write_text(content)
    elif name.endswith("l"):
        write_lines(tmp_path / name, content)
    else:
        dump(tmp_path / name, content)
    result = score(cli, tmp_path, write_lines(tmp_path / "r.jsonl", ROWS), "--captions", tmp_path / name)
    assert result.code == 0, result.err
    assert "warning: --captions: 1 of 2 images have no reference caption, the first is 7" in result.err
    truth = {row["image_id"]: row["objects"] for row in read_lines(tmp_path / "out" / "samples.jsonl")}
    assert truth == {42: ["car", "cat", "dog"], 7: ["bicycle"]}


def test_references_in_a_part_of_the_lines(cli: Cli, tmp_path: Path) -> None:
    rows = [{**ROWS[0], "references": ["A cat."]}, ROWS[1]]
    result = score(cli, tmp_path, write_lines(tmp_path / "r.jsonl", rows))
    assert "warning: --responses: 1 of 2 images have no reference caption" in result.err


def test_thrones_answers_by_file_name(cli: Cli, tmp_path: Path) -> None:
    """The ids of the annotations as strings there, and file names in the answers."""
    annotations = dump(
        tmp_path / "n.json", instances([{"image_id": str(i), "category_id": c} for i, c in TRUE])
    )
    answers = dump(tmp_path / "a.json", {"000000000042.jpg": ["yes", "yes", "no"], "7": ["no", "no", "yes"]})
    arguments = ("--annotations", annotations, "--answers", answers, "--resamples", 0)
    result = cli("score", "--metric", "throne", *arguments, "--out", tmp_path / "out")
    assert result.code == 0, result.err
    assert scores_of(tmp_path / "out")["metrics"]["throne"]["classwise_f05"]["value"] == 1
    assert "assumed: --answers: 1 of 2 ids are matched" in result.err


def test_responses_to_replay(cli: Cli, picture_folder: Path, tmp_path: Path) -> None:
    """The replay backend reads the same formats, and finds images by the same forms of their ids."""
    rows = [{"image": f"{index:06}.png", "caption": "A dog."} for index in range(10)]
    dump(tmp_path / "r.json", rows)
    arguments = ("--dataset", f"folder/{picture_folder}", "--model", f"replay/{tmp_path / 'r.json'}")
    result = cli("run", *arguments, "--resamples", 0, "--out", tmp_path / "out")
    assert result.code == 0, result.err
