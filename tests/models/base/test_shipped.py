"""The shipped checkpoints: size, model cards, loading, and how well they describe scenes."""

import json
from pathlib import Path

import pytest

from eidolon.benchmark.scenes.dialogue_training import RECIPES, Recipe
from eidolon.benchmark.study.training.evaluation import Evaluation, evaluate_checkpoint
from eidolon.models.base.shipped import shipped_models

SHIPPED = shipped_models()
NAMES = ["scenes-base", "scenes-small"]


def test_they_exist_and_are_small() -> None:
    assert list(SHIPPED) == NAMES
    assert sum((path / "model.safetensors").stat().st_size for path in SHIPPED.values()) <= 10_000_000


@pytest.mark.parametrize("name", NAMES)
def test_the_card_and_the_recipe_agree(name: str) -> None:
    folder = SHIPPED[name]
    recipe = Recipe.model_validate_json((folder / "recipe.json").read_text())
    assert recipe == RECIPES[name]
    card = (folder / "README.md").read_text()
    assert f"eidolon train {name}" in card
    evaluation = Evaluation.model_validate_json((folder / "evaluation.json").read_text())
    for interval in (evaluation.recall, evaluation.chair_i, evaluation.yes_no_accuracy):
        assert str(interval) in card
    assert evaluation.seed != recipe.data_seed


@pytest.mark.parametrize("name", NAMES)
def test_transformers_alone_loads_them(name: str) -> None:
    from transformers import AutoModelForImageTextToText, AutoProcessor

    model, info = AutoModelForImageTextToText.from_pretrained(SHIPPED[name], output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert type(AutoProcessor.from_pretrained(SHIPPED[name])).__name__ == "Idefics3Processor"
    assert type(model).__name__ == "Idefics3ForConditionalGeneration"
    assert not list(Path(SHIPPED[name]).glob("*.bin"))


def test_the_better_one_names_objects_errs_and_uses_the_image() -> None:
    evaluation = evaluate_checkpoint(SHIPPED["scenes-base"], n=100, seed=424242)
    assert (evaluation.recall.value or 0) >= 0.85
    assert 0.02 <= (evaluation.chair_i.value or 0) <= 0.30
    assert (evaluation.words.value or 0) >= 60
    assert (evaluation.yes_no_accuracy.value or 0) >= 0.8
    assert (evaluation.chair_i_rise_shuffled.ci or (0, 0))[0] >= 0.25
    assert (evaluation.recall_drop_shuffled.ci or (0, 0))[0] >= 0.4
    assert evaluation.truncated == 0


def test_the_recorded_results_have_the_same_shape() -> None:
    for path in SHIPPED.values():
        assert json.loads((path / "evaluation.json").read_text())["scenes"] >= 200
