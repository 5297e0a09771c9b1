"""`eidolon compare`: run folders read back, refused where they are not alike, compared, shown and written."""

import io
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from rich.console import Console

from eidolon.benchmark import json_schemas
from eidolon.benchmark.report.compare_table import show
from eidolon.benchmark.verify.compare import CompareOptions, Comparison, compare
from tests.benchmark.conftest import OBJECTS, Cli, read_lines, write_lines
from tests.benchmark.tasks.score_files.test_answers import amber_files, coco, judge_files, pope_files

MORE = [
    *OBJECTS,
    {"image_id": 5, "objects": ["dog", "cat"]},
    {"image_id": 6, "objects": ["pizza"]},
]
TEXTS_A = {
    1: "A dog and a cat.",
    2: "A pizza, a cup and a fork.",
    3: "A car on the road.",
    4: "A car.",
    5: "A dog.",
    6: "Ein Hund und eine Katze sitzen auf dem Sofa und schauen aus dem Fenster.",
}
TEXTS_B = {1: "A dog.", 2: "A pizza and a fork.", 3: "An empty road.", 4: "A car and a bus.", 6: "A pizza."}


SMALL = ("--min-shared", 1)
"""These runs are small."""


def judged(cli: Cli, folder: Path, name: str, texts: dict[int, str], *options: object, **more: Any) -> Path:
    """Score descriptions into a run folder."""
    rows = [{"image_id": i, "response": text, **more} for i, text in texts.items()]
    responses = write_lines(folder / f"{name}.jsonl", rows)
    objects = write_lines(folder / "objects.jsonl", MORE)
    out = folder / name
    metric = () if {"--metric", "--judge"} & {*map(str, options)} else ("--metric", "chair,objects")
    given = ("--objects", objects, "--out", out, "--max-unscored", 1, *metric, *options)
    result = cli("score", "--responses", responses, *given)
    assert result.code == 0, result.err
    return out


@pytest.fixture
def pair(cli: Cli, tmp_path: Path) -> tuple[Path, Path]:
    return judged(cli, tmp_path, "a", TEXTS_A), judged(cli, tmp_path, "b", TEXTS_B)


def comparison_of(cli: Cli, *arguments: object) -> dict[str, Any]:
    result = cli("compare", *SMALL, *arguments, "--json")
    assert result.code == 0, result.err
    found: dict[str, Any] = json.loads(result.out)
    jsonschema.validate(found, json_schemas.read("comparison"))
    return found


def refused(cli: Cli, *arguments: object) -> str:
    result = cli("compare", *SMALL, *arguments)
    assert result.code == 2
    assert result.out == ""
    assert len(result.err.splitlines()) == 1
    return result.err


def test_values_are_those_of_the_shared_samples_alone(
    cli: Cli, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    found = comparison_of(cli, *pair)
    shared = (1, 2, 3, 4)
    for side, texts in (("a", TEXTS_A), ("b", TEXTS_B)):
        alone = judged(cli, tmp_path, f"{side}-shared", {i: texts[i] for i in shared})
        metrics = json.loads((alone / "scores.json").read_text())["metrics"]
        for family in ("chair", "objects"):
            for name, value in metrics[family].items():
                if name != "per_category":
                    assert found["metrics"][family][name][side] == value["value"], name
        dog = metrics["objects"]["per_category"]["dog"]["precision"]["value"]
        assert found["metrics"]["objects"]["per_category"]["dog"]["precision"][side] == dog
    assert found["clusters"] == 4
    counts = ("responses", "compared", "unscored", "unscored_in_other", "missing_in_other")
    assert [found["a"][name] for name in counts] == [6, 4, 1, 0, 1]
    assert [found["b"][name] for name in counts] == [5, 4, 0, 1, 0]
    words = found["metrics"]["chair"]["words"]
    assert (words["p"], words["outcome"], words["higher_is_better"]) == (None, None, None)
    assert words["ci"] is not None
    assert found["methods"]["correction"] == "Holm over 7 quantities"


def test_the_table_and_the_findings(cli: Cli, pair: tuple[Path, Path]) -> None:
    result = cli("compare", *SMALL, *pair)
    assert result.code == 0
    assert f"A: a ({pair[0]}), 4 of 6 responses compared: 1 unscored, 1 not in B" in result.out
    assert f"B: b ({pair[1]}), 4 of 5 responses compared: 1 unscored in A" in result.out
    assert "chair_i ↓" in result.out
    assert "No significant difference in chair.chair_i, " in result.out
    assert "the prompts are not known" in result.out


def test_narrow_terminals_lose_no_number(pair: tuple[Path, Path]) -> None:
    comparison = compare(*pair, CompareOptions(resamples=200, min_shared=1))
    value = comparison.metrics["objects"]["precision"]
    assert value.ci is not None
    for width in (32, 48, 80):
        console = Console(width=width, record=True, file=io.StringIO())
        show(comparison, console)
        text = console.export_text()
        table = text[text.index("95 % intervals") : text.index("No significant")]
        assert max(map(len, table.splitlines())) <= width
        assert "…" not in table
        for number in (value.a, value.b, value.mde):
            assert f"{number:.3f}" in table
        assert f"{value.ci[0]:+.3f} to {value.ci[1]:+.3f}" in table
        assert ("better neither" in table) == (width < 60)


def test_the_file_is_the_same_for_the_same_seed(cli: Cli, pair: tuple[Path, Path], tmp_path: Path) -> None:
    for name in ("one.json", "two.json"):
        assert cli("compare", *SMALL, *pair, "--out", tmp_path / name, "--seed", 3).code == 0
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()
    assert cli("compare", *SMALL, *pair, "--json", "--seed", 3).out == (tmp_path / "one.json").read_text()
    assert cli("compare", *SMALL, *pair, "--json", "--seed", 4).out != (tmp_path / "one.json").read_text()
    read = Comparison.model_validate_json((tmp_path / "one.json").read_text())
    assert read.to_json() == (tmp_path / "one.json").read_text()
    before = (pair[0] / "scores.json").read_bytes()
    assert "run folder" in refused(cli, *pair, "--out", pair[0] / "scores.json")
    assert "cannot be written" in refused(cli, *pair, "--out", tmp_path)
    assert (pair[0] / "scores.json").read_bytes() == before


def test_b_against_a_is_the_mirror_image(cli: Cli, pair: tuple[Path, Path]) -> None:
    there, back = comparison_of(cli, *pair), comparison_of(cli, *pair[::-1])
    assert (there["a"], there["b"]) == (back["b"], back["a"])
    for family, values in there["metrics"].items():
        for name, value in values.items():
            if name != "per_category":
                mirrored = back["metrics"][family][name]
                assert mirrored["p_holm"] == value["p_holm"]
                assert mirrored["difference"] == -value["difference"]


def test_chosen_metrics_are_tested_alone(cli: Cli, pair: tuple[Path, Path]) -> None:
    one = comparison_of(cli, *pair, "--metric", "objects.f05")
    everything = comparison_of(cli, *pair)
    assert {family: list(values) for family, values in one["metrics"].items()} == {"objects": ["f05"]}
    found = one["metrics"]["objects"]["f05"]
    assert found["p_holm"] == found["p"] == everything["metrics"]["objects"]["f05"]["p"]
    assert list(comparison_of(cli, *pair, "--metric", "chair")["metrics"]) == ["chair"]
    assert "did you mean 'objects'" in refused(cli, *pair, "--metric", "object")
    assert "objects has no 'f5'; did you mean" in refused(cli, *pair, "--metric", "objects.f5")


def test_forgetting_is_compared_where_it_is_asked_for(cli: Cli, tmp_path: Path) -> None:
    metrics = ("--metric", "objects,forgetting")
    runs = [judged(cli, tmp_path, name, texts, *metrics) for name, texts in (("a", TEXTS_A), ("b", TEXTS_B))]
    found = comparison_of(cli, *runs)
    assert [*found["metrics"]] == ["objects"]
    assert "forgetting is compared where it is asked for: --metric forgetting" in found["notes"]
    found = comparison_of(cli, *runs, "--metric", "forgetting")
    assert [*found["metrics"]] == ["forgetting"]
    assert found["metrics"]["forgetting"]["rate_early"]["a"] > 0
    assert not any("where it is asked for" in note for note in found["notes"])
    # Fits take time, so they are compared only by name.
    name = "adjusted_odds_ratio_per_100_words"
    assert name not in found["metrics"]["forgetting"]
    fitted = comparison_of(cli, *runs, "--metric", f"forgetting.{name}")["metrics"]["forgetting"]
    assert [*fitted] == [name]
    assert "it takes 20 of either kind" in fitted[name]["reason"]
    assert fitted[name]["p"] is None
    assert "has no 'minimum_detect" in refused(
        cli, *runs, "--metric", "forgetting.minimum_detectable_odds_ratio"
    )
    alone = [
        judged(cli, tmp_path, f"{name}-alone", texts, "--metric", "forgetting")
        for name, texts in (("a", TEXTS_A), ("b", TEXTS_B))
    ]
    assert [*comparison_of(cli, *alone)["metrics"]] == ["forgetting"]


def test_orders_by_size_are_compared(cli: Cli, tmp_path: Path) -> None:
    """Runs over pictures of known sizes: one names what is small first, the other what is large."""
    folders = []
    for name, order in (("small", 1), ("large", -1)):
        rows = []
        for row in read_lines(_scenes(cli, tmp_path)):
            objects = sorted(row["areas"], key=row["areas"].__getitem__)[::order]
            rows.append({"sample_id": row["sample_id"], "response": f"I see a {' and a '.join(objects)}."})
        responses = write_lines(tmp_path / f"{name}.jsonl", rows)
        told = cli(
            "run", "--model", f"replay/{responses}", "--limit", 9, "--out", tmp_path / name,
            "--prompt", f"{name}-first",
        )  # fmt: skip
        assert told.code == 0, told.err
        folders.append(next(path.parent for path in (tmp_path / name).glob("*/run.json")))
    found = comparison_of(cli, *folders, "--allow", "prompt", "--metric", "forgetting.size_order")["metrics"][
        "forgetting"
    ]["size_order"]
    assert (found["a"], found["b"], found["difference"]) == (1.0, -1.0, -2.0)


def _scenes(cli: Cli, tmp_path: Path) -> Path:
    """Return the samples of a run over nine scenes."""
    silent = write_lines(
        tmp_path / "silent.jsonl", [{"sample_id": f"scenes-0-{i}", "response": ""} for i in range(9)]
    )
    out = tmp_path / "silent"
    assert cli("run", "--model", f"replay/{silent}", "--limit", 9, "--out", out).code == 0
    return next(out.glob("*/samples.jsonl"))


def test_generations_pair_by_number_and_cluster_by_image(cli: Cli, tmp_path: Path) -> None:
    for name, generations in (("a", 3), ("b", 2)):
        rows = [
            {"image_id": i, "sample_id": f"s{i}", "generation": g, "response": text}
            for i, text in (TEXTS_A if name == "a" else TEXTS_B).items()
            if i < 5
            for g in range(generations)
        ]
        responses = write_lines(tmp_path / f"{name}.jsonl", rows)
        objects = write_lines(tmp_path / "objects.jsonl", MORE)
        result = cli("score", "--responses", responses, "--objects", objects, "--out", tmp_path / name)
        assert result.code == 0, result.err
    found = comparison_of(cli, tmp_path / "a", tmp_path / "b")
    assert (found["a"]["compared"], found["a"]["missing_in_other"], found["clusters"]) == (8, 4, 4)


def test_what_was_not_scored_alike_is_refused(cli: Cli, pair: tuple[Path, Path], tmp_path: Path) -> None:
    a = pair[0]
    narrowed = {"reading": "original", "categories": "dog,cat,car,bus,pizza,fork,cup"}
    for key, part in (("reading", "reading"), ("categories", "vocabulary")):
        b = judged(cli, tmp_path, f"b-{key}", TEXTS_B, "-J", f"{key}={narrowed[key]}")
        message = refused(cli, a, b)
        assert f"differ in {part} (" in message
        assert f"--allow {part}" in message
        for allowed in (part, "judge"):
            found = comparison_of(cli, a, b, "--allow", allowed)
            assert [(d["part"], d["allowed_by"]) for d in found["differs"]] == [(part, "flag")]
        refused(cli, a, b, "--allow", "prompt")
    assert "did you mean 'reading'" in refused(cli, *pair, "--allow", "readin")
    prompted = judged(cli, tmp_path, "b-prompt", TEXTS_B, prompt="Describe this image in detail.")
    assert "prompt (unknown / describe#" in refused(cli, a, prompted)
    both = judged(
        cli, tmp_path, "b-both", TEXTS_B, "-J", "reading=original", prompt="Describe this image in detail."
    )
    assert "--allow reading,prompt" in refused(cli, a, both)
    assert (
        "differs: prompt (by --allow): unknown"
        in cli("compare", *SMALL, a, both, "--allow", "reading,prompt").out
    )


def test_another_truth_of_a_shared_sample_is_refused(
    cli: Cli, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    rows = [{"image_id": i, "response": text} for i, text in TEXTS_B.items()]
    write_lines(other / "r.jsonl", rows)
    write_lines(other / "objects.jsonl", [*MORE[:1], {"image_id": 2, "objects": ["cup"]}, *MORE[2:]])
    arguments = ("--responses", other / "r.jsonl", "--objects", other / "objects.jsonl", "--out", other / "b")
    assert cli("score", *arguments).code == 0
    assert 'dataset (sample "2": ["fork", "pizza"] / ["cup"])' in refused(cli, pair[0], other / "b")
    assert comparison_of(cli, pair[0], other / "b", "--allow", "dataset")["differs"][0]["part"] == "dataset"


def test_a_run_over_fewer_samples_of_the_same_data_is_comparable(
    cli: Cli, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    few = judged(cli, tmp_path, "few", TEXTS_B, "--limit", 2)
    found = comparison_of(cli, pair[0], few)
    assert found["differs"] == []
    assert (found["b"]["compared"], found["a"]["missing_in_other"]) == (2, 3)
    assert any("only the shared samples were compared" in note for note in found["notes"])


def test_mistakes(cli: Cli, pair: tuple[Path, Path], tmp_path: Path) -> None:
    a, b = pair
    assert "same run folder" in refused(cli, a, tmp_path / "b/../a")
    assert "no such folder" in refused(cli, a, tmp_path / "nowhere")
    assert "is a file, not a run folder" in refused(cli, a / "run.json", b)
    assert "holds 2 runs" in refused(cli, a, tmp_path)
    (tmp_path / "empty").mkdir()
    assert "holds no run.json" in refused(cli, a, tmp_path / "empty")
    assert "--resamples -1" in refused(cli, a, b, "--resamples", -1)
    others = judged(cli, tmp_path, "others", {5: "A dog."})
    assert "share no scored sample" in refused(cli, b, others)
    pope = tmp_path / "pope"
    assert cli(*pope_files(tmp_path), "--out", pope).code == 0
    assert "have no metric in common (chair, objects; pope)" in refused(cli, a, pope)
    (b / "scores.json").rename(b / "away")
    assert "is not a finished run: it holds no scores.json" in refused(cli, a, b)
    (b / "away").rename(b / "scores.json")
    lines = (b / "judgements.jsonl").read_text().splitlines()
    (b / "judgements.jsonl").write_text("\n".join(lines[:-1]) + "\n")
    assert "judgements.jsonl is not of the responses.jsonl beside it" in refused(cli, a, b)
    (b / "judgements.jsonl").write_text("\n".join([lines[0], "{}", *lines[2:]]) + "\n")
    assert "judgements.jsonl:2: is not a line of this version" in refused(cli, a, b)


def test_files_that_were_changed_since_are_noticed(cli: Cli, pair: tuple[Path, Path]) -> None:
    rows = read_lines(pair[1] / "judgements.jsonl")
    rows[3]["mentions"] = []
    write_lines(pair[1] / "judgements.jsonl", rows)
    message = refused(cli, *pair)
    assert "scores.json: chair.chair_i is 0.1" in message
    assert "and 0 from the files beside it; score the responses again" in message
    rows[0]["mentions"][0]["verdict"] = "hallucinated"
    write_lines(pair[1] / "judgements.jsonl", rows)
    assert "by its truth it is 'grounded'" in refused(cli, *pair)


def test_equal_runs_differ_by_nothing(cli: Cli, pair: tuple[Path, Path], tmp_path: Path) -> None:
    again = judged(cli, tmp_path, "again", TEXTS_A)
    found = comparison_of(cli, pair[0], again)
    assert any("do not differ in any shared sample" in note for note in found["notes"])
    assert {v["p"] for f in found["metrics"].values() for n, v in f.items() if n != "per_category"} <= {
        1,
        None,
    }
    assert "A is better" not in cli("compare", *SMALL, pair[0], again).out


def test_another_version_is_a_warning(cli: Cli, pair: tuple[Path, Path]) -> None:
    scores = pair[1] / "scores.json"
    scores.write_text(scores.read_text().replace("eidolon=", "eidolon=9.9."))
    record = json.loads((pair[1] / "run.json").read_text())
    record["signature"]["eidolon"] = "9.9.0"
    (pair[1] / "run.json").write_text(json.dumps(record))
    result = cli("compare", *SMALL, *pair)
    assert result.code == 0
    assert "warning: scored by different versions of Eidolon" in result.out


def test_one_image_has_no_interval(cli: Cli, tmp_path: Path) -> None:
    a, b = (judged(cli, tmp_path, name, {1: text}) for name, text in (("a", "A dog."), ("b", "A cat.")))
    result = cli("compare", *SMALL, a, b)
    assert "no interval: it takes at least two images" in result.out
    assert "better in" not in result.out


def test_runs_of_models(cli: Cli, picture_folder: Path, tmp_path: Path) -> None:
    wrong, right = (
        write_lines(tmp_path / f"{name}.jsonl", [{"image_id": i, "response": text} for i in range(10)])
        for name, text in (("wrong", "A cup, a fork and a car."), ("right", "A dog."))
    )
    for name, file, options in (("a", wrong, ()), ("b", right, ("--temperature", 0))):
        result = cli(
            "run", "--model", f"replay/{file}", "--dataset", f"folder/{picture_folder}", "--out",
            tmp_path / name, *options,
        )  # fmt: skip
        assert result.code == 0, result.err
    a, b = (next((tmp_path / name).glob("*/run.json")).parent for name in "ab")
    found = comparison_of(cli, a, b)
    assert [(d["part"], d["allowed_by"]) for d in found["differs"]] == [
        ("model", "nature"),
        ("decoding", "nature"),
    ]
    assert found["b"]["model"]["name"] == f"replay/{right}"
    assert found["metrics"]["chair"]["chair_i"]["outcome"] == "b_better"
    assert "B is better in chair.chair_i" in cli("compare", *SMALL, a, b).out
    rows = read_lines(b / "samples.jsonl")
    write_lines(b / "samples.jsonl", [{**row, "image_sha256": "0" * 64} for row in rows])
    assert "dataset (sample" in refused(cli, a, b)


HAND_TRUTH = ("yes", "no")
HAND_RIGHT = {"a": ((1, 1), (1, 0), (0, 0), (1, 0)), "b": ((1, 1), (1, 1), (1, 0), (1, 1))}
"""The example of docs/reference/metrics/comparison.md: two questions to each of four images, right or wrong."""


def by_hand(cli: Cli, tmp_path: Path) -> tuple[Path, Path]:
    questions = write_lines(
        tmp_path / "questions.jsonl",
        [
            {"question_id": f"{i}-{j}", "image": f"{i}.jpg", "text": f"Is there a {label}?", "label": label}
            for i in range(4)
            for j, label in enumerate(HAND_TRUTH)
        ],
    )
    folders = []
    for name, right in HAND_RIGHT.items():
        answers = write_lines(
            tmp_path / f"{name}.jsonl",
            [
                {"answer": truth if ok else {"yes": "no", "no": "yes"}[truth]}
                for image in right
                for truth, ok in zip(HAND_TRUTH, image, strict=True)
            ],
        )
        folders.append(tmp_path / name)
        arguments = ("--questions", questions, "--answers", answers, "--out", folders[-1])
        assert cli("score", "--metric", "pope", *arguments).code == 0
    return folders[0], folders[1]


def test_the_documented_example(cli: Cli, tmp_path: Path) -> None:
    found = comparison_of(cli, *by_hand(cli, tmp_path), "--metric", "pope.accuracy")
    accuracy = found["metrics"]["pope"]["accuracy"]
    assert (accuracy["a"], accuracy["b"], accuracy["difference"]) == (4 / 8, 7 / 8, 3 / 8)
    assert accuracy["ci"] == [1 / 8, 4 / 8]
    assert accuracy["p"] == pytest.approx(1 / 4, abs=0.015)
    assert accuracy["p_holm"] == accuracy["p"]
    assert accuracy["mde"] == pytest.approx(0.303, abs=0.005)
    assert accuracy["mcnemar"] == {"only_a": 0, "only_b": 3, "exact": 0.25, "mid": 0.125}
    assert accuracy["outcome"] == "no_significant_difference"
    assert any("McNemar" in note for note in found["notes"])
    everything = comparison_of(cli, *by_hand(cli, tmp_path))
    assert everything["methods"]["correction"] == "Holm over 5 quantities"
    assert everything["metrics"]["pope"]["accuracy"]["p_holm"] == 1


def test_policies_and_questions_must_agree(cli: Cli, tmp_path: Path) -> None:
    arguments = pope_files(tmp_path)
    for policy in ("all", "strict"):
        assert cli(*arguments, "--policy", policy, "--out", tmp_path / policy).code == 0
    message = refused(cli, tmp_path / "all", tmp_path / "strict")
    assert "policy (pope(policy=original) / pope(policy=strict))" in message
    found = comparison_of(cli, tmp_path / "all", tmp_path / "strict", "--allow", "policy")
    accuracy = found["metrics"]["pope"]["accuracy"]
    assert (accuracy["a"], accuracy["b"]) == (3 / 6, 2 / 6)
    assert accuracy["p"] is None
    assert "no test: the two were computed by different rules" in accuracy["reason"]
    questions = read_lines(tmp_path / "questions.json")
    questions[2]["text"] = "Is there another thing?"
    write_lines(tmp_path / "questions.json", questions)
    rows = read_lines(tmp_path / "answers.jsonl")
    rows[2]["question"] = "Is there another thing?"
    write_lines(tmp_path / "answers.jsonl", rows)
    assert cli(*arguments, "--out", tmp_path / "asked").code == 0
    assert 'dataset (sample "3": ["Is there a thing 2?"' in refused(cli, tmp_path / "all", tmp_path / "asked")


@pytest.mark.parametrize("mode", ["compat", "fixed"])
def test_amber(cli: Cli, tmp_path: Path, mode: str) -> None:
    arguments = (*amber_files(tmp_path), "--mode", mode)
    assert cli(*arguments, "--out", tmp_path / "a").code == 0
    rows = json.loads((tmp_path / "answers.json").read_text())
    # The dog is left out, so that one of three objects is covered and three of four nouns are wrong.
    (tmp_path / "answers.json").write_text(
        json.dumps([{**row, "response": row["response"].replace("his dog", "a cat")} for row in rows])
    )
    assert cli(*arguments, "--out", tmp_path / "b").code == 0
    found = comparison_of(cli, tmp_path / "a", tmp_path / "b")
    assert found["unit"] == "items"
    for side in "ab":
        metrics = json.loads((tmp_path / side / "scores.json").read_text())["metrics"]["amber"]
        for name, value in metrics.items():
            assert found["metrics"]["amber"][name][side] == value["value"], name
    cover = found["metrics"]["amber"]["cover"]
    assert (cover["a"], cover["b"]) == pytest.approx((2 / 3, 1 / 3), abs=0.001)
    assert found["metrics"]["amber"]["accuracy"]["mcnemar"]["only_a"] == 0
    assert "mcnemar" not in found["metrics"]["amber"]["cover"]
    rows = read_lines(tmp_path / "b/free_form.jsonl")
    write_lines(tmp_path / "b/free_form.jsonl", [{**row, "true_objects": None} for row in rows])
    assert "into a new folder" in refused(cli, tmp_path / "a", tmp_path / "b")


@pytest.mark.parametrize("threshold", ["9,5", "5"])
def test_throne(cli: Cli, tmp_path: Path, threshold: str) -> None:
    files = judge_files(tmp_path)
    arguments = ("score", "--metric", "throne", "--annotations", coco(tmp_path / "coco.json"))
    assert cli(*arguments, "--answers", *files, "--threshold", threshold, "--out", tmp_path / "a").code == 0
    for file in files:
        answers = json.loads(file.read_text())
        del answers["3"]
        answers["2"] = ["no", "yes", "no", "no"] * 3
        file.write_text(json.dumps(answers))
    assert cli(*arguments, "--answers", *files, "--threshold", threshold, "--out", tmp_path / "b").code == 0
    found = comparison_of(cli, tmp_path / "a", tmp_path / "b")
    assert (found["a"]["missing_in_other"], found["clusters"]) == (1, 2)
    recall = found["metrics"]["throne"]["image_recall"]
    # The first image has its dog in both; of the second A names the dog and B the cat, both true.
    first = 1 if threshold.startswith("9") else 1 / 2
    assert (recall["a"], recall["b"]) == pytest.approx(((first + 1 / 2) / 2,) * 2)
    dog = found["metrics"]["throne"]["per_category"]["dog"]["recall"]
    assert (dog["a"], dog["b"], dog["p"]) == (1, 1 / 2, None)
    assert "mde" in dog


def test_detection_compares_judges(cli: Cli, tmp_path: Path) -> None:
    rows = [
        {
            "image_id": i,
            "words": ["A", "dog", "and", "a", thing],
            "human_hallucinated": [False, False, False, False, thing == "cat"],
            "references": ["A dog on grass."],
        }
        for i, thing in enumerate(("cat", "lawn", "cat"))
    ]
    responses = write_lines(tmp_path / "r.jsonl", rows)
    for judge in ("lexicon", "word-overlap"):
        arguments = ("--responses", responses, "--judge", judge, "--out", tmp_path / judge)
        assert cli("score", "--metric", "detection", *arguments).code == 0
    found = comparison_of(cli, tmp_path / "lexicon", tmp_path / "word-overlap")
    assert {d["part"]: d["allowed_by"] for d in found["differs"]}["judge"] == "nature"
    precision = found["metrics"]["detection"]["word_precision"]
    assert (precision["a"], precision["b"]) == (1, pytest.approx(2 / 3))
    for line in read_lines(tmp_path / "lexicon/words.jsonl"):
        jsonschema.validate(line, json_schemas.read("words"))
    (tmp_path / "lexicon/words.jsonl").unlink()
    assert "holds no words.jsonl" in refused(cli, tmp_path / "lexicon", tmp_path / "word-overlap")


def test_metrics_that_are_not_installed_are_named(cli: Cli, pair: tuple[Path, Path]) -> None:
    for folder in pair:
        scores = json.loads((folder / "scores.json").read_text())
        scores["metrics"]["mine"] = {"x": {"value": 1, "ci": None, "n": 1, "higher_is_better": True}}
        (folder / "scores.json").write_text(json.dumps(scores))
    found = comparison_of(cli, *pair)
    assert f"{pair[0]}: mine cannot be compared: no metric of this name is installed" in found["notes"]
    assert list(found["metrics"]) == ["chair", "objects"]


def test_reference_pope_runs(cli: Cli, reference_data: Path, tmp_path: Path) -> None:
    """The published answers of two splits: present objects are asked about in both, absent ones differ."""
    for split in ("random", "popular"):
        result = cli(
            "score", "--metric", "pope", "--out", tmp_path / split,
            "--questions", reference_data / f"pope/coco_pope_{split}.json",
            "--answers", reference_data / f"pope/answers_{split}.jsonl", "--resamples", 0,
        )  # fmt: skip
        assert result.code == 0, result.err
    expected = json.loads((reference_data / "expected/pope.json").read_text())
    arguments = (tmp_path / "random", tmp_path / "popular", "--resamples", 300)
    assert "differ in dataset" in refused(cli, *arguments)
    found = comparison_of(cli, *arguments, "--allow", "dataset")
    assert (found["a"]["compared"], found["clusters"]) == (3000, 500)
    accuracy = found["metrics"]["pope"]["accuracy"]
    for side, split in (("a", "random"), ("b", "popular")):
        assert accuracy[side] == pytest.approx(reference_accuracy(expected, split), abs=1e-6)


def reference_accuracy(expected: dict[str, Any], split: str) -> float:
    return float(expected[split]["accuracy"])


PROBED = """
class Model:
    def generate(self, requests):
        for request in requests:
            yield "{answer}" if "cat" in request.prompt else "Yes"
"""


def test_probe_runs(cli: Cli, picture_folder: Path, tmp_path: Path) -> None:
    rows = read_lines(picture_folder / "objects.jsonl")
    rows[0]["objects"] = ["dog", "cat", "cup"]
    write_lines(picture_folder / "objects.jsonl", rows)
    for name, answer, options in (
        ("a", "Yes", ()),
        ("b", "No", ()),
        ("one", "No", ("--split", "popular", "--policy", "all")),
        ("strict", "No", ("--policy", "strict")),
    ):
        (tmp_path / f"{name}.py").write_text(PROBED.format(answer=answer))
        result = cli(
            "run", "--task", "probe", "--dataset", f"folder/{picture_folder}", "--pairs", 1, "--min-objects", 1,
            "--model", f"python/{tmp_path}/{name}.py:Model", "--out", tmp_path / name, *options,
        )  # fmt: skip
        assert result.code == 0, result.err
    a, b, one, strict = (
        next((tmp_path / name).glob("*/run.json")).parent for name in ("a", "b", "one", "strict")
    )
    found = comparison_of(cli, a, b)
    assert [difference["part"] for difference in found["differs"]] == ["model"]
    rows = [(row["truth"], "cat" in r["prompt"]) for row, r in zip(
        read_lines(a / "answers.jsonl"), read_lines(a / "responses.jsonl"), strict=True
    )]  # fmt: skip
    accuracy = found["metrics"]["pope"]["accuracy"]
    assert accuracy["a"] == pytest.approx(sum(truth == "yes" for truth, _ in rows) / len(rows))
    assert accuracy["mcnemar"]["only_a"] == sum(truth == "yes" and cat for truth, cat in rows)
    assert accuracy["mcnemar"]["only_b"] == sum(truth == "no" and cat for truth, cat in rows)
    # A run over one split has its questions in common with one over all.
    popular = comparison_of(cli, a, one)
    assert popular["b"]["missing_in_other"] == 0
    assert 0 < popular["a"]["compared"] < popular["a"]["responses"]
    assert "policy (pope(policy=original) / pope(policy=strict))" in refused(cli, b, strict)


def test_votes_of_a_judge_of_ours(cli: Cli, tiny_judges: dict[str, Path], tmp_path: Path) -> None:
    models = "models=" + ",".join(f"transformers/{path}" for path in tiny_judges.values())
    options = ("--judge", "qa", "-J", models, "-J", "categories=dog,cat,car,pizza,fork")
    a, b = (
        judged(cli, tmp_path, name, {i: texts[i] for i in (1, 2, 3, 4)}, *options)
        for name, texts in (("a", TEXTS_A), ("b", TEXTS_B))
    )
    found = comparison_of(cli, a, b)
    for side, folder in (("a", a), ("b", b)):
        metrics = json.loads((folder / "scores.json").read_text())["metrics"]
        assert list(metrics) == ["throne", "objects"]
        for family, values in metrics.items():
            for name, value in values.items():
                if name != "per_category":
                    assert found["metrics"][family][name][side] == pytest.approx(value["value"]), name
    few = judged(cli, tmp_path, "few", {1: TEXTS_B[1], 2: TEXTS_B[2]}, *options, "-J", "threshold=4")
    assert "differ in judge (qa(models=" in refused(cli, a, few)
    assert comparison_of(cli, a, few, "--allow", "judge")["metrics"]["throne"]["image_f1"]["p"] is None


def test_nouns_of_an_open_vocabulary(cli: Cli, tmp_path: Path) -> None:
    a, b = (
        judged(cli, tmp_path, name, {i: texts[i] for i in (1, 2, 3, 4)}, "--judge", "nouns")
        for name, texts in (("a", TEXTS_A), ("b", TEXTS_B))
    )
    found = comparison_of(cli, a, b)
    for side, folder in (("a", a), ("b", b)):
        value = json.loads((folder / "scores.json").read_text())["metrics"]["objects"]["f05"]["value"]
        assert found["metrics"]["objects"]["f05"][side] == value
    lexicon = judged(cli, tmp_path, "lexicon", {i: TEXTS_B[i] for i in (1, 2, 3, 4)})
    message = refused(cli, a, lexicon)
    assert "vocabulary (" in message
    assert message.strip().endswith("--allow judge")
