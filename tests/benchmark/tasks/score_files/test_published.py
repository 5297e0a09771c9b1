"""`eidolon score` of published question benchmarks: their layout, cases worked by hand, wrong input, and `check`."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eidolon.benchmark.json_schemas import read as read_schema
from eidolon.scorers.metrics.benchmarks.hallusionbench import CORRECT, INCORRECT, UNCLEAR, HallusionBench
from eidolon.scorers.metrics.benchmarks.humblebench import HumbleBench
from eidolon.scorers.metrics.benchmarks.question import BenchmarkQuestion, ReadAnswer
from eidolon.scorers.metrics.benchmarks.yes_no import read_yes_no
from eidolon.scorers.statistics.bootstrap import column_sums
from tests.benchmark.conftest import Cli, read_lines, write_lines


def dump(path: Path, value: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def values(folder: Path, family: str) -> dict[str, float | None]:
    metrics = json.loads((folder / "scores.json").read_text(encoding="utf-8"))["metrics"]
    return {name: entry["value"] for name, entry in metrics[family].items() if name != "per_category"}


def score(
    cli: Cli, metric: str, questions: Path, answers: Path, out: Path, *more: object
) -> dict[str, float | None]:
    result = cli(
        "score", "--metric", metric, "--questions", questions, "--answers", answers, "--out", out, *more
    )
    assert result.code == 0, result.err
    checked = cli("check", out)
    assert checked.code == 0, checked.out
    return values(out, metric)


def repope(folder: Path) -> tuple[Path, Path]:
    labels = ("yes", "yes", "no", "no", "yes")
    said = ("Yes, there is.", "I do not think so", "There are eyes", "It does not show one", "Perhaps")
    questions = [
        {"question_id": i, "image": f"{i % 2}.jpg", "text": f"Is there a thing {i} here?", "label": label}
        for i, label in enumerate(labels)
    ]
    answers = [{"question_id": str(i), "response": text} for i, text in enumerate(said)]
    return write_lines(folder / "q.json", questions), dump(folder / "a.json", answers)


def test_repope_by_hand(cli: Cli, tmp_path: Path) -> None:
    questions, answers = repope(tmp_path)
    found = score(cli, "repope", questions, answers, tmp_path / "compat")
    # "do not" and "does not" hold the letters of no, "eyes" those of yes; "Perhaps" is left out of every rate.
    assert found == pytest.approx(
        {
            "accuracy": 2 / 4,
            "precision": 1 / 2,
            "recall": 1 / 2,
            "f1": 1 / 2,
            "yes_rate": 2 / 4,
            "unparsed": 1 / 5,
        }
    )
    fixed = score(cli, "repope", questions, answers, tmp_path / "fixed", "--mode", "fixed")
    assert fixed == pytest.approx(
        {
            "accuracy": 1 / 5,
            "precision": 1,
            "recall": 1 / 3,
            "f1": 1 / 2,
            "yes_rate": 1 / 5,
            "unparsed": 4 / 5,
        }
    )


def dash_folder(folder: Path) -> Path:
    dump(
        folder / "dash_benchmark_neg.json",
        {"coco": {"kettle": ["a.png", "b.png"]}, "own": {"sled": ["c.png"]}},
    )
    dump(folder / "dash_benchmark_pos.json", {"coco": {"kettle": ["d.png"]}})
    return folder


def test_dash_b_from_its_folder(cli: Cli, tmp_path: Path) -> None:
    questions = dash_folder(tmp_path / "images")
    answers = dump(
        tmp_path / "answers.json",
        [
            {"img_id": "d.png", "object_name": "kettle", "gt": "yes", "response": "Yes", "answer": "yes"},
            {"img_id": "c.png", "object_name": "sled", "gt": "no", "response": "Yes, I can", "answer": "yes"},
            {"img_id": "a.png", "object_name": "kettle", "gt": "no", "response": "no", "answer": "no"},
            {"img_id": "b.png", "object_name": "kettle", "gt": "no", "response": "maybe", "answer": None},
        ],
    )
    found = score(cli, "dash_b", questions, answers, tmp_path / "out")
    assert found == pytest.approx(
        {"harmonic_mean": 2 / 4, "accuracy": 2 / 4, "tnr": 1 / 3, "tpr": 1.0, "unparsed": 1 / 4}
    )
    asked = [row["prompt"] for row in read_lines(tmp_path / "out" / "responses.jsonl")]
    assert asked[0] == "Can you see a kettle in this image? Please answer only with yes or no."


def test_dash_b_from_rows_of_the_hub(cli: Cli, tmp_path: Path) -> None:
    rows = [
        {"question_id": i, "object": "kettle", "question": "Is a kettle there?", "answer": truth}
        for i, truth in enumerate(("yes", "no"))
    ]
    answers = [{"question_id": 1, "response": "Yes"}, {"question_id": 0, "response": "Yes"}]
    found = score(
        cli,
        "dash_b",
        write_lines(tmp_path / "q.jsonl", rows),
        write_lines(tmp_path / "a.jsonl", answers),
        tmp_path / "out",
    )
    assert (found["harmonic_mean"], found["tnr"], found["tpr"]) == (0, 0, 1)


FIGURES = (
    # category, set, figure, visual input, question, truth, answer
    ("VD", "0", "0", "1", "0", "1", "Yes, they are."),
    ("VD", "0", "0", "1", "1", "0", "No."),
    ("VD", "0", "1", "2", "0", "0", "Yes."),
    ("VD", "0", "1", "2", "1", "1", "Yes."),
    ("VS", "0", "0", "0", "0", "1", "I cannot tell."),
    ("VS", "0", "1", "1", "0", "1", "Yes."),
    ("VS", "0", "2", "2", "0", "0", "I cannot tell."),
)


def hallusion(folder: Path, verdicts: str = "") -> tuple[Path, Path]:
    rows = [
        {
            "category": category,
            "subcategory": "figure",
            "visual_input": visual,
            "set_id": number,
            "figure_id": figure,
            "question_id": question,
            "question": f"Are both alike in {figure}?",
            "gt_answer": truth,
            "gt_answer_details": "They are.",
            "filename": None if visual == "0" else f"./{category}/{number}_{figure}.png",
        }
        for category, number, figure, visual, question, truth, _ in FIGURES
    ]
    answered = [row | {"model_prediction": case[-1]} for row, case in zip(rows, FIGURES, strict=True)]
    if verdicts:
        answered = [
            row | {"gpt4v_output_gpt_check": verdict} for row, verdict in zip(answered, verdicts, strict=True)
        ]
    return dump(folder / "HallusionBench.json", rows), dump(folder / "result.json", answered[::-1])


def test_hallusionbench_by_hand(cli: Cli, tmp_path: Path) -> None:
    found = score(cli, "hallusionbench", *hallusion(tmp_path), tmp_path / "out")
    # Right are the questions 0, 1, 3, 5, and 4: without a figure not to know is right.
    assert found == pytest.approx(
        {
            "a_acc": 5 / 7,
            "q_acc": 1 / 3,  # of the pairs (VD 0), (VD 1) and (VS 0), the second
            "f_acc": 2 / 4,  # figure 0 of VD and 1 of VS; figure 0 of VS is none
            "easy_acc": 3 / 3,
            "hard_acc": 1 / 3,
            "yes_difference": 6 / 7 - 4 / 7,
            "yes_among_wrong": 2 / 2,
            "unclear": 2 / 7,
        }
    )


def test_hallusionbench_takes_the_verdicts_of_the_released_program(cli: Cli, tmp_path: Path) -> None:
    files = hallusion(tmp_path, verdicts="1011112")
    judged = score(cli, "hallusionbench", *files, tmp_path / "out")
    assert judged["a_acc"] == pytest.approx(5 / 7)
    assert judged["q_acc"] == pytest.approx(1 / 3)
    signature = json.loads((tmp_path / "out" / "scores.json").read_text(encoding="utf-8"))["signature"]
    assert "file(gpt4v_output_gpt_check)" in signature
    fixed = score(cli, "hallusionbench", *files, tmp_path / "fixed", "--mode", "fixed")
    assert fixed["hard_acc"] == pytest.approx(1 / 3)


def test_pairs_and_figures_by_a_naive_count() -> None:
    """Groups by dictionaries over all questions, as the released program counts, on random verdicts."""
    random = np.random.default_rng(0)
    samples = []
    for category in ("VD", "VS"):
        for number in range(6):
            for figure in range(3):
                visual = "0" if category == "VS" and figure == 0 else "1" if figure < 2 else "2"
                for question in range(2):
                    groups = {
                        "category": category,
                        "subcategory": "map",
                        "set_id": str(number),
                        "figure_id": str(figure),
                        "question_id": str(question),
                        "visual_input": visual,
                    }
                    read = str(random.choice([CORRECT, CORRECT, CORRECT, INCORRECT, UNCLEAR]))
                    truth = str(random.choice(["yes", "no"]))
                    samples.append(
                        ReadAnswer("/".join(groups.values()), f"{category}{number}", truth, read, groups)
                    )
    pairs: dict[str, list[bool]] = {}
    figures: dict[str, list[bool]] = {}
    for sample in samples:
        g = sample.groups
        free = g["category"] == "VS" and g["figure_id"] == "0"
        right = sample.read == CORRECT or (free and sample.read == UNCLEAR)
        pairs.setdefault(g["category"] + g["set_id"] + g["question_id"], []).append(right)
        if not free:
            figures.setdefault(g["category"] + g["set_id"] + g["figure_id"], []).append(right)
    metric = HallusionBench()
    order = random.permutation(len(samples))
    found = metric.compute(column_sums(metric.statistics([samples[i] for i in order])))
    assert found["q_acc"] == pytest.approx(sum(map(all, pairs.values())) / len(pairs))
    assert found["f_acc"] == pytest.approx(sum(map(all, figures.values())) / len(figures))


def test_humblebench_by_hand(cli: Cli, tmp_path: Path) -> None:
    rows = [
        {
            "question_id": i,
            "question": "Which?\nA. x\nB. y",
            "label": label,
            "type": kind,
            "image": f"{i}.jpg",
        }
        for i, (label, kind) in enumerate(
            (("B", "Object"), ("E", "Attribute"), ("E", "Relation"), ("A", "Object"))
        )
    ]
    said = ("A person, so B", "E", "E. None of the above", "Answer: A")
    answers = [row | {"prediction": text} for row, text in zip(rows, said, strict=True)]
    questions, given = write_lines(tmp_path / "q.jsonl", rows), write_lines(tmp_path / "a.jsonl", answers)
    found = score(cli, "humblebench", questions, given, tmp_path / "compat")
    assert found == pytest.approx(
        {
            "accuracy": 3 / 4,  # "A person, so B" names two letters
            "object_accuracy": 1 / 2,
            "attribute_accuracy": 1,
            "relation_accuracy": 1,
            "none_recall": 1 / 2,  # only an answer that is exactly E
            "none_rate": 2 / 4,
            "false_none": 0,
            "unparsed": 1 / 4,
        }
    )
    fixed = score(cli, "humblebench", questions, given, tmp_path / "fixed", "--mode", "fixed")
    assert (fixed["none_recall"], fixed["unparsed"]) == (1, 1 / 4)


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("B", "B"),
        ("(c)", "C"),
        ("b. a red kettle", "B"),
        ("The answer is D.", "D"),
        ("Option A is wrong. Answer: C", "C"),
        ("A and B", None),
        ("I see a kettle", None),
        ("", None),
    ],
)
def test_letters_in_mode_fixed(answer: str, letter: str | None) -> None:
    question = BenchmarkQuestion("1", "1", "Which?", "A")
    assert HumbleBench("fixed").read(question, answer) == letter


def test_letters_and_words() -> None:
    assert [read_yes_no(text, "compat") for text in ("Eyes", "I know", "none", "?")] == [
        "yes",
        "no",
        "no",
        None,
    ]
    assert [read_yes_no(text, "fixed") for text in ("Eyes", "I know", "No.", "yes or no")] == [
        None,
        None,
        "no",
        None,
    ]


def test_files_follow_their_schema(cli: Cli, tmp_path: Path) -> None:
    import jsonschema

    score(cli, "repope", *repope(tmp_path), tmp_path / "out")
    schema = read_schema("benchmark_answers")
    for row in read_lines(tmp_path / "out" / "benchmark_answers.jsonl"):
        jsonschema.validate(row, schema)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gt_answer": "2"}, "field 'gt_answer' must be 0 or 1, found"),
        ({"category": "VX"}, "fields 'category' and 'visual_input' must be VD or VS"),
        ({"set_id": None}, "field 'set_id'"),
    ],
)
def test_wrong_questions_are_named(cli: Cli, tmp_path: Path, change: dict[str, Any], message: str) -> None:
    questions, answers = hallusion(tmp_path)
    rows = json.loads(questions.read_text(encoding="utf-8"))
    rows[2] |= change
    result = cli(
        "score", "--metric", "hallusionbench", "--questions", dump(questions, rows), "--answers", answers,
        "--out", tmp_path / "out",
    )  # fmt: skip
    assert result.code == 2
    assert message in result.err
    assert "item 2" in result.err


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"question_id": 9, "response": "yes"}], "none of the 5 questions"),
        ([{"question_id": 1, "response": "yes"}] * 2, "is answered at"),
        ([{"question_id": 1, "response": "yes"}], "has no answer (4 of 5 have none)"),
        ([{"response": "yes"}], "holds 1 answers to 5 questions"),
        ([{"question_id": i, "response": None} for i in range(5)], "field 'response'"),
    ],
)
def test_wrong_answers_are_named(cli: Cli, tmp_path: Path, rows: list[Any], message: str) -> None:
    questions, _ = repope(tmp_path)
    answers = write_lines(tmp_path / "wrong.jsonl", rows)
    result = cli(
        "score",
        "--metric",
        "repope",
        "--questions",
        questions,
        "--answers",
        answers,
        "--out",
        tmp_path / "out",
    )
    assert result.code == 2
    assert message in " ".join(result.err.split())


def test_answers_in_order_need_no_ids(cli: Cli, tmp_path: Path) -> None:
    questions, _ = repope(tmp_path)
    answers = write_lines(
        tmp_path / "a.jsonl", [{"response": text} for text in ("yes", "yes", "no", "no", "yes")]
    )
    assert score(cli, "repope", questions, answers, tmp_path / "out")["accuracy"] == 1
