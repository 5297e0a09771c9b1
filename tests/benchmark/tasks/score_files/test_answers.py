"""`eidolon score` of answers: THRONE, POPE, AMBER and detection, from files to run folder."""

import json
from pathlib import Path
from typing import Any

import pytest

from eidolon.benchmark.json_schemas import read as read_schema
from eidolon.scorers.metrics.flag_position import NAMES
from tests.benchmark.conftest import Cli, read_lines, write_lines

CATEGORIES = ["dog", "cat", "car", "cup"]


def dump(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


def scores_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
    return found


def values(metrics: dict[str, Any], family: str) -> dict[str, float | None]:
    return {name: entry["value"] for name, entry in metrics[family].items() if name != "per_category"}


def coco(path: Path) -> Path:
    """Instances for the example of docs/reference/metrics/throne.md; the fourth image has no answers."""
    return dump(
        path,
        {
            "images": [{"id": i} for i in (1, 2, 3, 4)],
            "categories": [{"id": 10 * (i + 1), "name": name} for i, name in enumerate(CATEGORIES)][::-1],
            "annotations": [
                {"image_id": image, "category_id": category, "iscrowd": crowd}
                for image, category, crowd in ((1, 10, 0), (1, 10, 1), (1, 40, 0), (2, 10, 1), (2, 20, 0))
            ],
        },
    )


def judge_files(folder: Path) -> list[Path]:
    """Three judges, three formats: dog, cat, car and cup have 9 9 0 4, 9 0 0 0 and 0 9 0 0 yes votes."""
    cups = {"a": [1, 1, 1], "b": [1, 0, 0], "c": [0, 0, 0]}
    files = []
    for name, cup in cups.items():
        answers = {
            "1": [word for m in range(3) for word in ("yes", "Yes", "no", " yes" if cup[m] else "yes.")],
            "2": ["YES", "no", "no", "No"] * 3,
            "3": ["unanswerable", "yes ", "", "no"] * 3,
        }
        files.append(dump(folder / f"{name}.json", answers))
    return files


def test_throne(cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ["score", "--metric", "throne", "--answers", *judge_files(tmp_path)]
    arguments += ["--annotations", coco(tmp_path / "coco.json"), "--threshold", "9,5", "--out", out]
    result = cli(*arguments)
    assert result.code == 0, result.err
    scores = scores_of(out)
    assert values(scores["metrics"], "throne") == pytest.approx(
        {
            "classwise_precision": 1 / 2,
            "classwise_recall": 1 / 2,
            "classwise_f1": 1,
            "classwise_f05": 1,
            "image_precision": 1 / 2,
            "image_recall": 1 / 2,
            "image_f1": 2 / 3,
            "image_f05": (5 / 9 + 5 / 6) / 2,
        }
    )
    assert scores["counts"]["throne"] == {
        "images": 3, "categories": 4, "predicted": 4, "correct": 2, "true": 3, "ignored": 1,
    }  # fmt: skip
    assert [*scores["metrics"]["throne"]["per_category"]] == CATEGORIES
    assert scores["metrics"]["throne"]["per_category"]["car"]["f1"]["value"] is None
    (variant,) = scores["variants"]
    assert variant["settings"] == {"threshold": 5, "mode": "compat"}
    # At a majority the cup is absent and true: one of two correct, of four true.
    assert variant["metrics"]["throne"]["image_recall"]["value"] == pytest.approx((1 / 2 + 1 / 2) / 3)
    calibration = scores["calibration"]
    assert calibration["voters"] == 9
    assert calibration["ignored"] == pytest.approx(1 / 12)
    assert calibration["judges"]["a"]["yes_rate_by_format"] == pytest.approx([5 / 12] * 3)
    assert calibration["pairwise_agreement"][0]["judges"] == ["a", "b"]
    assert calibration["pairwise_agreement"][0]["agreement"] == pytest.approx(34 / 36)
    assert "policy=throne(mode=compat,threshold=9of9)" in scores["signature"]
    assert "judge=votes(judges=a+b+c,formats=3)" in scores["signature"]
    assert [row["objects"] for row in read_lines(out / "samples.jsonl")] == [
        ["cup", "dog"],
        ["cat", "dog"],
        [],
    ]
    mentions = [
        [(m["category"], m["verdict"]) for m in row["mentions"]]
        for row in read_lines(out / "judgements.jsonl")
    ]
    assert mentions == [
        [("dog", "grounded"), ("cat", "hallucinated"), ("cup", "ignored")],
        [("dog", "grounded")],
        [("cat", "hallucinated")],
    ]
    cup = read_lines(out / "judgements.jsonl")[0]["mentions"][2]
    assert cup["votes"] == {
        **{f"a/{m}": 1 for m in (1, 2, 3)}, "b/1": 1, "b/2": 0, "b/3": 0, **{f"c/{m}": 0 for m in (1, 2, 3)}
    }  # fmt: skip
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "<td>throne.image_f1</td><td>0.667</td>" in page
    assert "Scores with threshold=5" in page
    assert "<h2>Responses</h2>" not in page
    before = (out / "scores.json").read_bytes()
    assert cli(*arguments).code == 0
    assert (out / "scores.json").read_bytes() == before
    assert (out / "report.html").read_text(encoding="utf-8") == page
    assert json.loads((out / "run.json").read_text())["status"] == "success"


def test_throne_fixed_is_labelled(cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "out"
    files = judge_files(tmp_path)
    answers = [argument for file in files for argument in ("--answers", file)]
    result = cli(
        "score", "--metric", "throne", *answers, "--annotations", coco(tmp_path / "coco.json"),
        "--threshold", 9, "--mode", "fixed", "--out", out, "--resamples", 50,
    )  # fmt: skip
    assert result.code == 0, result.err
    assert values(scores_of(out)["metrics"], "throne")["image_f1"] == pytest.approx(4 / 9)
    assert "mode=fixed" in scores_of(out)["signature"]
    assert "mode=fixed" in result.out


def pope_files(folder: Path) -> list[Any]:
    labels = ["yes", "yes", "yes", "no", "no", "no"]
    answers = ["Yes.", "No", "I think so", "no", "yes", "Nope"]
    questions = [
        {"question_id": i + 1, "image": f"{i // 3}.jpg", "text": f"Is there a thing {i}?", "label": label}
        for i, label in enumerate(labels)
    ]
    rows = [{"question": q["text"], "answer": a} for q, a in zip(questions, answers, strict=True)]
    return [
        "score", "--metric", "pope", "--questions", write_lines(folder / "questions.json", questions),
        "--answers", write_lines(folder / "answers.jsonl", rows),
    ]  # fmt: skip


def test_pope_with_all_policies(cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = cli(*pope_files(tmp_path), "--policy", "all", "--out", out)
    assert result.code == 0, result.err
    scores = scores_of(out)
    assert values(scores["metrics"], "pope")["accuracy"] == pytest.approx(3 / 6)
    assert scores["metrics"]["pope"]["yes_rate"]["higher_is_better"] is None
    assert scores["intervals"]["clusters"] == 2
    accuracies = {
        variant["settings"]["policy"]: variant["metrics"]["pope"]["accuracy"]["value"]
        for variant in scores["variants"]
    }
    assert accuracies == pytest.approx(
        {"original": 3 / 6, "exact": 1 / 6, "lenient": 3 / 6, "strict": 2 / 6, "evalscope": 2 / 6}
    )
    for policy in accuracies:
        assert f"policy={policy}" in result.out
    assert "n = 6" in result.out
    rows = read_lines(out / "answers.jsonl")
    assert rows[2]["parsed"] == {
        "original": "yes",
        "exact": None,
        "lenient": None,
        "strict": None,
        "evalscope": None,
    }
    assert [row["truth"] for row in rows] == ["yes"] * 3 + ["no"] * 3
    assert read_lines(out / "responses.jsonl")[5]["response"] == "Nope"


def test_pope_answers_by_id_in_any_order(cli: Cli, tmp_path: Path) -> None:
    arguments = pope_files(tmp_path)
    rows = read_lines(tmp_path / "answers.jsonl")
    shuffled = [{"id": i + 1, "text": rows[i]["answer"]} for i in (5, 2, 0, 1, 4, 3)]
    questions = read_lines(tmp_path / "questions.json")
    write_lines(tmp_path / "answers.jsonl", shuffled)
    write_lines(tmp_path / "questions.json", [{"id": q.pop("question_id"), **q} for q in questions])
    out = tmp_path / "out"
    result = cli(*arguments, "--field", "question_id=id", "--field", "answer=text", "--out", out)
    assert result.code == 0, result.err
    assert values(scores_of(out)["metrics"], "pope")["recall"] == pytest.approx(2 / 3)


def amber_files(folder: Path) -> list[Any]:
    annotations = [
        {"id": 1, "type": "generative", "truth": ["person", "dog"], "hallu": ["cat"]},
        {"id": 2, "type": "generative", "truth": ["sky"], "hallu": ["cat", "dog"]},
        {"id": 3, "type": "discriminative-hallucination", "truth": "no"},
        {"id": 4, "type": "discriminative-attribute-state", "truth": "yes"},
        {"id": 5, "type": "discriminative-attribute-state", "truth": "no"},
        {"id": 6, "type": "relation", "truth": "no"},
    ]
    relations = {"person": ["man"], "dog": [], "cat": [], "sky": []}
    texts = ["A man and his dog under the sky.", "A cat.", "No", "Yes", "no."]
    answers = [{"id": i + 1, "response": text} for i, text in enumerate(texts)]
    return [
        "score", "--metric", "amber", "--annotations", dump(folder / "annotations.json", annotations),
        "--relations", dump(folder / "relation.json", relations),
        "--answers", dump(folder / "answers.json", answers),
    ]  # fmt: skip


@pytest.mark.parametrize(("mode", "f1"), [("compat", 0.666), ("fixed", 1)])
def test_amber(cli: Cli, tmp_path: Path, mode: str, f1: float) -> None:
    out = tmp_path / "out"
    result = cli(*amber_files(tmp_path), "--mode", mode, "--out", out)
    assert result.code == 0, result.err
    scores = scores_of(out)
    found = values(scores["metrics"], "amber")
    assert found["f1"] == pytest.approx(f1)
    assert (found["chair"], found["hal"]) == (0.5, 1)
    assert found["relation_f1"] is None
    assert "no relation question has an answer" in scores["metrics"]["amber"]["relation_f1"]["reason"]
    assert scores["n"] == {"requested": 5, "samples": 5, "scored": 5, "unscored": 0}
    assert f"amber(mode={mode}" in scores["signature"]
    assert [row["parsed"][mode] for row in read_lines(out / "answers.jsonl")] == [
        "no", "yes", "no" if mode == "fixed" else None
    ]  # fmt: skip
    assert read_lines(out / "free_form.jsonl")[0] == {
        "sample_id": "1", "image_id": 1, "nouns": ["man", "dog", "sky"], "hallucinated": ["sky"],
        "covered": ["person", "dog"], "feared": [],
        "true_objects": ["person", "dog"], "feared_objects": ["cat"],
    }  # fmt: skip


def test_amber_with_images_safe_words_and_missing_answers(cli: Cli, tmp_path: Path) -> None:
    arguments = amber_files(tmp_path)
    dump(tmp_path / "answers.json", [{"id": 1, "response": "A cat."}, {"id": 4, "response": "Yes"}])
    safe = tmp_path / "safe.txt"
    safe.write_text("cat\n")
    queries = dump(tmp_path / "queries.json", [{"id": 4, "image": "AMBER_1.jpg", "query": "?"}])
    out = tmp_path / "out"
    result = cli(*arguments, "--safe-words", safe, "--questions", queries, "--mode", "fixed", "--out", out)
    assert result.code == 0
    assert "2 answers to 4 items" in result.err
    scores = scores_of(out)
    assert scores["intervals"]["clusters"] == 1
    assert values(scores["metrics"], "amber")["chair"] == 0


FLAGGED = [
    {"image_id": 1, "words": ["A", "dog", "runs."], "human_hallucinated": [False, True, False],
     "references": ["A cat runs."]},
    {"image_id": 2, "words": ["A", "cat", "sits."], "human_hallucinated": [False, False, False],
     "references": ["The cat is there."]},
    {"image_id": 3, "words": ["A", "cup."], "human_hallucinated": [False, True], "references": ["A cup."]},
]  # fmt: skip


def test_detection(cli: Cli, tmp_path: Path) -> None:
    """The judge flags the dog; the baseline the dog and "sits"."""
    responses = write_lines(tmp_path / "r.jsonl", FLAGGED)
    out = tmp_path / "out"
    result = cli("score", "--metric", "detection", "--responses", responses, "--out", out)
    assert result.code == 0, result.err
    scores = scores_of(out)
    found = values(scores["metrics"], "detection")
    assert (found["response_precision"], found["response_recall"]) == (1, 1 / 2)
    assert (found["word_precision"], found["word_recall"]) == (1, 1 / 2)
    assert found["response_average_precision"] == pytest.approx(1 / 2 + 1 / 2 * 2 / 3)
    (variant,) = scores["variants"]
    assert variant["label"] == "word-overlap"
    assert values(variant["metrics"], "detection")["response_precision"] == 1 / 2
    assert scores["counts"]["detection"]["response_tp"] == 1
    assert "judge=lexicon(reading=careful" in scores["signature"]
    assert len(read_lines(out / "judgements.jsonl")) == 3
    page = (out / "report.html").read_text(encoding="utf-8")
    assert '<mark class="hallucinated" title="dog">dog</mark>' in page
    assert "Scores with word-overlap" in page
    again = tmp_path / "again"
    result = cli(
        "score", "--metric", "detection", "--judge", "word-overlap", "--responses", responses, "--out", again
    )
    assert result.code == 0, result.err
    alone = scores_of(again)["metrics"]["detection"]
    shared = variant["metrics"]["detection"]
    assert {name: alone[name] for name in shared} == shared
    assert {*alone} - {*shared} == {*NAMES}  # where people's marks are depends on no judge
    page = (again / "report.html").read_text(encoding="utf-8")
    assert "detection.response_precision" in page
    assert "<h2>Responses</h2>" not in page


def test_detection_leaves_out_what_cannot_be_judged(cli: Cli, tmp_path: Path) -> None:
    failed = {**FLAGGED[0], "image_id": 9, "response": None, "error": "timeout"}
    responses = write_lines(tmp_path / "r.jsonl", [*FLAGGED, failed])
    out = tmp_path / "out"
    result = cli("score", "--metric", "detection", "--responses", responses, "--out", out)
    assert result.code == 3
    assert scores_of(out)["n"] == {"requested": 4, "samples": 4, "scored": 3, "unscored": 1}


def test_files_follow_their_schemas(cli: Cli, tmp_path: Path) -> None:
    from jsonschema import validate

    from eidolon.scorers.json_schemas import schemas

    out = tmp_path / "out"
    assert cli(*amber_files(tmp_path), "--out", out).code == 0
    validate(scores_of(out), schemas()["scores"])
    for name in ("answers", "free_form"):
        for row in read_lines(out / f"{name}.jsonl"):
            validate(row, read_schema(name))
    throne = tmp_path / "throne"
    result = cli(
        "score", "--metric", "throne", "--answers", *judge_files(tmp_path),
        "--annotations", coco(tmp_path / "coco.json"), "--out", throne,
    )  # fmt: skip
    assert result.code == 0, result.err
    validate(scores_of(throne), schemas()["scores"])
    for row in read_lines(throne / "judgements.jsonl"):
        validate(row, schemas()["judgements"])


def test_metrics_are_listed(cli: Cli) -> None:
    lines = [line.split(maxsplit=1) for line in cli("list", "metrics").out.splitlines()]
    assert {"amber", "chair", "detection", "objects", "pope", "throne"} <= {line[0] for line in lines}
    assert all(len(line) == 2 for line in lines)


def test_reference_throne(cli: Cli, reference_data: Path, tmp_path: Path) -> None:
    folder = reference_data / "throne"
    answers = [folder / "judge_answers" / f"judge_{name}.json" for name in ("small", "medium", "large")]
    out = tmp_path / "out"
    result = cli(
        "score", "--metric", "throne", "--answers", *answers, "--annotations", folder / "coco_annotations.json",
        "--threshold", 9, "--mode", "compat", "--resamples", 20, "--out", out,
    )  # fmt: skip
    assert result.code == 0, result.err
    expected = json.loads((reference_data / "expected" / "throne.json").read_text())["thresholds"]["9"]
    wanted = expected["classwise"]["recomputed_float64"]["F0_5"]
    assert values(scores_of(out)["metrics"], "throne")["classwise_f05"] == pytest.approx(wanted, abs=1e-6)


def test_reference_detection(cli: Cli, reference_data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = cli(
        "score", "--metric", "detection", "--responses", reference_data / "hat" / "hat.jsonl",
        "--objects", reference_data / "coco_gt" / "objects.jsonl", "--field", "response=caption",
        "-J", "reading=original", "--resamples", 20, "--out", out,
    )  # fmt: skip
    assert result.code == 0, result.err
    expected = json.loads((reference_data / "expected" / "chair_hat.json").read_text())[
        "agreement_with_human_labels"
    ]
    counts = scores_of(out)["counts"]["detection"]
    assert {name: counts[f"response_{name}"] for name in expected} == expected
    overlap = values(scores_of(out)["variants"][0]["metrics"], "detection")
    assert overlap["response_average_precision"] == pytest.approx(0.54, abs=0.01)


def test_throne_of_answers_tells_agreement_by_position_where_the_responses_are_given(
    cli: Cli, tmp_path: Path
) -> None:
    texts = ["A dog runs on the grass by a cup.", "A long and empty road, then a dog.", "Nothing at all."]
    rows = [{"image": i + 1, "response": text} for i, text in enumerate(texts)]
    arguments = [
        "score", "--metric", "throne", "--answers", *judge_files(tmp_path),
        "--annotations", coco(tmp_path / "coco.json"), "--field", "image_id=image", "--responses",
    ]  # fmt: skip
    out = tmp_path / "out"
    result = cli(*arguments, write_lines(tmp_path / "r.jsonl", rows), "--out", out)
    assert result.code == 0, result.err
    positions = scores_of(out)["calibration"]["by_position"]
    assert positions["reader"] == "lexicon(reading=careful-2,vocabulary=coco80)"
    assert [part["cells"] for part in positions["parts"]] == [1, 0, 0, 0, 2]
    assert positions["parts"][0]["yes_rate"] == 1
    assert "first named in fifth 5" in result.out
    for wrong, told in (
        (rows[:2], "has no response to image 3"),
        ([*rows, {"image": 1, "sample_id": "x", "response": "A dog."}], "r.jsonl:4"),
    ):
        result = cli(*arguments, write_lines(tmp_path / "r.jsonl", wrong), "--out", tmp_path / "other")
        assert result.code == 2
        assert told in result.err


def test_pope_by_probabilities_of_the_first_token(cli: Cli, tmp_path: Path) -> None:
    arguments = pope_files(tmp_path)
    answers = Path(str(arguments[-1]))
    out = tmp_path / "out"
    refused = cli(*arguments, "--policy", "tokens-2", "--out", out)
    assert refused.code == 2
    assert "has no field 'logprobs'" in refused.err
    rows = read_lines(answers)
    for row, (yes, no) in zip(
        rows, [(-0.1, -3), (-2, -0.2), (-0.5, -1), (-3, -0.1), (-0.1, -2), (-1, -1)], strict=True
    ):
        row["logprobs"] = [{"token": "Yes", "logprob": yes}, {"token": "No", "logprob": no}]
    write_lines(answers, rows)
    assert cli(*arguments, "--policy", "tokens-2", "--out", out).code == 0
    found = values(scores_of(out)["metrics"], "pope")
    assert found["accuracy"] == pytest.approx(3 / 6)
    assert found["unparsed"] == pytest.approx(1 / 6)
    assert cli("check", out).code == 0
    rows[1]["logprobs"] = {"Yes": 0.5}
    write_lines(answers, rows)
    wrong = cli(*arguments, "--policy", "tokens-2", "--out", tmp_path / "other")
    assert (wrong.code, "answers.jsonl:2: field 'logprobs' must give" in wrong.err) == (2, True)
