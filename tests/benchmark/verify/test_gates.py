"""Gates for CI: conditions on scores and on comparisons, their exit codes, and their reasons."""

import json
import math
import operator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eidolon.benchmark.settings.conditions import parse_condition
from tests.benchmark.conftest import Cli, write_lines

TRUTH = [{"image_id": i, "objects": ["dog"]} for i in range(12)]


def scored(
    cli: Cli, folder: Path, texts: list[str], *options: object, name: str = "run"
) -> tuple[int, str, str]:
    responses = write_lines(
        folder / f"{name}.jsonl", [{"image_id": i, "response": text} for i, text in enumerate(texts)]
    )
    objects = write_lines(folder / "objects.jsonl", TRUTH)
    result = cli(
        "score", "--responses", responses, "--objects", objects, "--out", folder / name,
        "--metric", "chair,objects", *options,
    )  # fmt: skip
    return result.code, result.out, result.err


HALF_WRONG = ["A dog and a cat."] * 6 + ["A dog."] * 6
"""CHAIR_i is 6/18."""


@pytest.mark.parametrize(
    ("condition", "code"),
    [
        ("chair_i<=0.34", 0),
        ("chair.chair_i <= 0.3", 4),
        ("chair_i<0.34,chair_s==0.5", 0),
        ("chair_s>0.5", 4),
        ("chair_s>=0.5", 0),
        ("chair_i>=1e0", 4),
        ("words>=1", 0),
        ("CHAIR_i<=0.3", 4),
        ("F0.5>=0.1", 0),
        ("objects.F0.5>=0.99", 4),
    ],
)
def test_a_condition_decides_the_exit_code(cli: Cli, tmp_path: Path, condition: str, code: int) -> None:
    found, out, err = scored(cli, tmp_path, HALF_WRONG, "--require", condition)
    assert found == code, err
    assert (tmp_path / "run" / "scores.json").is_file()
    if code:
        assert "failed, it is 0." in err
        assert condition in err
    else:
        assert "met, it is" in out


def test_all_conditions_must_hold(cli: Cli, tmp_path: Path) -> None:
    code, out, err = scored(
        cli, tmp_path, HALF_WRONG, "--require", "chair_i<=0.1", "--require", "chair_s<=0.9"
    )
    assert code == 4
    assert "chair_i<=0.1: failed, it is 0.333333" in err
    assert "chair_s<=0.9: met, it is 0.5" in out


def test_an_undefined_score_fails_with_its_reason(cli: Cli, tmp_path: Path) -> None:
    code, _, err = scored(cli, tmp_path, ["Nothing to see."] * 3, "--require", "chair_i<=0.9")
    assert code == 4
    reason = json.loads((tmp_path / "run" / "scores.json").read_text())["metrics"]["chair"]["chair_i"][
        "reason"
    ]
    assert reason in err


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("chair_i", "--require: expected NAME<=NUMBER"),
        ("chair_i=<0.1", "--require: expected NAME<=NUMBER"),
        ("chair_i<=15%", "--require: expected NAME<=NUMBER"),
        ("chair_i<=nan", "--require: expected NAME<=NUMBER"),
        ("", "--require: expected NAME<=NUMBER"),
        ("chair_i<=15", "chair_i<=15: chair.chair_i is between 0 and 1; write 0.15 for 15 %"),
        ("words>=-1", "words>=-1: chair.words is between 0 and inf"),
        ("chiar_i<=0.1", "--require chiar_i<=0.1: no score is called 'chiar_i'; did you mean 'chair_i'"),
        (
            "recall>=0.1",
            "--require recall>=0.1: recall is in several metrics; write chair.recall or objects.recall",
        ),
        ("pope.accuracy>=0.1", "--require pope.accuracy>=0.1: no score is called 'pope.accuracy'"),
    ],
)
def test_a_bad_condition_is_refused_before_any_work(
    cli: Cli, tmp_path: Path, condition: str, message: str
) -> None:
    code, out, err = scored(cli, tmp_path, HALF_WRONG, "--require", condition)
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_a_failed_condition_counts_before_too_much_unscored(cli: Cli, tmp_path: Path) -> None:
    files = (
        write_lines(
            tmp_path / "r.jsonl",
            [{"image_id": i, "response": None, "error": "down"} for i in range(6)]
            + [{"image_id": i, "response": "A cat."} for i in range(6, 12)],
        ),
        write_lines(tmp_path / "o.jsonl", TRUTH),
    )
    given = ("score", "--responses", files[0], "--objects", files[1], "--metric", "chair")
    result = cli(*given, "--out", tmp_path / "a", "--require", "chair_i<=0.5")
    assert result.code == 4
    assert "more than --max-unscored" in result.err
    assert "chair_i<=0.5: failed" in result.err
    assert cli(*given, "--out", tmp_path / "b", "--require", "chair_i<=1").code == 3


def test_names_of_answers_are_looked_up_afterwards(cli: Cli, tmp_path: Path) -> None:
    questions = write_lines(
        tmp_path / "q.json",
        [{"question_id": 1, "image": "a.jpg", "text": "Is there a dog in the image?", "label": "yes"}],
    )
    answers = write_lines(tmp_path / "a.jsonl", [{"question_id": 1, "answer": "Yes."}])
    files = ("score", "--metric", "pope", "--questions", questions, "--answers", answers)
    assert cli(*files, "--out", tmp_path / "x", "--require", "accuracy==1").code == 0
    result = cli(*files, "--out", tmp_path / "y", "--require", "acuracy==1")
    assert result.code == 4
    assert "no score is called 'acuracy'; did you mean 'accuracy'" in result.err


def test_a_run_of_models_is_gated_model_by_model(cli: Cli, tmp_path: Path) -> None:
    for name, text in (("good", "A cup."), ("bad", "A cat.")):
        write_lines(
            tmp_path / f"{name}.jsonl", [{"image_id": f"scenes-0-{i}", "response": text} for i in range(4)]
        )
    models = [part for n in ("good", "bad") for part in ("--model", f"replay/{tmp_path / n}.jsonl")]
    out = tmp_path / "out"
    result = cli("run", *models, "--limit", 4, "--out", out, "--metric", "chair", "--require", "words<=1")
    assert result.code == 4
    assert result.err.count("words<=1: failed, it is 2") == 2


@pytest.fixture
def pair(cli: Cli, tmp_path: Path) -> tuple[Path, Path]:
    for name, texts in (("good", ["A dog."] * 12), ("bad", ["A dog, a cat and a car."] * 11 + ["A dog."])):
        assert scored(cli, tmp_path, texts, name=name)[0] == 0
    return tmp_path / "good", tmp_path / "bad"


@pytest.mark.parametrize(
    ("wanted", "code", "said"),
    [
        (["chair_i"], 4, "chair.chair_i not worse: failed, B - A is +0.6"),
        (["objects.recall"], 0, "objects.recall not worse: met"),
        (["objects.recall", "objects.f05"], 4, "objects.f05 not worse: failed"),
        (["objects.recall,objects.f05"], 4, "objects.f05 not worse: failed"),
        (["chair_i:0.9"], 4, "A is better"),
    ],
)
def test_a_worse_run_fails(
    cli: Cli, pair: tuple[Path, Path], wanted: list[str], code: int, said: str
) -> None:
    flags = [part for name in wanted for part in ("--fail-if-worse", name)]
    result = cli("compare", *pair, *flags)
    assert result.code == code
    assert said in (result.err if code else result.out)


def test_a_better_run_passes(cli: Cli, pair: tuple[Path, Path]) -> None:
    result = cli("compare", *reversed(pair), "--fail-if-worse", "chair_i")
    assert result.code == 0
    assert "chair.chair_i not worse: met" in result.out
    assert "B is better" in result.out


def test_a_margin_fails_without_significance(cli: Cli, tmp_path: Path) -> None:
    for name, texts in (("a", ["A dog."] * 12), ("b", ["A dog."] * 11 + ["A dog and a cat."])):
        assert scored(cli, tmp_path, texts, name=name)[0] == 0
    both = tmp_path / "a", tmp_path / "b"
    assert cli("compare", *both, "--fail-if-worse", "chair_i").code == 0
    assert cli("compare", *both, "--fail-if-worse", "chair_i:0.1").code == 0
    result = cli("compare", *both, "--fail-if-worse", "chair_i:0.01")
    assert result.code == 4
    assert "worse by more than the margin of 0.01" in result.err


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("chiar_i", "no score is called 'chiar_i'; did you mean 'chair_i'"),
        ("recall", "write chair.recall or objects.recall"),
        ("words", "neither direction of chair.words is better"),
        ("chair_i:x", "the margin must be a number of at least 0"),
        ("chair_i:-1", "the margin must be a number of at least 0"),
    ],
)
def test_what_cannot_be_worse_is_refused(
    cli: Cli, pair: tuple[Path, Path], wanted: str, message: str
) -> None:
    result = cli("compare", *pair, "--fail-if-worse", wanted)
    assert result.code == 2
    assert message in result.err


def test_what_was_not_tested_fails(cli: Cli, pair: tuple[Path, Path]) -> None:
    result = cli("compare", *pair, "--resamples", 0, "--fail-if-worse", "chair_i")
    assert result.code == 4
    assert "nothing was tested" in result.err


def test_the_comparison_alone_is_on_stdout_as_json(cli: Cli, pair: tuple[Path, Path]) -> None:
    result = cli("compare", *pair, "--json", "--fail-if-worse", "objects.recall")
    assert json.loads(result.out)["clusters"] == 12


def test_few_shared_images_are_refused_and_warned_of(cli: Cli, tmp_path: Path) -> None:
    for count, name in ((9, "a"), (12, "b"), (12, "c")):
        assert scored(cli, tmp_path, ["A dog."] * count, name=name)[0] == 0
    few = tmp_path / "a", tmp_path / "b"
    result = cli("compare", *few)
    assert result.code == 2
    assert "share 9 scored images, fewer than 10" in result.err
    assert "--min-shared 9" in result.err
    assert cli("compare", *few, "--min-shared", 9).code == 0
    enough = cli("compare", tmp_path / "b", tmp_path / "c")
    assert enough.code == 0
    assert "warning: the runs share only 12 images" in enough.out


OPERATORS = {"<=": operator.le, "<": operator.lt, ">=": operator.ge, ">": operator.gt}


@given(st.sampled_from([*OPERATORS]), st.floats(-2, 2), st.floats(-2, 2))
def test_a_condition_is_its_operator(sign: str, limit: float, value: float) -> None:
    condition = parse_condition(f"family.name {sign} {limit!r}")
    assert condition.holds(value) == OPERATORS[sign](value, limit)
    assert parse_condition(f"x=={limit!r}").holds(value) == math.isclose(
        value, limit, rel_tol=1e-9, abs_tol=1e-12
    )
