"""POPE's answers as other programs write them, and answers that are to other questions than those given."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.benchmark.cli.test_errors import check
from tests.benchmark.conftest import Cli, Result, write_lines
from tests.benchmark.tasks.score_files.test_answers import dump, scores_of, values

ASKED = [("snowboard", "yes"), ("backpack", "no"), ("person", "yes"), ("dining table", "no")]
SAID = ["Yes", "No", "Yes", "Yes"]
QUESTIONS = [
    {
        "question_id": number,
        "image": f"COCO_val2014_{number // 3 + 1:012}.jpg",
        "text": f"Is there a {thing} in the image?",
        "label": label,
    }
    for number, (thing, label) in enumerate(ASKED, 1)
]
Make = Callable[[dict[str, Any], str], dict[str, Any]]


def lmms_eval(question: dict[str, Any], said: str) -> dict[str, Any]:
    document = {
        "question_id": str(question["question_id"]),
        "question": question["text"],
        "answer": question["label"],
        "image_source": question["image"].removesuffix(".jpg"),
    }
    number = question["question_id"] - 1
    return {
        "doc_id": number,
        "doc": document,
        "target": question["label"],
        "resps": [[said + "."]],
        "filtered_resps": [said],
    }


FORMS: dict[str, Make] = {
    "LLaVA": lambda q, said: {
        "question_id": q["question_id"],
        "prompt": q["text"] + "\nAnswer the question using a single word or phrase.",
        "text": said,
        "image": q["image"],
    },
    "lmms-eval": lmms_eval,
    "chat template": lambda q, said: {
        "question_id": q["question_id"],
        "prompt": f"USER: <image>\n{q['text']} ASSISTANT:",
        "response": said,
    },
    "question put otherwise": lambda q, said: {
        "qid": q["question_id"],
        "query": f"Does the picture show any {q['text'].split(' a ')[1].split(' in ')[0]}?",
        "output": said,
    },
    "one system prompt": lambda q, said: {
        "question_id": q["question_id"], "prompt": "You answer yes or no.", "answer": said,
    },
    "ids as text": lambda q, said: {"question_id": f"{q['question_id']:04}", "answer": said},
    "question in 'text'": lambda q, said: {"question_id": q["question_id"], "text": q["text"], "response": said},
    "image by number": lambda q, said: {
        "question_id": q["question_id"], "image_id": q["question_id"] // 3 + 1, "answer": said,
    },
    "images renamed": lambda q, said: {
        "question_id": q["question_id"], "image": f"p{q['question_id']}.png", "prompt": q["text"], "answer": said,
    },
}  # fmt: skip


def score(cli: Cli, folder: Path, answers: Path, *more: object, questions: Path | None = None) -> Result:
    questions = questions or write_lines(folder / "q.json", QUESTIONS)
    arguments = ("--metric", "pope", "--questions", questions, "--answers", answers, "--resamples", 0)
    return cli("score", *arguments, *more, "--out", folder / "out")


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_answers(form: str, cli: Cli, tmp_path: Path) -> None:
    rows = [FORMS[form](question, said) for question, said in zip(QUESTIONS, SAID, strict=True)]
    result = score(cli, tmp_path, write_lines(tmp_path / "a.jsonl", rows))
    assert result.code == 0, result.err
    assert values(scores_of(tmp_path / "out")["metrics"], "pope")["accuracy"] == 0.75
    checked = cli("check", tmp_path / "out")
    assert checked.code == 0, checked.out


@pytest.mark.parametrize("name", ["a.csv", "a.json", "by id.json", "array.json"])
def test_formats_of_answers(name: str, cli: Cli, tmp_path: Path) -> None:
    by_id = {str(question["question_id"]): said for question, said in zip(QUESTIONS, SAID, strict=True)}
    rows = [{"question_id": number, "answer": said} for number, said in by_id.items()]
    if name == "a.csv":
        table = "".join(f"{number},{said}\n" for number, said in by_id.items())
        (tmp_path / name).write_text("question_id,answer\n" + table)
    elif name == "a.json":
        (tmp_path / name).write_text("".join(json.dumps(row, indent=1) for row in rows))
    else:
        dump(tmp_path / name, by_id if name == "by id.json" else rows)
    result = score(cli, tmp_path, tmp_path / name)
    assert result.code == 0, result.err
    assert values(scores_of(tmp_path / "out")["metrics"], "pope")["accuracy"] == 0.75


def test_questions_of_the_hub(cli: Cli, tmp_path: Path) -> None:
    """The names that lmms-eval's copy of POPE has, as a table."""
    table = "id\tquestion_id\tquestion\tanswer\timage_source\n" + "".join(
        f"{n}\t{q['question_id']}\t{q['text']}\t{q['label']}\t{q['image'][:-4]}\n"
        for n, q in enumerate(QUESTIONS)
    )
    (tmp_path / "q.tsv").write_text(table)
    rows = [lmms_eval(question, said) for question, said in zip(QUESTIONS, SAID, strict=True)]
    answers = write_lines(tmp_path / "a.jsonl", rows)
    result = score(cli, tmp_path, answers, questions=tmp_path / "q.tsv")
    assert result.code == 0, result.err
    assert "--questions: read as tsv" in result.err
    assert values(scores_of(tmp_path / "out")["metrics"], "pope")["accuracy"] == 0.75


def other_split(question: dict[str, Any]) -> dict[str, Any]:
    """The same ids and images, and other absent objects."""
    thing = {2: "car", 4: "cup"}.get(question["question_id"])
    return {**question, "text": f"Is there a {thing} in the image?"} if thing else question


def other_images(question: dict[str, Any]) -> dict[str, Any]:
    return {**question, "image": "COCO_val2014_000000000099.jpg"}


@pytest.mark.parametrize("form", ["LLaVA", "lmms-eval", "chat template", "question put otherwise"])
def test_answers_of_another_split(form: str, cli: Cli, tmp_path: Path) -> None:
    rows = [FORMS[form](other_split(question), said) for question, said in zip(QUESTIONS, SAID, strict=True)]
    check(
        score(cli, tmp_path, write_lines(tmp_path / "a.jsonl", rows)),
        "a.jsonl:2", "q.json", "backpack", "2 of 4 answers",
    )  # fmt: skip
    assert not (tmp_path / "out").exists()


def test_answers_about_other_images(cli: Cli, tmp_path: Path) -> None:
    rows = [
        {"question_id": q["question_id"], "image": other_images(q)["image"], "answer": said}
        for q, said in zip(QUESTIONS, SAID, strict=True)
    ]
    check(
        score(cli, tmp_path, write_lines(tmp_path / "a.jsonl", rows)),
        "a.jsonl:1", "000000000099", "4 of 4", "other images",
    )  # fmt: skip


def test_other_labels_are_said(cli: Cli, tmp_path: Path) -> None:
    """Corrected labels are a reason to score old answers again, so they are no mistake."""
    rows = [lmms_eval(question, said) for question, said in zip(QUESTIONS, SAID, strict=True)]
    rows[1]["target"] = "yes"
    result = score(cli, tmp_path, write_lines(tmp_path / "a.jsonl", rows))
    assert result.code == 0, result.err
    assert "warning: --answers: 1 of 4 answers carry another label ('target')" in result.err


def test_an_answer_that_may_be_the_label(cli: Cli, tmp_path: Path) -> None:
    """Scored as answers, labels have an accuracy of 1."""
    rows = [
        {"question_id": q["question_id"], "answer": q["label"], "prediction": said}
        for q, said in zip(QUESTIONS, SAID, strict=True)
    ]
    answers = write_lines(tmp_path / "a.jsonl", rows)
    check(score(cli, tmp_path, answers), "a.jsonl", "'answer' and 'prediction'", "--field answer=NAME")
    assert score(cli, tmp_path, answers, "--field", "answer=prediction").code == 0
    assert values(scores_of(tmp_path / "out")["metrics"], "pope")["accuracy"] == 0.75


@pytest.mark.parametrize(
    ("row", "more"),
    [
        ({"id": "1", "text": "Yes"}, ()),
        ({"id": 1, "outputs": ["Yes"]}, ()),
        ({"number": 1, "text": "No", "said": "Yes"}, ("--field", "id=number", "--field", "response=said")),
    ],
)
def test_names_of_ambers_answers(
    row: dict[str, Any], more: tuple[str, ...], cli: Cli, tmp_path: Path
) -> None:
    annotations = dump(tmp_path / "n.json", [{"id": 1, "type": "discriminative-relation", "truth": "yes"}])
    relations = dump(tmp_path / "r.json", {"dog": ["puppy"]})
    arguments = ("--annotations", annotations, "--relations", relations)
    answers = ("--answers", write_lines(tmp_path / "a.jsonl", [row]), *more)
    result = cli(
        "score", "--metric", "amber", *arguments, *answers, "--resamples", 0, "--out", tmp_path / "out"
    )
    assert result.code == 0, result.err
