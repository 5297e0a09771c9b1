"""Scores by an annotator's truth: what it is unsure of does not count, and the signature names it."""

import json
from pathlib import Path

import pytest

from eidolon.benchmark.annotate.kinds import Chosen
from eidolon.benchmark.cli import invoke
from eidolon.benchmark.data.samples import Sample
from eidolon.benchmark.store.loaded import load_run
from eidolon.benchmark.tasks.probe.questions import build
from eidolon.scorers.core.scores import Scores
from tests.benchmark.annotate.noisy import NAMES, NoisyAnnotator, make_images


def header(labelled: int | None = None) -> str:
    """Return the first line of a file by hand."""
    part = None
    if labelled is not None:
        part = {"file": "x", "sha256": "0", "images": labelled, "folds": 5, "precision": None, "recall": None}
        part["unsure"] = 0.0
    return json.dumps(
        {
            "schema": "eidolon/annotation/1",
            "annotator": "clip/tiny",
            "names": ["cup", "dog", "chair"],
            "settings": {},
            "identity": {},
            "key": "0",
            "seed": 0,
            "folder": ".",
            "cut": {"rule": "fixed", "high": 0.7, "low": 0.3},
            "labelled": part,
            "images": 2,
            "eidolon": "0",
        }
    )


def score(folder: Path, objects: list[dict], responses: list[str], *more: str, labelled: int | None = None):
    """Score responses to images 0, 1, … with a file by hand; return the scores."""
    folder.mkdir(exist_ok=True)
    truth, said = folder / "objects.jsonl", folder / "responses.jsonl"
    truth.write_text("\n".join([header(labelled), *map(json.dumps, objects)]) + "\n")
    rows = [{"image_id": str(i), "response": text} for i, text in enumerate(responses)]
    said.write_text("".join(json.dumps(row) + "\n" for row in rows))
    given = ["score", "--responses", str(said), "--objects", str(truth), "--out", str(folder / "run")]
    code = invoke([*given, "--metric", "chair,objects", "--resamples", "50", *more])
    return code, folder / "run"


def scores_of(run: Path) -> Scores:
    return Scores.from_json((run / "scores.json").read_text())


def test_unsure_and_unasked_names_are_in_no_score(tmp_path: Path) -> None:
    objects = [
        {"image_id": "0", "objects": ["cup"], "unsure": ["dog"]},
        {"image_id": "1", "objects": ["chair"], "unsure": []},
    ]
    said = ["There is a cup, a dog and a pizza.", "There is a chair, a dog and a pizza."]
    code, run = score(tmp_path, objects, said)
    assert code == 0
    found = scores_of(run)
    # Counted are the cup, the chair and the second dog: one dog is unsure, and no pizza was looked for.
    assert found.counts["chair"]["mentions"] == 3
    assert found.counts["chair"]["hallucinated_mentions"] == 1
    assert found.counts["objects"] == {"tp": 2, "fp": 1, "fn": 0}
    assert found.variants == ()
    verdicts = [
        {m["category"]: m["verdict"] for m in json.loads(line)["mentions"]}
        for line in (run / "judgements.jsonl").read_text().splitlines()
    ]
    assert verdicts[0] == {"cup": "grounded", "dog": "ignored", "pizza": "ignored"}
    assert verdicts[1] == {"chair": "grounded", "dog": "hallucinated", "pizza": "ignored"}
    assert load_run(run).signature.truth == "clip/tiny (unverified)"
    assert "|truth=clip/tiny (unverified)|" in found.signature
    assert invoke(["check", str(run)]) == 0


def test_a_judge_that_knows_other_names_is_refused(tmp_path: Path, capsys) -> None:
    code, _ = score(tmp_path, [{"image_id": "0", "objects": []}], ["A cup."], "--judge", "nouns")
    assert code == 2
    assert "was made by eidolon annotate and knows of its names alone" in capsys.readouterr().err


def test_the_labelled_part_corrects_the_rates(tmp_path: Path) -> None:
    """The annotator sees a dog everywhere. Responses name it in all images, and people in none of those labelled."""
    objects = [
        {"image_id": str(i), "objects": ["dog", "cup"] if i % 2 else ["dog"], "unsure": []}
        | ({"labelled": ["cup"] if i % 2 else []} if i < 12 else {})
        for i in range(60)
    ]
    said = ["A dog and a cup." if i % 3 else "A cup and a chair." for i in range(60)]
    code, run = score(tmp_path, objects, said, labelled=12)
    assert code == 0
    found = scores_of(run)
    assert load_run(run).signature.truth == "clip/tiny (12 labelled)"
    powered, alone = found.variants
    assert (powered.label, alone.label) == ("prediction-powered", "labelled part alone")
    assert powered.settings == {"labelled_images": 12, "other_images": 48}
    naive = found.metrics["chair"]["chair_i"].value
    corrected = powered.metrics["chair"]["chair_i"]
    # 120 mentions: 40 dogs, 60 cups, half of them there, 20 chairs. So 1/4 are right if no dog is.
    assert naive == pytest.approx(1 - (40 + 30) / 120)
    assert corrected.value == pytest.approx(0.75, abs=0.06)
    assert corrected.ci is not None
    assert corrected.ci[0] > naive
    assert corrected.method is not None
    assert corrected.method.startswith("prediction-powered, weight")
    assert powered.metrics["chair"]["words"].value == pytest.approx(found.metrics["chair"]["words"].value)
    assert alone.metrics["objects"]["precision"].value == pytest.approx(6 / 24)
    assert invoke(["check", str(run)]) == 0


def test_few_errors_or_labels_leave_the_labelled_part_alone(tmp_path: Path) -> None:
    objects = [
        {"image_id": str(i), "objects": ["cup"], "unsure": []} | ({"labelled": ["cup"]} if i < 12 else {})
        for i in range(40)
    ]
    said = ["A dog and a cup."] * 40
    _, run = score(tmp_path / "a", objects, said, labelled=12)
    powered, alone = scores_of(run).variants
    one, other = (variant.metrics["chair"]["chair_i"] for variant in (powered, alone))
    assert (one.value, one.ci) == (other.value, other.ci)
    assert one.method == "labelled part alone: the annotator errs on 0 of its images, fewer than 5"
    _, run = score(tmp_path / "b", objects[9:], said[9:], labelled=3)


def test_a_folder_with_an_annotated_file_is_a_dataset(tmp_path: Path, monkeypatch, capsys) -> None:
    """`eidolon run` reads what `eidolon annotate` wrote, and the leaderboard keeps such runs apart."""
    images = tmp_path / "images"
    truth = make_images(images, 30)
    monkeypatch.setattr(Chosen, "make", lambda chosen: NoisyAnnotator(NAMES, truth))
    labelled = tmp_path / "labelled.jsonl"
    labelled.write_text(
        "".join(
            json.dumps({"image_id": f"{k:03}", "objects": there}) + "\n"
            for k, there in enumerate(list(truth.values())[:12])
        )
    )
    given = ["annotate", str(images), "--with", "clip/tiny", "--names", ",".join(NAMES)]
    assert invoke([*given, "--out", str(images / "objects.jsonl"), "--labelled", str(labelled)]) == 0
    answers = tmp_path / "answers.jsonl"
    answers.write_text(
        "".join(
            json.dumps({"image_id": f"{k:03}", "sample_id": f"{k:03}", "response": "A dog and a pizza."})
            + "\n"
            for k in range(30)
        )
    )
    out = tmp_path / "runs"
    run = ["run", "--model", f"replay/{answers}", "--dataset", f"folder/{images}", "--out", str(out)]
    assert invoke([*run, "--metric", "chair,objects", "--resamples", "50"]) == 0
    said = capsys.readouterr().out
    assert "prediction-powered: objects.f05" in said
    (path,) = (p.parent for p in out.glob("*/scores.json"))
    found = scores_of(path)
    assert [variant.label for variant in found.variants] == ["prediction-powered", "labelled part alone"]
    assert load_run(path).signature.truth == "clip/tiny (12 labelled)"
    assert found.counts["chair"]["mentions"] <= 30
    assert invoke(["check", str(path), "--dataset", f"folder/{images}"]) == 0
    assert invoke([*run[:-1], str(tmp_path / "forget"), "--task", "forget"]) == 2
    assert "--task forget needs all objects" in capsys.readouterr().err


def test_a_probe_asks_about_nothing_that_is_unsure() -> None:
    samples = [
        Sample(i, str(i), str(i), ("cup",), None, unsure=("dog",) if i == 0 else ()) for i in range(2)
    ] + [Sample(2, "2", "2", ("dog",), None)]
    built = build(samples, pairs=1)
    asked = [(row.image, row.category) for row in built.rows]
    assert ("1", "dog") in asked
    assert ("0", "dog") not in asked


def test_the_leaderboard_groups_by_the_truth(tmp_path: Path, capsys) -> None:
    objects = [{"image_id": "0", "objects": ["cup"]}, {"image_id": "1", "objects": ["dog"]}]
    said = ["A cup and a dog.", "A dog."]
    _, first = score(tmp_path / "a", objects, said)
    people = tmp_path / "b" / "objects.jsonl"
    people.parent.mkdir()
    people.write_text("".join(json.dumps(row) + "\n" for row in objects))
    responses = str(tmp_path / "a" / "responses.jsonl")
    second = tmp_path / "b" / "run"
    given = ["score", "--responses", responses, "--objects", str(people), "--metric", "chair,objects"]
    assert invoke([*given, "--resamples", "50", "--out", str(second)]) == 0
    capsys.readouterr()
    page = tmp_path / "board.html"
    made = ["leaderboard", str(first), str(second), "--out", str(tmp_path / "l.json"), "--html", str(page)]
    assert invoke(made) == 0
    printed = capsys.readouterr().out
    assert "on objects, truth by clip/tiny (unverified)" in printed
    assert "not comparable" not in printed
    assert "truth by clip/tiny (unverified)" in page.read_text()


CUPS = """
class Cups:
    def generate(self, requests):
        for request in requests:
            yield "Yes" if "cup" in request.prompt else "No"
"""


def test_the_labelled_part_corrects_the_rates_of_a_probe(tmp_path: Path, monkeypatch, capsys) -> None:
    """The model says yes to cups and no to the rest. Labels and answers are compared one by one."""
    images = tmp_path / "images"
    truth = make_images(images, 60)
    monkeypatch.setattr(Chosen, "make", lambda chosen: NoisyAnnotator(NAMES, truth, noise=2.0))
    people = {f"{k:03}": there for k, there in enumerate(truth.values())}
    labelled = tmp_path / "labelled.jsonl"
    labelled.write_text(
        "".join(json.dumps({"image_id": i, "objects": people[i]}) + "\n" for i in [*people][:30])
    )
    given = ["annotate", str(images), "--with", "clip/tiny", "--names", ",".join(NAMES), "--sure", "0.6"]
    assert invoke([*given, "--out", str(images / "objects.jsonl"), "--labelled", str(labelled)]) == 0
    model = tmp_path / "model.py"
    model.write_text(CUPS)
    run = ["run", "--model", f"python/{model}:Cups", "--dataset", f"folder/{images}"]
    out = tmp_path / "runs"
    more = ["--task", "probe", "--pairs", "1", "--split", "random", "--resamples", "50"]
    assert invoke([*run, *more, "--out", str(out)]) == 0
    (path,) = (p.parent for p in out.glob("*/scores.json"))
    found = scores_of(path)
    powered, alone = found.variants
    assert (powered.label, alone.label) == ("prediction-powered", "labelled part alone")
    questions = [json.loads(line) for line in (path / "questions.jsonl").read_text().splitlines()]
    yes = [q["category"] == "cup" for q in questions]
    by_people = [
        said == (q["category"] in people[q["image"]])
        for q, said in zip(questions, yes, strict=True)
        if int(q["image"]) < 30
    ]
    by_annotator = [said == (q["label"] == "yes") for q, said in zip(questions, yes, strict=True)]
    naive = sum(by_annotator) / len(questions)
    assert found.metrics["pope"]["accuracy"].value == pytest.approx(naive)
    assert alone.metrics["pope"]["accuracy"].value == pytest.approx(sum(by_people) / len(by_people))
    assert powered.metrics["pope"]["accuracy"].value != pytest.approx(naive)
    assert powered.metrics["pope"]["accuracy"].method is not None
    assert powered.metrics["pope"]["yes_rate"].value == pytest.approx(sum(yes) / len(yes))
    assert invoke(["check", str(path)]) == 0
    capsys.readouterr()
    assert invoke(["leaderboard", str(path), "--out", str(tmp_path / "l.json")]) == 0
    assert "prediction-powered: pope.accuracy" in capsys.readouterr().out
