"""The user's mistakes with files of answers: exit code 2, one line that says where, no folder left."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.benchmark.cli.test_errors import check
from tests.benchmark.conftest import Cli, read_lines, write_lines
from tests.benchmark.tasks.score_files.test_answers import (
    FLAGGED,
    amber_files,
    coco,
    dump,
    judge_files,
    pope_files,
)

Break = Callable[[Path], None]


def edit(name: str, change: Callable[[Any], Any]) -> Break:
    """Return a function that changes a JSON file of the folder."""

    def apply(folder: Path) -> None:
        path = folder / name
        path.write_text(json.dumps(change(json.loads(path.read_text()))))

    return apply


def edit_lines(name: str, change: Callable[[list[Any]], Any]) -> Break:
    """Return a function that changes a JSONL file of the folder in place."""

    def apply(folder: Path) -> None:
        rows = read_lines(folder / name)
        change(rows)
        write_lines(folder / name, rows)

    return apply


def write(name: str, text: str) -> Break:
    """Return a function that replaces a file of the folder."""
    return lambda folder: (folder / name).write_text(text) and None


def nothing(folder: Path) -> None:
    """Leave the files as they are."""


THRONE_CASES: list[tuple[str, Break, tuple[str, ...], tuple[str, ...]]] = [
    ("unknown mode", nothing, ("--mode", "compatt"), ("'compatt'", "did you mean 'compat'")),
    ("threshold beyond the votes", nothing, ("--threshold", "10"), ("--threshold 10", "9 votes", "from 5")),
    ("threshold below the majority", nothing, ("--threshold", "4"), ("--threshold 4", "majority")),
    ("threshold is a word", nothing, ("--threshold", "most"), ("--threshold most", "whole number")),
    ("threshold twice", nothing, ("--threshold", "9,9"), ("twice",)),
    ("policy is for another", nothing, ("--policy", "strict"), ("--policy", "--metric throne", "pope")),
    ("a file twice", nothing, ("a.json",), ("--answers", "twice")),
    ("no such file", nothing, ("d.json",), ("d.json", "no such file")),
    ("unknown image", edit("a.json", lambda a: {**a, "7": a["1"]}), (), ("a.json", '"7"', "coco.json")),
    ("image missing from a judge", edit("b.json", lambda a: {k: a[k] for k in "12"}), (), ("b.json", "'3'")),
    (
        "wrong length",
        edit("c.json", lambda a: {**a, "2": a["2"][:-1]}),
        (),
        ("c.json", "'2'", "11", "multiple"),
    ),
    ("fewer formats", edit("c.json", lambda a: {k: v[:8] for k, v in a.items()}), (), ("c.json", "8", "12")),
    ("no answers", edit("a.json", lambda a: {**a, "1": []}), (), ("a.json", "'1'", "0 answers")),
    (
        "answer is a number",
        edit("b.json", lambda a: {**a, "1": [1, *a["1"][1:]]}),
        (),
        ("b.json", "answer 0"),
    ),
    ("answers are a string", edit("b.json", lambda a: {**a, "1": "yes"}), (), ("b.json", "'1'", "list")),
    ("empty file", write("a.json", ""), (), ("a.json:1", "not valid JSON")),
    ("empty object", write("a.json", "{}"), (), ("a.json", "no answers")),
    ("a list", write("a.json", "[]"), (), ("a.json", "JSON object")),
    ("no COCO", write("coco.json", "{}"), (), ("coco.json", "COCO")),
    (
        "no categories",
        edit("coco.json", lambda d: {**d, "categories": [], "annotations": []}),
        (),
        ("categories",),
    ),
    (
        "category of no name",
        edit("coco.json", lambda d: {**d, "categories": [{"id": 1}]}),
        (),
        ("coco.json", "categories[0]"),
    ),
]


@pytest.mark.parametrize(
    ("name", "damage", "arguments", "expected"), THRONE_CASES, ids=[case[0] for case in THRONE_CASES]
)
def test_mistakes_in_throne(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    name: str, damage: Break, arguments: tuple[str, ...], expected: tuple[str, ...],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    files = [path.name for path in judge_files(tmp_path)]
    coco(tmp_path / "coco.json")
    damage(tmp_path)
    result = cli(
        "score", "--metric", "throne", "--annotations", "coco.json", "--out", "out/deep",
        "--answers", *files, *arguments,
    )  # fmt: skip
    check(result, *expected)
    assert not (tmp_path / "out").exists()


def number(rows: list[Any]) -> list[Any]:
    """Give answers the ids of the questions, in order."""
    for i, row in enumerate(rows):
        row["question_id"] = i + 1
    return rows


def drop(key: str) -> Callable[[list[Any]], Any]:
    return lambda rows: rows[1].pop(key)


def put(index: int, **fields: Any) -> Callable[[list[Any]], Any]:
    return lambda rows: rows[index].update(fields)


POPE_CASES: list[tuple[str, Break, tuple[str, ...], tuple[str, ...]]] = [
    ("unknown policy", nothing, ("--policy", "stric"), ("--policy stric", "did you mean 'strict'")),
    ("unknown field", nothing, ("--field", "anwser=x"), ("did you mean 'answer'",)),
    ("mode is for others", nothing, ("--mode", "fixed"), ("--mode", "amber", "throne")),
    ("two answer files", nothing, ("questions.json",), ("--answers", "one file")),
    ("missing answers", edit_lines("answers.jsonl", lambda r: r.pop()), (), ("answers.jsonl", "5", "6", "order")),
    ("other question", edit_lines("answers.jsonl", put(1, question="Why?")), (), ("answers.jsonl:2", "Why?")),
    ("answer is a number", edit_lines("answers.jsonl", put(2, answer=1)), (), ("answers.jsonl:3", "string", "1")),
    ("answer is null", edit_lines("answers.jsonl", put(2, answer=None)), (), ("answers.jsonl:3", "null")),
    ("no answer field", edit_lines("answers.jsonl", drop("answer")), (), ("answers.jsonl:2", "'answer'")),
    ("no label", edit_lines("questions.json", drop("label")), (), ("questions.json:2", "'label'")),
    ("odd label", edit_lines("questions.json", put(0, label="maybe")), (), ("questions.json:1", "yes or no")),
    ("question id twice", edit_lines("questions.json", put(3, question_id=2)), (), ("questions.json:4", "already")),
    ("image is a list", edit_lines("questions.json", put(3, image=[])), (), ("questions.json:4", "image")),
    (
        "unknown id",
        edit_lines("answers.jsonl", lambda rows: [r.update(question_id=i + 2) for i, r in enumerate(rows)]),
        (),
        ("answers.jsonl", "question"),
    ),
    (
        "answered twice",
        edit_lines("answers.jsonl", lambda rows: [r.update(question_id=1, question=rows[0]["question"]) for r in rows]),
        (),
        ("answers.jsonl:2", '"1"', "answers.jsonl:1"),
    ),
    (
        "id without an answer",
        edit_lines("answers.jsonl", lambda rows: number(rows) and rows.pop()),
        (),
        ("answers.jsonl", '"6"', "no answer", "1 of 6"),
    ),
    ("malformed line", write("answers.jsonl", '{"answer": "yes"\n'), (), ("answers.jsonl:1", "JSON")),
    ("malformed list", write("answers.jsonl", '[{"answer": "yes"'), (), ("answers.jsonl:1", "JSON")),
    ("empty answers", write("answers.jsonl", ""), (), ("answers.jsonl", "no answers")),
    ("empty questions", write("questions.json", "[]"), (), ("questions.json", "no questions")),
    ("list of strings", write("answers.jsonl", '["yes"]'), (), ("answers.jsonl: item 0", "object")),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "damage", "arguments", "expected"), POPE_CASES, ids=[case[0] for case in POPE_CASES]
)
def test_mistakes_in_pope(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    name: str, damage: Break, arguments: tuple[str, ...], expected: tuple[str, ...],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    base = pope_files(tmp_path)
    damage(tmp_path)
    check(cli(*base, *arguments, "--out", "out/deep"), *expected)
    assert not (tmp_path / "out").exists()


AMBER_CASES: list[tuple[str, Break, tuple[str, ...], tuple[str, ...]]] = [
    ("unknown mode", nothing, ("--mode", "fix"), ("'fix'", "did you mean 'fixed'")),
    ("unknown matching", nothing, ("--matching", "vector"), ("did you mean 'vectors'",)),
    ("no such safe words", nothing, ("--safe-words", "no.txt"), ("no.txt", "no such file")),
    ("unknown id", edit("answers.json", lambda a: [*a, {"id": 99, "response": "Yes"}]), (), ("item 5", "99")),
    ("answered twice", edit("answers.json", lambda a: [*a, a[0]]), (), ("item 5", "id 1", "already")),
    (
        "id is a string",
        edit("answers.json", lambda a: [{**a[0], "id": "one"}]),
        (),
        ("item 0", "whole number"),
    ),
    (
        "response is null",
        edit("answers.json", lambda a: [{**a[0], "response": None}]),
        (),
        ("item 0", "string"),
    ),
    ("no response", edit("answers.json", lambda a: [{"id": 1}]), (), ("item 0", "'response'")),
    (
        "unknown type",
        edit("annotations.json", lambda a: [{**a[0], "type": "x"}]),
        (),
        ("item 0", "unknown type"),
    ),
    (
        "unknown word",
        edit("annotations.json", lambda a: [{**a[0], "truth": ["ox"]}]),
        (),
        ('"ox"', "relation"),
    ),
    ("relations are a list", write("relation.json", "[]"), (), ("relation.json", "JSON object")),
    ("relation of no list", write("relation.json", '{"dog": "puppy"}'), (), ("relation.json", "dog")),
    ("query of no image", nothing, ("--questions", "answers.json"), ("answers.json", "'image'")),
]


@pytest.mark.parametrize(
    ("name", "damage", "arguments", "expected"), AMBER_CASES, ids=[case[0] for case in AMBER_CASES]
)
def test_mistakes_in_amber(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    name: str, damage: Break, arguments: tuple[str, ...], expected: tuple[str, ...],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    base = amber_files(tmp_path)
    damage(tmp_path)
    check(cli(*base, *arguments, "--out", "out/deep"), *expected)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "arguments", "expected"),
    [
        ({"words": None}, (), ("r.jsonl:1", "'words'", "strings")),
        ({"words": ["A", 1, "b"]}, (), ("r.jsonl:1", "'words'")),
        ({"words": ["A", "dog"]}, (), ("r.jsonl:1", "3 flags", "2 words")),
        ({"human_hallucinated": [0, 1, 0]}, (), ("r.jsonl:1", "true and false")),
        ({"response": "A cat runs."}, (), ("r.jsonl:1", "word 1 'dog'")),
        ({"references": None}, (), ("r.jsonl:1", "image 1", "--objects", "references")),
        ({"references": None}, ("--judge", "word-overlap"), ("image 1", "give --captions")),
        ({}, ("--threshold", "2"), ("--threshold 2", "between 0 and 1")),
        ({}, ("--threshold", "x"), ("--threshold x", "number")),
        ({}, ("--judge", "lexikon"), ("did you mean 'lexicon'",)),
        ({}, ("--judge", "word-overlap", "-J", "reading=original"), ("reading=original", "no options")),
        ({}, ("--objects", "none.jsonl"), ("none.jsonl", "no such file")),
        ({}, ("--policy", "strict"), ("--policy", "detection")),
    ],
)
def test_mistakes_in_detection(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    change: dict[str, Any], arguments: tuple[str, ...], expected: tuple[str, ...],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    write_lines(tmp_path / "r.jsonl", [{**FLAGGED[0], **change}, *FLAGGED[1:]])
    check(
        cli("score", "--metric", "detection", "--responses", "r.jsonl", "--out", "out", *arguments), *expected
    )
    assert not (tmp_path / "out").exists()


def test_captions_of_other_images(cli: Cli, tmp_path: Path) -> None:
    responses = write_lines(tmp_path / "r.jsonl", FLAGGED)
    captions = tmp_path / "captions.json"
    captions.write_text('{"annotations": [{"image_id": "9", "caption": "A cat."}]}', encoding="utf-8")
    arguments = ("--responses", responses, "--captions", captions, "--out", tmp_path / "out")
    check(cli("score", "--metric", "detection", *arguments), "r.jsonl:1", str(captions), "nor is any other")
    assert not (tmp_path / "out").exists()


def test_flags_that_do_not_go_together(cli: Cli, inputs: list[str], tmp_path: Path) -> None:
    out = ("--out", tmp_path / "out")
    check(cli("score", "--metric", "throne", *out), "--answers", "missing", "--annotations")
    check(cli("score", "--metric", "pope", "--answers", "a", *out), "--questions", "missing")
    check(cli("score", "--metric", "thorne", *inputs, *out), "'thorne'", "did you mean 'throne'")
    check(cli("score", "--metric", "chair,pope", *inputs, *out), "pope", "alone")
    check(cli("score", *inputs, *out, "--policy", "strict"), "--policy", "--metric pope")
    check(cli("score", *inputs, *out, "stray.json"), "'stray.json'", "--answers")
    check(cli("score", *inputs[:2], *out), "--objects", "missing")
    model = f"replay/{inputs[1]}"
    check(cli("run", "--model", model, "--metric", "pope", "--dry-run"), "pope", "eidolon score")
    assert not (tmp_path / "out").exists()


def test_another_run_in_the_folder(cli: Cli, tmp_path: Path) -> None:
    base = pope_files(tmp_path)
    out = tmp_path / "out"
    assert cli(*base, "--out", out).code == 0
    before = (out / "scores.json").read_bytes()
    check(cli(*base, "--out", out, "--policy", "strict"), "different run", "policy", "another folder")
    assert (out / "scores.json").read_bytes() == before
    dump(tmp_path / "answers.jsonl", [{"answer": "no"}] * 6)
    check(cli(*base, "--out", out), "different run", "answers")
