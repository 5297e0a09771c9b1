"""Numbers, texts and files of absurd sizes: one line, or one unscored sample with its reason, in little time."""

import json
import time
from pathlib import Path

import pytest

from eidolon.scorers.core.bounds import MAX_RESPONSE_CHARACTERS, MAX_TOKEN_COUNT
from tests.benchmark.conftest import Cli, Result, bounded, read_lines, write_lines
from tests.fault_table import FaultRecorder

pytestmark = pytest.mark.faults

DIGITS = "9" * 5000


def refused(result: Result, *expected: str) -> None:
    assert (result.code, result.out) == (2, ""), result.err[-2000:]
    (line,) = result.err.splitlines()
    assert line.startswith("error: ")
    assert len(line) < 8000
    for text in expected:
        assert text in line, line


def alias_bomb(key: str) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    return "\n".join([*lines, f"{key}: *a8", ""])


CONFIGS = {
    "aliases of aliases": (alias_bomb("metrics"), "with every alias written out"),
    "merged aliases": (
        "a: &a {b: 1}\n" + "".join(f"a{n}: &a{n} {{<<: [{', '.join(['*a'] * 4000)}]}}\n" for n in range(40)),
        "with every alias written out",
    ),
    "an integer of 5,000 digits": (f"limit: {DIGITS}\n", "is not valid YAML"),
    "an integer of 4,000 digits": (f"limit: {DIGITS[:4000]}\n", "must be at most 10000000"),
    "a hexadecimal integer of 10,000 digits": (f"limit: 0x{'f' * 10_000}\n", "field 'limit'"),
    "an impossible date": ("limit: 2026-02-31\n", "is not valid YAML"),
    "generations": ("generations: 1000000000\ntemperature: 1\n", "must be at most 10000"),
    "more responses than fit": ("generations: 10000\ntemperature: 1\nlimit: 2000\n", "at most 10000000 fit"),
    "a key of 5,000 digits": (f"{DIGITS}: 1\n", "is not valid YAML"),
}


@pytest.mark.parametrize("kind", CONFIGS)
def test_settings_files(kind: str, cli: Cli, tmp_path: Path, faults: FaultRecorder) -> None:
    content, expected = CONFIGS[kind]
    config = tmp_path / "my.yaml"
    config.write_text(content, encoding="utf-8")
    started = time.monotonic()
    with bounded(mebibytes=700):
        result = cli("run", "--config", config, "--model", "scenes-small", "--out", tmp_path / "out")
    refused(result, expected)
    assert time.monotonic() - started < 20
    assert not (tmp_path / "out").exists()
    faults.record(f"size: {kind}", healed=1)


def test_a_settings_file_may_use_aliases(cli: Cli, inputs: list[str], tmp_path: Path) -> None:
    config = tmp_path / "my.yaml"
    config.write_text("resamples: &n 7\nseed: *n\n", encoding="utf-8")
    assert cli("score", "--config", config, *inputs, "--out", tmp_path / "out").code == 0


NUMBERS = {
    "run": ("--limit", "--generations", "--max-new-tokens", "--seed", "--resamples", "--batch-size", "--processes",
            "--pairs", "--lengths", "--trained-length", "--temperature", "--top-p", "--max-unscored"),
    "score": ("--limit", "--seed", "--resamples", "--max-unscored"),
    "compare": ("--resamples",),
    "trace": ("--seed", "--max-new-tokens", "--temperature", "--scene"),
    "doctor": ("--seed", "--max-new-tokens"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("verb", "flag", "value"),
    [
        (verb, flag, value)
        for verb in NUMBERS
        for flag in NUMBERS[verb]
        for value in (str(10**18), DIGITS, "-" + DIGITS, "1e999", "0x10")
        # A temperature may be high.
        if (flag, value) != ("--temperature", str(10**18))
    ],
)
def test_numbers_of_flags(
    verb: str, flag: str, value: str, cli: Cli, inputs: list[str], tmp_path: Path, faults: FaultRecorder
) -> None:
    if flag == "--scene":
        value += ":0"
    more = {
        "run": ("--model", "scenes-small", "--out", tmp_path / "out"),
        "score": (*inputs, "--out", tmp_path / "out"),
        "compare": (tmp_path, tmp_path),
        "trace": ("--model", "scenes-small", *(() if flag == "--scene" else ("--scene", "0:0"))),
        "doctor": ("--model", "scenes-small"),
    }[verb]
    with bounded():
        refused(cli(verb, *more, f"{flag}={value}"), flag)
    assert not (tmp_path / "out").exists()
    faults.record("size: a number of a flag", healed=1)


def line(image_id: str = "1", generation: str = "0") -> str:
    return f'{{"image_id": {image_id}, "response": "A dog.", "generation": {generation}}}'


IDS = {
    "an image id of 5,000 digits": (line(DIGITS), "an integer of more than 4,300 digits"),
    "an image id of 400 digits": (line(DIGITS[:400]), "must be at most"),
    "a generation of 400 digits": (line(generation=DIGITS[:400]), "'generation'"),
}


@pytest.mark.parametrize("kind", IDS)
def test_numbers_of_responses(
    kind: str, cli: Cli, inputs: list[str], tmp_path: Path, faults: FaultRecorder
) -> None:
    text, expected = IDS[kind]
    Path(inputs[1]).write_text(text + "\n", encoding="utf-8")
    refused(cli("score", *inputs, "--out", tmp_path / "out"), expected)
    faults.record(f"size: {kind}", healed=1)


@pytest.mark.parametrize("count", [10**400, 10**19, MAX_TOKEN_COUNT + 1])
def test_token_counts_of_files(
    count: int, cli: Cli, inputs: list[str], tmp_path: Path, faults: FaultRecorder
) -> None:
    """They are ignored, and the folder can be read again."""
    rows = [
        {**row, "completion_tokens": count, "prompt_tokens": count} for row in read_lines(Path(inputs[1]))
    ]
    write_lines(Path(inputs[1]), rows)
    for _ in range(2):
        result = cli("score", *inputs, "--out", tmp_path / "out")
        assert result.code == 0, result.err
    assert cli("check", tmp_path / "out").code == 0
    faults.record("size: token counts of a file", healed=1)


PLUGIN = """
from eidolon.scorers.core.types import Response
class Mine:
    def generate(self, requests):
        for request in requests:
            yield Response(sample_id=request.sample_id, image_id=request.image_id, response="A dog.", {0})
    def usage(self):
        return {1}
"""


@pytest.mark.parametrize(
    ("fields", "usage", "expected"),
    [
        ("completion_tokens=10**400", "{}", "completion_tokens"),
        ("prompt_tokens=-1", "{}", "prompt_tokens"),
        ("completion_tokens=5", "{'tokens': 10**400}", "usage()"),
        ("completion_tokens=5", "{'cost': float('inf')}", "usage()"),
        ("completion_tokens=5", "{'cost': 'much'}", "usage()"),
        ("completion_tokens=5", "[1]", "usage()"),
    ],
)
def test_counts_of_a_plugin(
    fields: str, usage: str, expected: str, cli: Cli, picture_folder: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, faults: FaultRecorder,
) -> None:  # fmt: skip
    """They end the run, and the next start of a corrected class resumes it."""
    monkeypatch.chdir(tmp_path)
    plugin = tmp_path / "mine.py"
    plugin.write_text(PLUGIN.format(fields, usage), encoding="utf-8")
    command = ("run", "--model", "python/mine.py:Mine", "--dataset", f"folder/{picture_folder}", "--out")
    result = cli(*command, "out")
    assert result.code == 2, result.err
    assert expected in result.err.splitlines()[-1]
    assert "Traceback" not in result.err
    assert cli(*command, "out").code in (0, 2), "the record can be read"
    faults.record("size: counts of a plug-in", healed=1)


@pytest.mark.parametrize(
    "unit", ["x", "a dog. ", "no cat, not a dog and never a bird; ", "<think>", "( ", "\n"]
)
def test_an_answer_of_50_megabytes(
    unit: str, cli: Cli, inputs: list[str], tmp_path: Path, faults: FaultRecorder
) -> None:
    """It is unscored with its size, the others are scored, and nothing of it is kept in the folder."""
    rows = read_lines(Path(inputs[1]))
    rows[0]["response"] = unit * (50_000_000 // len(unit))
    write_lines(Path(inputs[1]), rows)
    started = time.monotonic()
    with bounded(seconds=60, mebibytes=1500):
        result = cli("score", *inputs, "--out", tmp_path / "out", "--max-unscored", 1)
    assert result.code == 0, result.err
    assert time.monotonic() - started < 60
    judged = read_lines(tmp_path / "out" / "judgements.jsonl")
    assert [row["unscored"] for row in judged[1:]] == [None, None]
    assert judged[0]["unscored"].endswith(f"characters; at most {MAX_RESPONSE_CHARACTERS:,} are judged")
    assert sum(path.stat().st_size for path in (tmp_path / "out").iterdir()) < 2_000_000
    assert cli("check", tmp_path / "out").code == 0
    faults.record("size: an answer of 50 MB", unscored=1, healed=0)


@pytest.mark.parametrize(
    "unit", ["a dog and a cat. ", "no cat, not a dog and never a bird; ", "(", "x", "<b>"]
)
def test_the_longest_answer_takes_seconds(unit: str, cli: Cli, inputs: list[str], tmp_path: Path) -> None:
    rows = read_lines(Path(inputs[1]))
    rows[0]["response"] = (unit * MAX_RESPONSE_CHARACTERS)[:MAX_RESPONSE_CHARACTERS]
    write_lines(Path(inputs[1]), rows)
    with bounded(seconds=120, mebibytes=2500):
        assert cli("score", *inputs, "--out", tmp_path / "out", "--max-unscored", 1).code == 0


def test_a_model_that_answers_50_megabytes(
    cli: Cli, picture_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, faults: FaultRecorder
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(
        "class Mine:\n    def generate(self, requests):\n"
        "        return ['A dog. ' * (7_000_000 if r.sample_id == '3' else 1) for r in requests]\n",
        encoding="utf-8",
    )
    with bounded(mebibytes=1500):
        result = cli(
            "run", "--model", "python/mine.py:Mine", "--dataset", f"folder/{picture_folder}", "--out", "out",
            "--max-unscored", 1,
        )  # fmt: skip
    assert result.code == 0, result.err
    (scores,) = tmp_path.glob("out/*/scores.json")
    assert json.loads(scores.read_bytes())["n"]["unscored"] == 1
    faults.record("size: an answer of 50 MB", unscored=1, healed=0)


@pytest.mark.parametrize("metric", ["pope", "amber"])
def test_yes_no_answers_of_50_megabytes(metric: str, cli: Cli, tmp_path: Path) -> None:
    long = "Yes, no. " * 6_000_000
    if metric == "pope":
        questions = [
            {"question_id": 1, "image": "a.jpg", "text": "Is there a dog in the image?", "label": "yes"}
        ]
        write_lines(tmp_path / "q.jsonl", questions)
        write_lines(tmp_path / "a.jsonl", [{"question_id": 1, "answer": long}])
        files = ("--questions", tmp_path / "q.jsonl")
    else:
        truth = [{"id": 1, "type": "generative", "truth": ["dog"], "hallu": ["cat"]}]
        (tmp_path / "q.json").write_text(json.dumps(truth), encoding="utf-8")
        (tmp_path / "r.json").write_text(json.dumps({"dog": ["puppy"]}), encoding="utf-8")
        write_lines(tmp_path / "a.jsonl", [{"id": 1, "response": long}])
        files = ("--annotations", tmp_path / "q.json", "--relations", tmp_path / "r.json")
    with bounded(seconds=60, mebibytes=1500):
        result = cli(
            "score", "--metric", metric, *files, "--answers", tmp_path / "a.jsonl", "--out", tmp_path / "o"
        )
    assert result.code in (0, 2, 3), result.err
    assert "Traceback" not in result.err


def test_a_trace_of_a_megabyte(cli: Cli, faults: FaultRecorder) -> None:
    with bounded():
        result = cli("trace", "--model", "scenes-small", "--scene", "0:0", "--text", "a dog. " * 150_000)
    refused(result, "--text: has 1050000 characters; at most 20000 are traced")
    faults.record("size: a trace of 1 MB", healed=1)


def test_a_prompt_of_a_megabyte(cli: Cli, tmp_path: Path, faults: FaultRecorder) -> None:
    with bounded():
        result = cli(
            "run", "--model", "scenes-small", "--prompt", "Look. " * 200_000, "--out", tmp_path / "out"
        )
    refused(result, "--prompt", "at most 100000 characters")
    faults.record("size: a prompt of 1 MB", healed=1)
