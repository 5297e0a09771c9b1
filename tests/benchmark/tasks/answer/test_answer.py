"""`eidolon run --dataset BENCHMARK/PATH`: from a published layout made here to the benchmark's numbers, and back."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.benchmark.conftest import Cli, read_lines, write_lines

MODEL = """
class Model:
    '''Answers as the last word of a question says.'''

    def generate(self, requests):
        for request in requests:
            assert request.is_question and request.decoding.temperature == 0
            word = request.prompt.split()[-1].strip("?.")
            if word == "fail":
                raise RuntimeError("no answer")
            yield {"yes": "Yes, it is.", "no": "No.", "unsure": "Perhaps so."}.get(word, word)
"""


def picture(path: Path, shade: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), (shade, 60, 90)).save(path)


def dump(path: Path, value: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


FIGURES = (
    # category, set, figure, visual input, question, truth, said
    ("VD", "0", "0", "1", "0", "1", "yes"),
    ("VD", "0", "0", "1", "1", "0", "no"),
    ("VD", "0", "1", "2", "0", "0", "yes"),
    ("VD", "0", "1", "2", "1", "1", "yes"),
    ("VD", "1", "0", "1", "0", "1", "unsure"),
    ("VD", "1", "1", "2", "0", "0", "no"),
    ("VS", "0", "0", "0", "0", "1", "yes"),
    ("VS", "0", "1", "1", "0", "1", "yes"),
    ("VS", "0", "2", "2", "0", "0", "no"),
)


def hallusionbench(folder: Path) -> Path:
    rows = []
    for number, (category, of_set, figure, visual, question, truth, said) in enumerate(FIGURES):
        name = None if visual == "0" else f"./hallusion_bench/{category}/figure/{of_set}_{figure}.png"
        if name is not None:
            picture(folder / name, 20 * number)
        rows.append(
            {
                "category": category,
                "subcategory": "figure",
                "visual_input": visual,
                "set_id": of_set,
                "figure_id": figure,
                "question_id": question,
                "question": f"Are both lines alike, {said}?",
                "gt_answer": truth,
                "filename": name,
            }
        )
    dump(folder / "HallusionBench.json", rows)
    return folder


def repope(folder: Path) -> Path:
    rows = []
    for number, (label, said) in enumerate(
        (("yes", "yes"), ("yes", "no"), ("no", "yes"), ("no", "no"), ("yes", "unsure"))
    ):
        name = f"COCO_val2014_{number % 2:012d}.jpg"
        picture(folder / name, 90 * (number % 2))
        rows.append({"question_id": number, "image": name, "text": f"Is a {said}?", "label": label})
    return write_lines(folder / "coco_repope_random.json", rows)


def dash_b(folder: Path) -> Path:
    dump(folder / "images" / "dash_benchmark_neg.json", {"own": {"yes": ["a.png"], "no": ["b.png"]}})
    dump(folder / "images" / "dash_benchmark_pos.json", {"own": {"yes": ["c.png"]}})
    for number, name in enumerate(("neg/own/yes/a.png", "neg/own/no/b.png", "pos/own/yes/c.png")):
        picture(folder / "images" / name, 70 * number)
    return folder


def humblebench(folder: Path) -> Path:
    rows = []
    for number, (label, said, kind) in enumerate(
        (("A", "A", "object"), ("E", "E", "object"), ("B", "E", "relation"), ("C", "D", "attribute"))
    ):
        picture(folder / f"images/{number // 2}.png", 90 * (number // 2))
        rows.append(
            {
                "file_name": f"images/{number // 2}.png",
                "question_id": number,
                "question": f"What is it? {said}",
                "label": label,
                "type": kind,
            }
        )
    write_lines(folder / "metadata.jsonl", rows)
    return folder


MADE: dict[str, tuple[Callable[[Path], Path], int, dict[str, float]]] = {
    # VD 0: question 0 has one of two figures wrong; VD 1: one of two is unclear. The question without a figure is out.
    "hallusionbench": (
        hallusionbench,
        8,
        {
            "a_acc": 6 / 8,
            "q_acc": 2 / 4,
            "f_acc": 4 / 6,
            "easy_acc": 3 / 4,
            "hard_acc": 3 / 4,
            "unclear": 1 / 8,
        },
    ),
    "repope": (repope, 5, {"accuracy": 2 / 4, "precision": 1 / 2, "recall": 1 / 2, "unparsed": 1 / 5}),
    # The prompt ends with "yes or no." for all; the scripted model says no to everything.
    "dash_b": (dash_b, 3, {"accuracy": 2 / 3, "tnr": 1.0, "tpr": 0.0, "harmonic_mean": 0.0}),
    "humblebench": (
        humblebench,
        4,
        {
            "accuracy": 2 / 4,
            "object_accuracy": 1.0,
            "none_recall": 1.0,
            "none_rate": 2 / 4,
            "false_none": 1 / 3,
        },
    ),
}


def command(place: Path, name: str, data: Path, *more: object) -> list[object]:
    (place / "model.py").write_text(MODEL)
    return [
        "run", "--dataset", f"{name}/{data}", "--model", f"python/{place}/model.py:Model",
        "--out", place / "out", "--resamples", 100, *more,
    ]  # fmt: skip


def run_folder(out: Path) -> Path:
    (run,) = [path.parent for path in out.glob("*/run.json")]
    return run


@pytest.mark.parametrize("name", [*MADE])
def test_a_model_answers_and_the_benchmark_scores(cli: Cli, tmp_path: Path, name: str) -> None:
    make, count, expected = MADE[name]
    data = make(tmp_path / "data")
    result = cli(*command(tmp_path, name, data))
    assert result.code == 0, result.err
    run = run_folder(tmp_path / "out")
    scores = json.loads((run / "scores.json").read_text())
    assert scores["n"] == {"requested": count, "samples": count, "scored": count, "unscored": 0}
    found = scores["metrics"][name]
    assert {key: found[key]["value"] for key in expected} == pytest.approx(expected)
    assert f"policy={name}(compat)" in scores["signature"]
    checked = cli("check", run, "--dataset", f"{name}/{data}")
    assert checked.code == 0, checked.out

    again = cli(*command(tmp_path, name, data))
    assert again.code == 0, again.err
    assert json.loads((run / "scores.json").read_text()) == scores


FILES = (
    "scores.json",
    "samples.jsonl",
    "responses.jsonl",
    "judgements.jsonl",
    "benchmark_questions.jsonl",
    "benchmark_answers.jsonl",
)


@pytest.mark.parametrize("name", ["hallusionbench", "humblebench"])
def test_merged_shards_are_the_run(cli: Cli, tmp_path: Path, name: str) -> None:
    data = MADE[name][0](tmp_path / "data")
    if name == "humblebench":  # an answer that failed is in the files, but what is true of it is not
        (data / "images" / "1.png").write_bytes(b"nothing")
    more = ("--batch-size", 2, "--max-unscored", 1)
    assert cli(*command(tmp_path, name, data, *more)).code == 0
    whole = run_folder(tmp_path / "out")
    for number in (2, 1):
        part = [*command(tmp_path, name, data, *more, "--shard", f"{number}/2")]
        part[part.index("--out") + 1] = tmp_path / "cut"
        found = cli(*part)
        assert found.code == 0, found.err
    merged = cli("merge", tmp_path / "cut", "--max-unscored", 1)
    assert merged.code == 0, merged.err
    joined = tmp_path / "cut" / whole.name
    for file in FILES:
        assert (joined / file).read_bytes() == (whole / file).read_bytes(), file
    checked = cli("check", joined)
    assert checked.code == 0, checked.out


def test_the_numbers_are_those_of_the_same_answers_from_a_file(cli: Cli, tmp_path: Path) -> None:
    data = repope(tmp_path / "data")
    assert cli(*command(tmp_path, "repope", data, "-T", "mode=fixed")).code == 0
    run = run_folder(tmp_path / "out")
    answers = write_lines(
        tmp_path / "answers.jsonl",
        [
            {"question_id": row["sample_id"], "response": row["response"]}
            for row in read_lines(run / "responses.jsonl")
        ],
    )
    scored = cli(
        "score", "--metric", "repope", "--questions", data, "--answers", answers, "--mode", "fixed",
        "--out", tmp_path / "scored", "--resamples", 100,
    )  # fmt: skip
    assert scored.code == 0, scored.err
    mine, theirs = (
        json.loads((path / "scores.json").read_text())["metrics"] for path in (run, tmp_path / "scored")
    )
    assert mine == theirs


def test_the_numbers_have_intervals(cli: Cli, tmp_path: Path) -> None:
    data = tmp_path / "data"
    for number in range(12):
        picture(data / f"{number}.jpg", 20 * number)
    rows = [
        {"question_id": i, "image": f"{i}.jpg", "text": "Is it no" if i % 3 else "Is it yes", "label": label}
        for i, label in enumerate(("yes", "no") * 6)
    ]
    questions = write_lines(data / "coco_repope_random.json", rows)
    assert cli(*command(tmp_path, "repope", questions)).code == 0
    found = json.loads((run_folder(tmp_path / "out") / "scores.json").read_text())["metrics"]["repope"]
    low, high = found["accuracy"]["ci"]
    assert found["accuracy"]["value"] == pytest.approx(6 / 12)
    assert 0 < low < 6 / 12 < high < 1


def test_a_changed_answer_is_found(cli: Cli, tmp_path: Path) -> None:
    data = humblebench(tmp_path / "data")
    assert cli(*command(tmp_path, "humblebench", data)).code == 0
    run = run_folder(tmp_path / "out")
    rows = read_lines(run / "benchmark_answers.jsonl")
    rows[0]["read"] = "B"
    write_lines(run / "benchmark_answers.jsonl", rows)
    checked = cli("check", run)
    assert checked.code != 0
    assert "benchmark_answers.jsonl" in checked.out


def test_an_unreadable_picture_is_unscored(cli: Cli, tmp_path: Path) -> None:
    data = humblebench(tmp_path / "data")
    (data / "images" / "1.png").write_bytes(b"nothing")
    result = cli(*command(tmp_path, "humblebench", data))
    assert result.code == 3, result.err
    scores = json.loads((run_folder(tmp_path / "out") / "scores.json").read_text())
    assert scores["n"] == {"requested": 4, "samples": 4, "scored": 2, "unscored": 2}
    assert scores["metrics"]["humblebench"]["accuracy"]["value"] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset", "hallusionbench"], "write hallusionbench/PATH, where PATH is the folder with Hallusion"),
        (["--dataset", "hallusionbench/{}/none"], "no such file or folder"),
        (["--dataset", "hallusionbench/{}"], "PATH must be the folder with HallusionBench.json"),
        (["--dataset", "hallusionbench/{}/data", "--task", "describe"], "has questions of its own; leave the task"),
        (["--dataset", "hallusionbench/{}/data", "-T", "mode=fix"], "-T mode=fix: unknown mode; did you mean"),
        (["--dataset", "hallusionbench/{}/data", "-D", "image=x"], "no option 'image'; did you mean 'images'?"),
        (["--dataset", "hallusionbench/{}/data", "-D", "images={}"], "name their folder by -D images"),
        (["--dataset", "hallusionbench/{}/data", "--shard", "1/9"], "8 samples make 1 parts of whole batches"),
        (["--task", "answer"], "--task answer: is for a published benchmark"),
    ],
)  # fmt: skip
def test_mistakes_are_said_in_a_line(cli: Cli, tmp_path: Path, arguments: list[str], message: str) -> None:
    hallusionbench(tmp_path / "data")
    (tmp_path / "model.py").write_text(MODEL)
    given = [part.format(tmp_path) for part in arguments]
    result = cli("run", "--model", f"python/{tmp_path}/model.py:Model", "--out", tmp_path / "out", *given)
    assert result.code == 2
    assert message in result.err
    assert not (tmp_path / "out").exists()
