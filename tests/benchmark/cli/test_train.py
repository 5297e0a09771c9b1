"""`eidolon train` with a recipe that takes seconds: stop and resume, checkpoint, card, mistakes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from eidolon.benchmark.cli import invoke
from eidolon.benchmark.scenes.aligner_training import AlignerRecipe
from eidolon.benchmark.scenes.dialogue_training import Recipe
from eidolon.benchmark.scenes.judge_training import JudgeRecipe, JudgeTraining
from eidolon.benchmark.study.training.aligner_evaluation import AlignerEvaluation
from eidolon.benchmark.study.training.evaluation import Evaluation
from eidolon.benchmark.study.training.judge_evaluation import JudgeEvaluation
from eidolon.models.aligner.aligner import load_aligner
from eidolon.models.aligner.architecture import AlignerArchitecture
from eidolon.models.aligner.training import AlignerTraining, LossWeights
from eidolon.models.backends.transformers import TransformersModel
from eidolon.models.training.idefics3 import Architecture
from eidolon.models.training.t5 import T5Architecture
from eidolon.models.training.vl_training import Phase, TrainingConfig

TINY = Recipe(
    name="tiny",
    architecture=Architecture(
        image_size=32,
        patch_size=8,
        vision_width=32,
        vision_layers=1,
        text_width=32,
        text_layers=1,
        text_inner=32,
        vocabulary=400,
    ),
    training=TrainingConfig(
        phases=(
            Phase(name="cells", kind="cells", steps=3, batch_size=2),
            Phase(name="long", kind="dialogue", steps=3, batch_size=2),
        ),
        save_every=2,
        warmup=1,
    ),
)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.json"
    path.write_text(TINY.model_dump_json())
    return path


def test_a_model_is_trained_in_parts_and_gets_a_card(recipe: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = ["train", str(recipe), "--out", str(out), "--scenes", "2"]
    assert invoke([*command, "--steps", "4"]) == 0
    assert not (out / "checkpoint").exists()
    assert invoke(command) == 0
    checkpoint = out / "checkpoint"
    assert Recipe.model_validate_json((checkpoint / "recipe.json").read_text()) == TINY
    assert Evaluation.model_validate_json((checkpoint / "evaluation.json").read_text()).scenes == 2
    assert "6; 3 `cells` of 2 samples; 3 `long` of 2 samples" in (checkpoint / "README.md").read_text()
    assert TransformersModel(str(checkpoint)).describe()["unused_weights"] == 0
    assert [json.loads(line)["step"] for line in (out / "log.jsonl").read_text().splitlines()] == [
        1,
        2,
        3,
        4,
        5,
        6,
    ]


def test_two_processes_of_a_launcher_train_together(tmp_path: Path) -> None:
    recipe = TINY.model_copy(
        update={"training": TINY.training.model_copy(update={"phases": TINY.training.phases[:1]})}
    )
    path = tmp_path / "tiny.json"
    path.write_text(recipe.model_dump_json())
    alone, together = tmp_path / "alone", tmp_path / "together"
    assert invoke(["train", str(path), "--out", str(alone), "--scenes", "2", "--steps", "2"]) == 0
    launched = subprocess.run(
        [
            *(sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"),
            *("--main_process_port", "0", "-m", "eidolon.benchmark"),
            *("train", str(path), "--out", str(together), "--scenes", "2", "--steps", "2"),
        ],
        env={**os.environ, "ACCELERATE_USE_CPU": "true"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert launched.returncode == 0, launched.stderr
    assert launched.stderr.count("stopped after 2 of 3 steps; the same command continues") == 1
    assert [json.loads(line)["step"] for line in (together / "log.jsonl").read_text().splitlines()] == [1, 2]
    # In this phase all samples have the same weight, so the mean of two half batches is that of the batch.
    weights = [load_file(folder / "state" / "model.safetensors") for folder in (alone, together)]
    for name, tensor in weights[0].items():
        torch.testing.assert_close(tensor, weights[1][name], rtol=1e-3, atol=1e-5)


TINY_JUDGE = JudgeRecipe(
    name="tiny-judge",
    architecture=T5Architecture(width=32, inner=32, encoder_layers=1, vocabulary=300),
    training=JudgeTraining(short_steps=2, long_steps=2, tokens_per_batch=300, save_every=2, warmup=1),
)


def test_a_judge_is_trained_in_parts_too(tmp_path: Path) -> None:
    recipe, out = tmp_path / "judge.json", tmp_path / "out"
    recipe.write_text(TINY_JUDGE.model_dump_json())
    command = ["train", str(recipe), "--out", str(out), "--scenes", "2"]
    assert invoke([*command, "--steps", "3"]) == 0
    assert not (out / "checkpoint").exists()
    assert invoke(command) == 0
    checkpoint = out / "checkpoint"
    assert JudgeRecipe.model_validate_json((checkpoint / "recipe.json").read_text()) == TINY_JUDGE
    evaluation = JudgeEvaluation.model_validate_json((checkpoint / "evaluation.json").read_text())
    assert set(evaluation.denied_or_imagined) == {"train", "test"}
    assert "| descriptions of 40 to 250 words |" in (checkpoint / "README.md").read_text()
    whole = tmp_path / "whole"
    assert invoke(["train", str(recipe), "--out", str(whole), "--scenes", "2"]) == 0
    weights = [load_file(folder / "checkpoint" / "model.safetensors") for folder in (out, whole)]
    assert all(torch.equal(tensor, weights[1][name]) for name, tensor in weights[0].items())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "recipe.json: No such file"),
        ("{", "recipe.json:1: is not valid JSON"),
        ('{"name": "x"}', "recipe.json: training: Field required"),
        ('{"architecture": {"encoder_layers": 0}}', "recipe.json: name: Field required"),
        (
            TINY.model_dump_json().replace('"min_words"', '"words"').replace('"warmup":1', '"warmup":-1'),
            "warmup",
        ),
    ],
)
def test_a_wrong_recipe_is_a_user_error(
    text: str | None, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "recipe.json"
    if text is not None:
        path.write_text(text)
    assert invoke(["train", str(path), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_an_unknown_recipe_is_reported_with_the_closest_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(["train", "scenes-bse", "--out", str(tmp_path / "out")]) == 2
    assert "did you mean 'scenes-base'" in capsys.readouterr().err


def test_an_aligner_is_trained_in_parts_and_equals_one_without_a_break(tmp_path: Path) -> None:
    """The running partition functions and the order of the batches continue where they were."""
    losses = LossWeights(contrast="decomposable", presence=1.0)
    recipe = AlignerRecipe(
        name="tiny",
        aligner=AlignerArchitecture(height=32, width=32, channels=(8, 8, 8), embedding=16, buckets=256),
        training=AlignerTraining(batches=4, batch_size=4, pairs=8, losses=losses, warmup=1, save_every=2),
    )
    path = tmp_path / "tiny.json"
    path.write_text(recipe.model_dump_json())
    for out, steps in (("parts", ["--steps", "2"]), ("parts", []), ("whole", [])):
        command = ["train", str(path), "--out", str(tmp_path / out), "--scenes", "3", *steps]
        assert invoke(command) == 0
    checkpoint = tmp_path / "parts" / "checkpoint"
    assert AlignerRecipe.model_validate_json((checkpoint / "recipe.json").read_text()) == recipe
    evaluation = AlignerEvaluation.model_validate_json((checkpoint / "evaluation.json").read_text())
    assert evaluation.scenes == 3
    assert "4 of 4 pairs, out of 8 scenes" in (checkpoint / "README.md").read_text()
    assert load_aligner(checkpoint).embed_texts(["cup"]).shape == (1, 16)
    weights = [load_file(tmp_path / out / "checkpoint" / "model.safetensors") for out in ("parts", "whole")]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
