"""The user's mistakes: exit code 2, one line on stderr that says where, no traceback, no folder left."""

import errno
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.benchmark.conftest import OBJECTS, RESPONSES, Cli, Result, write_lines

GOOD = json.dumps(RESPONSES[0])


def check(result: Result, *expected: str) -> None:
    assert result.code == 2
    lines = [
        line for line in result.err.splitlines() if not line.endswith("…")
    ]  # progress, on a slow machine
    assert len(lines) == 1, result.err
    assert lines[0].startswith("error: ")
    assert "Traceback" not in result.err
    assert result.out == ""
    for text in expected:
        assert text in lines[0], lines[0]


@dataclass(frozen=True)
class Case:
    """Contents of the two files (None: as in `inputs`), more arguments, and what the message must hold."""

    name: str
    expected: tuple[str, ...]
    responses: str | bytes | None = None
    objects: str | bytes | None = None
    arguments: tuple[str, ...] = field(default=())


def _area(areas: str) -> str:
    """A line of objects with these areas."""
    return f'{{"image_id": 1, "objects": ["dog"], "areas": {areas}}}'


CASES = [
    Case("malformed line", ("responses.jsonl:2", "not valid JSON"), responses=f"{GOOD}\n{{'image_id': 2}}\n"),
    Case(
        "cut-off line", ("responses.jsonl:2", "not valid JSON"), responses=f'{GOOD}\n{{"image_id": 2, "resp'
    ),
    Case("deeply nested line", ("responses.jsonl:1", "not valid JSON"), responses="[" * 100_000),
    Case("binary file", ("responses.jsonl:1", "binary"), responses=b"\x89PNG\r\n\x1a\n\x00\x00\xff"),
    Case("binary objects", ("objects.jsonl:1", "binary"), objects=b"\xff\xfe\x00{\x00}"),
    Case(
        "not an object",
        ("responses.jsonl: item 0", "expected a JSON object", "found 1"),
        responses="[1, 2]\n",
    ),
    Case("number on the line", ("responses.jsonl:2", "expected a JSON object"), responses=f"{GOOD}\n7\n"),
    Case(
        "no response field",
        ("responses.jsonl:1", "'response'", "missing", "--field"),
        responses='{"image_id": 1}',
    ),
    Case(
        "other field name",
        ("responses.jsonl:1", "did you mean 'responses'"),
        responses='{"image_id": 1, "responses": "A dog."}',
    ),
    Case("no id", ("responses.jsonl:1", "image_id"), responses='{"response": "A dog."}'),
    Case(
        "response is a number",
        ("responses.jsonl:1", "string", "7"),
        responses='{"image_id": 1, "response": 7}',
    ),
    Case(
        "response is null",
        ("responses.jsonl:1", "string", "null"),
        responses='{"image_id": 1, "response": null}',
    ),
    Case(
        "response is a list",
        ("responses.jsonl:1", "string"),
        responses='{"image_id": 1, "response": ["A dog.", "A cat."]}',
    ),
    Case(
        "image id is a float",
        ("responses.jsonl:1", "1.5"),
        responses='{"image_id": 1.5, "response": "A dog."}',
    ),
    Case(
        "image id is true",
        ("responses.jsonl:1", "true"),
        responses='{"image_id": true, "response": "A dog."}',
    ),
    Case(
        "image id is a list",
        ("responses.jsonl:1", "image_id"),
        responses='{"image_id": [1], "response": "A."}',
    ),
    Case(
        "sample id is a list",
        ("responses.jsonl:1", "sample_id"),
        responses='{"image_id": 1, "sample_id": [1], "response": "A."}',
    ),
    Case(
        "references are no list",
        ("responses.jsonl:1", "references"),
        responses='{"image_id": 1, "response": "A.", "references": "A dog."}',
    ),
    Case(
        "unknown image",
        ("responses.jsonl:2", "99"),
        responses=f'{GOOD}\n{{"image_id": 99, "response": "A."}}',
    ),
    Case(
        "twice the same image", ("responses.jsonl:3", "line 1", "sample_id"), responses=f"{GOOD}\n\n{GOOD}\n"
    ),
    Case(
        "twice the same sample",
        ("responses.jsonl:2", "line 1", '"a"'),
        responses='{"sample_id": "a", "image_id": 1, "response": ""}\n{"sample_id": "a", "response": ""}',
    ),
    Case("empty file", ("responses.jsonl", "no responses"), responses=""),
    Case("blank file", ("responses.jsonl", "no responses"), responses="\n \n"),
    Case("empty objects file", ("objects.jsonl", "no images"), objects=""),
    Case(
        "unknown category",
        ("objects.jsonl:1", "'dogg'", "did you mean 'dog'"),
        objects='{"image_id": 1, "objects": ["dogg"]}',
    ),
    Case("objects are a string", ("objects.jsonl:1", "list"), objects='{"image_id": 1, "objects": "dog"}'),
    Case("objects are numbers", ("objects.jsonl:1", "list"), objects='{"image_id": 1, "objects": [18]}'),
    Case("areas are a list", ("objects.jsonl:1", "'areas'", "share"), objects=_area("[0.5]")),
    Case("area of what is not there", ("objects.jsonl:1", "'areas'", "'cat'"), objects=_area('{"cat": 0.5}')),
    Case("area in pixels", ("objects.jsonl:1", "'dog'", "400"), objects=_area('{"dog": 400}')),
    Case("area is a truth value", ("objects.jsonl:1", "'dog'", "true"), objects=_area('{"dog": true}')),
    Case(
        "two areas of one image",
        ("objects.jsonl:2", "other areas", "line 1"),
        objects=_area('{"dog": 0.5}') + "\n" + _area('{"dog": 0.4}'),
    ),
    Case("no objects", ("objects.jsonl:1", "'objects'", "missing"), objects='{"image_id": 1, "object": []}'),
    Case("malformed objects", ("objects.jsonl:1", "JSON"), objects="{image_id: 1}"),
    Case(
        "two truths",
        ("objects.jsonl:2", "line 1"),
        objects='{"image_id": 1, "objects": ["dog"]}\n{"image_id": 1, "objects": ["cat"]}',
    ),
    Case(
        "COCO without categories",
        ("objects.jsonl", "'categories'"),
        objects='{"annotations": [], "images": []}',
    ),
    Case(
        "COCO with an unknown category",
        ("objects.jsonl", "categories[0]", "'doge'"),
        objects='{"annotations": [], "images": [], "categories": [{"id": 1, "name": "doge"}]}',
    ),
    Case(
        "COCO annotation of no category",
        ("objects.jsonl", "annotations[0]", "7"),
        objects='{"annotations": [{"image_id": 1, "category_id": 7}], "images": [], "categories": []}',
    ),
    Case(
        "COCO category whose id is a list",
        ("objects.jsonl", "categories[0]", "'id'", "[1]"),
        objects='{"annotations": [], "images": [], "categories": [{"id": [1], "name": "dog"}]}',
    ),
    Case(
        "COCO id of two categories",
        ("objects.jsonl", "categories[1]", "id 1", "'dog'"),
        objects='{"annotations": [], "images": [], "categories": '
        '[{"id": 1, "name": "dog"}, {"id": 1, "name": "cat"}]}',
    ),
    Case(
        "null id", ("responses.jsonl:1", "'image_id' is null"), responses='{"image_id": null, "response": ""}'
    ),
    Case(
        "field that no line has",
        ("--field references=refs", "responses.jsonl", "'refs'"),
        arguments=("--field", "references=refs"),
    ),
    Case("too many resamples", ("--resamples 1000000", "at most"), arguments=("--resamples", "1000000")),
    Case("argument that is no UTF-8", ("\\udcff", "UTF-8"), arguments=("--judge", "\udcff")),
    Case("unknown judge", ("'lexikon'", "did you mean 'lexicon'"), arguments=("--judge", "lexikon")),
    Case("unknown reading", ("'orignal'", "did you mean 'original'"), arguments=("-J", "reading=orignal")),
    Case("unknown judge option", ("reding", "did you mean 'reading'"), arguments=("-J", "reding=original")),
    Case("judge option without value", ("-J", "key=value"), arguments=("-J", "original")),
    Case("judge option twice", ("twice",), arguments=("-J", "reading=original", "-J", "reading=careful")),
    Case("unknown metric", ("'chiar'", "did you mean 'chair'"), arguments=("--metric", "chiar")),
    Case("metric twice", ("twice",), arguments=("--metric", "chair,chair")),
    Case("unknown field", ("'respons'", "did you mean 'response'"), arguments=("--field", "respons=text")),
    Case("limit 0", ("--limit 0", "at least 1"), arguments=("--limit", "0")),
    Case("limit is no number", ("--limit", "integer"), arguments=("--limit", "many")),
    Case("negative resamples", ("--resamples -1",), arguments=("--resamples", "-1")),
    Case("too large a share", ("--max-unscored 5",), arguments=("--max-unscored", "5")),
    Case("unknown flag", ("--limt", "--limit"), arguments=("--limt", "3")),
    Case("captions are objects", ("objects.jsonl", "captions"), arguments=("--captions", "objects.jsonl")),
    Case(
        "captions are COCO instances",
        ("objects.jsonl", "instances", "captions"),
        objects='{"images": [{"id": 1}], "annotations": [{"image_id": 1, "category_id": 1}], '
        '"categories": [{"id": 1, "name": "dog"}]}',
        responses='{"image_id": 1, "response": "A dog."}\n',
        arguments=("--captions", "objects.jsonl"),
    ),
    Case("no captions file", ("nowhere.json", "no such file"), arguments=("--captions", "nowhere.json")),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_mistakes_in_score(case: Case, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_lines(tmp_path / "responses.jsonl", RESPONSES)
    write_lines(tmp_path / "objects.jsonl", OBJECTS)
    for name, content in (("responses.jsonl", case.responses), ("objects.jsonl", case.objects)):
        if content is not None:
            (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    base = ("score", "--responses", "responses.jsonl", "--objects", "objects.jsonl", "--out", "out/deep")
    check(cli(*base, *case.arguments), *case.expected)
    assert not (tmp_path / "out").exists()


def test_a_table_without_a_header(cli: Cli, tmp_path: Path) -> None:
    responses, objects = tmp_path / "responses.csv", write_lines(tmp_path / "objects.jsonl", OBJECTS)
    responses.write_text('1.jpg,"A dog."\n2.jpg,"A cat."\n')
    result = cli("score", "--responses", responses, "--objects", objects, "--out", tmp_path / "out")
    check(result, "responses.csv:2", "header")


def test_missing_files_and_folders_for_files(cli: Cli, inputs: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    check(cli("score", "--responses", "no.jsonl", *inputs[2:], "--out", out), "no.jsonl", "no such file")
    check(cli("score", "--responses", tmp_path, *inputs[2:], "--out", out), str(tmp_path), "folder")
    check(cli("score", *inputs[:2], "--objects", tmp_path, "--out", out), "folder")
    check(cli("score", *inputs[:2], "--objects", "no.json", "--out", out), "no.json", "no such file")
    check(cli("score", *inputs), "--out")
    assert not out.exists()


def test_captions_of_other_images(cli: Cli, inputs: list[str], tmp_path: Path) -> None:
    """Left unsaid, it would take their objects from the truth and make hallucinations of them."""
    captions = tmp_path / "captions.json"
    captions.write_text(json.dumps({"annotations": [{"image_id": 99, "caption": "A cat."}]}))
    out = tmp_path / "out"
    check(
        cli("score", *inputs, "--captions", captions, "--out", out),
        "responses.jsonl:1",
        str(captions),
        "nor is any other",
    )
    assert not out.exists()


def test_a_line_of_objects_may_have_annotations(cli: Cli, inputs: list[str], tmp_path: Path) -> None:
    rows = [{**row, "annotations": []} for row in OBJECTS]
    write_lines(tmp_path / "objects.jsonl", rows)
    assert cli("score", *inputs, "--out", tmp_path / "out").code == 0


def test_full_disk(cli: Cli, inputs: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, reference = tmp_path / "out", tmp_path / "reference"
    assert cli("score", *inputs, "--out", reference).code == 0

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        check(cli("score", *inputs, "--out", out), str(out), "No space left", "same command")
    assert not list(out.glob(".*.tmp"))
    assert cli("score", *inputs, "--out", out).code == 0
    assert (out / "scores.json").read_bytes() == (reference / "scores.json").read_bytes()


def test_out_that_cannot_be(
    cli: Cli, inputs: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.touch()
    check(cli("score", *inputs, "--out", file), str(file), "is a file")
    check(cli("score", *inputs, "--out", file / "below"), "is a file")
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").touch()
    check(cli("score", *inputs, "--out", other), "thesis.tex", "another folder")
    assert [path.name for path in other.iterdir()] == ["thesis.tex"]
    # Root may write anywhere, and tests may be run by root.
    monkeypatch.setattr("os.access", lambda path, mode: not mode & os.W_OK)
    check(cli("score", *inputs, "--out", tmp_path / "new"), "no permission")
    assert not (tmp_path / "new").exists()


def test_folder_of_a_different_run(cli: Cli, inputs: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert cli("score", *inputs, "--out", out).code == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    result = cli("score", *inputs, "--out", out, "-J", "reading=original")
    check(result, "different run", "judge_options.reading", "original", "another folder")
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    (tmp_path / "responses.jsonl").write_text(GOOD)
    check(cli("score", *inputs, "--out", out), "different run", "responses")


def test_run_into_the_folder_of_one_run(
    cli: Cli, inputs: list[str], tmp_path: Path, replay_file: Path
) -> None:
    out = tmp_path / "out"
    assert cli("score", *inputs, "--out", out).code == 0
    before = sorted(out.iterdir())
    check(cli("run", "--model", f"replay/{replay_file}", "--limit", 2, "--out", out), "one run", str(out))
    assert sorted(out.iterdir()) == before


def test_foreign_or_broken_run_record(cli: Cli, inputs: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert cli("score", *inputs, "--out", out).code == 0
    (out / "run.json").write_text('{"schema": "other"}')
    check(cli("score", *inputs, "--out", out), "run.json")


RUN_CASES = [
    (("--limit", "0"), ("--limit", "0")),
    (("--batch-size", "0"), ("--batch-size", "0")),
    (("--seed", "-1"), ("--seed", "-1")),
    (("--task", "describ"), ("'describ'", "did you mean 'describe'")),
    (("--dataset", "scene"), ("'scene'", "did you mean 'scenes'")),
    (("--dataset", "scenes/x"), ("scenes",)),
    (("--dataset", "folder"), ("folder/PATH",)),
    (("-D", "nois=3"), ("'nois'", "did you mean 'noise'")),
    (("-D", "noise=loud"), ("noise=loud", "number")),
    (("--model", "replya/x"), ("'replya'", "did you mean 'replay'")),
    (("--model", "replay/nowhere.jsonl"), ("nowhere.jsonl", "no such file")),
    (("--model", "replay"), ("replay/NAME",)),
    (("--model", "nosuchmodel"), ("'nosuchmodel'",)),
    (("--model", "transformers/./nowhere"), ("does not exist", "nowhere")),
    (("--model", "transformers//nowhere/at/all"), ("does not exist", "/nowhere/at/all")),
    (("--model", "python/nomodule:Class"), ("nomodule",)),
    (("--model", "python/json"), ("MODULE:CLASS",)),
    (("--model", "replay/answers.jsonl", "--model", "replay/answers.jsonl"), ("label",)),
    (("-M", "speed=3"), ("no options", "speed")),
    (("-M", "path=3"), ("no options", "path")),
    (("--model", "replay/" + 300 * "x"), ("no such file",)),
    (("--model", "transformers/" + 300 * "x"), ("does not exist",)),
    (("--model", "replay/~nosuchuser/x"), ("~nosuchuser", "home")),
    (("--model", "mine.py:Blind"), ("write python/mine.py:Blind",)),
    (("--model", "mine.py"), ("write python/mine.py:CLASS",)),
    (("--model", "gpt-4o"), ("BACKEND/NAME",)),
    (("--model", "./"), ("folder of a checkpoint", "write transformers/./")),
    (("--model", "llava-hf/llava-1.5-7b-hf"), ("write transformers/llava-hf/llava-1.5-7b-hf",)),
    (("--dataset", "./"), ("write folder/./",)),
    (("--dataset", "folder/nowhere"), ("nowhere: no such folder",)),
    (("--dataset", "folder/./"), ("objects.jsonl: no such file", "what is in each image")),
    (("mine.py",), ("(mine.py)", "named by --model")),
    (("--limit", "all"), ("--limit all: must be an integer",)),
    (("--temperature", "high"), ("--temperature high: must be a number",)),
    (("--dataset", "folder/~nosuchuser/x"), ("~nosuchuser", "home")),
    (("--resamples", "1000000"), ("--resamples", "100000")),
    (("--judge", "lexikon"), ("did you mean 'lexicon'",)),
    (("--metric", "chiar"), ("did you mean 'chair'",)),
    (("--prompt", "decribe"), ("did you mean 'describe'",)),
    (("--prompt", " "), ("--prompt", "empty")),
    (("--generations", "3", "--temperature", "0"), ("--generations 3", "--temperature")),
    (("--out", 300 * "x"), ("--out", "too long")),
    (("--config", "nowhere.yaml"), ("nowhere.yaml", "no such file")),
]


@pytest.mark.parametrize(("arguments", "expected"), RUN_CASES, ids=lambda value: " ".join(value))
def test_mistakes_in_run(
    arguments: tuple[str, ...],
    expected: tuple[str, ...],
    cli: Cli,
    tmp_path: Path,
    replay_file: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    model = () if "--model" in arguments else ("--model", "replay/answers.jsonl")
    size = () if "--limit" in arguments else ("--limit", "2")
    check(cli("run", "--out", "out", *model, *size, *arguments), *expected)
    assert sorted(tmp_path.iterdir()) == before


CONFIG_CASES = [
    ("modles: [a]", ("field 'modles'", "did you mean 'models'")),
    ("limit: 0", ("field 'limit'", "0")),
    ("limit: many", ("field 'limit'", '"many"')),
    ("models:\n- {nme: x}", ("models.0",)),
    ("models:\n- {name: x, option: {}}", ("models.0.option", "did you mean 'options'")),
    ("judge: {nam: x}", ("judge.nam", "did you mean 'name'")),
    ("models: [a: b: c", (":1", "YAML")),
    ("- a", ("expected fields",)),
    ("limit: &a [*a]", ("field 'limit'", "[[...]]")),
    (5000 * "[", ("YAML", "nested too deeply")),
    ("models:\n- {name: replay/answers.jsonl, label: ../x}", ("label",)),
]


@pytest.mark.parametrize(("content", "expected"), CONFIG_CASES)
def test_mistakes_in_a_config_file(content: str, expected: tuple[str, ...], cli: Cli, tmp_path: Path) -> None:
    config = tmp_path / "my.yaml"
    config.write_text(content)
    check(cli("run", "--config", config, "--out", tmp_path / "out"), "my.yaml", *expected)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("verb", "defaults"), [("run", ("scenes)", "512;", "2000)")), ("score", ("chair,objects,forgetting",))]
)
def test_help_says_the_defaults(cli: Cli, verb: str, defaults: tuple[str, ...]) -> None:
    """The help is rich markup, in which square brackets vanish."""
    text = " ".join(cli(verb, "--help").out.replace("\u2502", " ").split())
    for value in defaults:
        assert f"[default: ({value}" in text


def test_unknown_verb_and_kind(cli: Cli) -> None:
    check(cli("scores"), "'scores'", "did you mean 'score'")
    check(cli("list", "model"), "'model'", "did you mean 'models'")


def test_a_terminal_without_unicode(cli: Cli, inputs: list[str], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from eidolon.benchmark.cli import main; main()", "score", *inputs,
         "--out", tmp_path / "out"],
        capture_output=True, text=True, env={**os.environ, "PYTHONIOENCODING": "ascii"}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Error" not in done.stderr
    assert "F0.5 ?" in done.stdout


def test_through_the_real_program(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from eidolon.benchmark.cli import main; main()", "score",
         "--responses", "no\nsuch\x1b[31m.jsonl", "--objects", "o.jsonl", "--out", tmp_path / "out"],
        capture_output=True, text=True, cwd=tmp_path, check=False,
    )  # fmt: skip
    check(Result(done.returncode, done.stdout, done.stderr), "no such file", "\\x1b[31m")
