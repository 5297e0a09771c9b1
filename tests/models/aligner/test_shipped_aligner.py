"""The aligners that come with Eidolon: size, card, recipe, and what they find in scenes that nothing was tuned on."""

import json

import numpy as np
import pytest

from eidolon.benchmark.scenes.aligner_training import ALIGNER, AlignerRecipe
from eidolon.benchmark.scenes.sign_training import SIGNS, SignRecipe
from eidolon.benchmark.study.training.aligner_evaluation import AlignerEvaluation, evaluate_aligner
from eidolon.benchmark.study.training.sign_evaluation import SignEvaluation, evaluate_signs
from eidolon.models.aligner.aligner import SHIPPED, load_aligner
from eidolon.models.aligner.sign_reader import SHIPPED_SIGNS, load_sign_reader


def test_they_are_small_together() -> None:
    weights = [folder / "model.safetensors" for folder in (SHIPPED, SHIPPED_SIGNS)]
    assert sum(path.stat().st_size for path in weights if path.exists()) <= 4_000_000


def test_the_card_and_the_recipe_agree() -> None:
    assert AlignerRecipe.model_validate_json((SHIPPED / "recipe.json").read_text()) == ALIGNER
    evaluation = AlignerEvaluation.model_validate_json((SHIPPED / "evaluation.json").read_text())
    card = (SHIPPED / "README.md").read_text()
    for interval in (evaluation.precision, evaluation.recall, evaluation.image_to_text):
        assert str(interval) in card
    assert evaluation.seed != ALIGNER.data_seed


def test_it_finds_objects_and_captions() -> None:
    found = evaluate_aligner(load_aligner(), n=60, seed=424242, resamples=50)
    assert (found.recall.value or 0) >= 0.75
    assert (found.precision.value or 0) >= 0.9
    assert (found.image_to_text.value or 0) >= 0.8
    assert (found.text_to_image.value or 0) >= 0.8


def test_synonyms_are_near_their_names() -> None:
    """Both are in the captions of training. A word of none is not."""
    aligner = load_aligner()
    names = ["cat", "kitten", "fire hydrant", "hydrant", "car"]
    vectors = aligner.embed_texts(names)
    near = vectors @ vectors.T
    np.fill_diagonal(near, -1)
    assert [names[i] for i in near[[0, 2]].argmax(1)] == ["kitten", "hydrant"]


@pytest.mark.parametrize("name", ["config.json", "recipe.json", "evaluation.json"])
def test_the_files_are_json(name: str) -> None:
    assert json.loads((SHIPPED / name).read_text())


def test_the_card_and_the_recipe_of_the_reader_agree() -> None:
    assert SignRecipe.model_validate_json((SHIPPED_SIGNS / "recipe.json").read_text()) == SIGNS
    evaluation = SignEvaluation.model_validate_json((SHIPPED_SIGNS / "evaluation.json").read_text())
    card = (SHIPPED_SIGNS / "README.md").read_text()
    for interval in (evaluation.recall, evaluation.spelled, evaluation.false_acceptance):
        assert str(interval) in card


def test_the_reader_reads_names_that_were_not_in_training() -> None:
    """On other crops than those of its card."""
    found = evaluate_signs(load_sign_reader(), seed=424242, resamples=50)
    assert (found.recall.value or 0) >= 0.98
    assert all((kind.value or 0) >= 0.95 for kind in found.by_kind.values())
    assert (found.by_name.value or 0) >= 0.97
    assert (found.spelled.value or 0) >= 0.95
    assert (found.false_acceptance.value or 0) <= 0.02
