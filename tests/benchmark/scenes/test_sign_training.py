"""The model of signs: batches with hard negatives, training in parts, and its evaluation on new names."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file

from eidolon.benchmark.cli import invoke
from eidolon.benchmark.scenes.sign_names import PARTS, make_up, names_of
from eidolon.benchmark.scenes.sign_training import (
    SIGNS,
    SignBatches,
    SignRecipe,
    hard_negatives,
    training_names,
)
from eidolon.benchmark.study.training.sign_evaluation import (
    EXAMPLES,
    SignEvaluation,
    crops,
    prototypes,
    recognised,
)
from eidolon.models.aligner.proxy_training import ProxyTraining
from eidolon.models.aligner.sign_architecture import SignArchitecture

TINY = SignRecipe(
    name="tiny",
    aligner=SignArchitecture(height=16, width=64, channels=(4, 4, 8, 8), frame=16, letter=4),
    signs=ProxyTraining(
        aligned_batches=2, proxy_batches=2, classes=6, samples_each=2, warmup=1, save_every=1
    ),
)


@pytest.fixture(scope="module")
def hard() -> NDArray[np.bool_]:
    return hard_negatives(SIGNS)


def test_the_names_of_training_are_those_of_no_other_part() -> None:
    others = {name.name for part in ("validation", "test") for name in names_of(part)}
    assert not others & set(training_names())


def test_a_batch_brings_hard_negatives_and_the_first_phase_one_crop_of_each_name(
    hard: NDArray[np.bool_],
) -> None:
    batches = SignBatches(TINY, hard)
    first, second = batches(0, 0, 1), batches(2, 0, 1)
    assert len(first["spellings"]) == len(first["symbols"]) == 12
    labels = second["labels"].tolist()
    assert labels[0::2] == labels[1::2]
    classes = labels[0::2]
    assert len(set(classes)) == 6
    assert hard[np.ix_(classes, classes)].sum() >= 4
    assert torch.equal(second["pictures"], SignBatches(TINY, hard)(2, 0, 1)["pictures"])


def test_a_model_is_trained_in_parts_and_equals_one_without_a_break(tmp_path: Path) -> None:
    path = tmp_path / "tiny.json"
    path.write_text(TINY.model_dump_json())
    for out, steps in (("parts", ["--steps", "3"]), ("parts", []), ("whole", [])):
        assert invoke(["train", str(path), "--out", str(tmp_path / out), *steps]) == 0
    weights = [load_file(tmp_path / out / "checkpoint" / "model.safetensors") for out in ("parts", "whole")]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    checkpoint = tmp_path / "parts" / "checkpoint"
    assert SignRecipe.model_validate_json((checkpoint / "recipe.json").read_text()) == TINY
    evaluation = SignEvaluation.model_validate(json.loads((checkpoint / "evaluation.json").read_text()))
    assert set(evaluation.by_kind) == {"beginning", "letter", "order", "alone"}
    assert str(evaluation.recall) in (checkpoint / "README.md").read_text()


def test_made_up_names_are_no_classes() -> None:
    rng = np.random.default_rng(0)
    known = {name.name for part in PARTS for name in names_of(part)}
    assert not known & {make_up(rng) for _ in range(200)}


def test_a_new_name_is_one_more_prototype() -> None:
    """The vectors of other names stay as they are, and nothing is trained."""
    vectors = np.eye(3, dtype=np.float32)[[0, 0, 1, 1]]
    gallery = prototypes(vectors, 2)
    question = np.array([0.1, 0.1, 1.0], dtype=np.float32)
    assert float((gallery @ question).max()) < 0.2
    grown = np.vstack([gallery, prototypes(np.eye(3, dtype=np.float32)[[2, 2]], 2)])
    np.testing.assert_array_equal(grown[:2], gallery)
    assert int((grown @ question).argmax()) == 2


def test_questions_are_other_crops_than_the_gallery() -> None:
    gallery, questions = crops("test", "gallery", 0), crops("test", "question", 0)
    assert len(gallery) == len(questions) == EXAMPLES * len(names_of("test"))
    assert gallery[0].tobytes() != questions[0].tobytes()


class Thumbnails:
    """A reader whose vectors are crops reduced to a few pixels."""

    def embed_images(self, images: Sequence[Image.Image], /) -> NDArray[np.float32]:
        small = [np.asarray(image.convert("L").resize((12, 4)), dtype=np.float32).ravel() for image in images]
        return np.stack([one / np.linalg.norm(one) for one in small])

    def embed_texts(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        raise NotImplementedError

    def read(self, images: Sequence[Image.Image], /) -> Sequence[str]:
        raise NotImplementedError


def test_small_crops_are_compared_with_large_prototypes() -> None:
    names, reader = names_of("test"), Thumbnails()
    right, families = recognised(reader, 10)
    small, large = crops("test", "question", 0, 10), crops("test", "gallery", 0)
    assert {image.height for image in large} != {image.height for image in small}
    means = [reader.embed_images(large[4 * i : 4 * i + 4]).mean(0) for i in range(len(names))]
    for place in range(0, len(small), 37):
        question = reader.embed_images([small[place]])[0]
        cosines = [float(question @ mean) / float(np.linalg.norm(mean)) for mean in means]
        assert right[place] == (max(range(len(names)), key=cosines.__getitem__) == place // EXAMPLES)
        assert families[place] == names[place // EXAMPLES].family
