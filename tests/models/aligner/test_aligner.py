"""The aligner's encoders, files and training step."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from eidolon.benchmark.scenes.aligner_training import AlignerRecipe, batches
from eidolon.models.aligner.aligner import Aligner, load_aligner
from eidolon.models.aligner.architecture import AlignerArchitecture
from eidolon.models.aligner.text_features import PAD, hash_texts, pieces
from eidolon.models.aligner.towers import make_encoder
from eidolon.models.aligner.training import AlignerTrainee, AlignerTraining, LossWeights
from eidolon.scorers.core.errors import UserError

TINY = AlignerArchitecture(height=32, width=32, channels=(8, 8, 8), embedding=16, buckets=256, text_width=8)


@pytest.fixture
def aligner() -> Aligner:
    return Aligner(make_encoder(TINY, 0))


def test_vectors_are_unit_and_do_not_depend_on_the_batch(aligner: Aligner) -> None:
    rng = np.random.default_rng(0)
    images = [
        Image.fromarray(rng.integers(0, 256, (h, w, 3), dtype=np.uint8)) for h, w in ((40, 60), (20, 90))
    ]
    vectors = aligner.embed_images([*images, images[0].convert("L")])
    assert vectors.shape == (3, 16)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(vectors[1:2], aligner.embed_images(images[1:]), atol=1e-5)
    texts = aligner.embed_texts(["a cup", "cups and a teddy bear of many words", "!"])
    np.testing.assert_allclose(np.linalg.norm(texts, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(texts[:1], aligner.embed_texts(["A  CUP"]), atol=1e-5)
    expected = aligner.logit_scale * float(vectors[0] @ texts[1]) + aligner.logit_bias
    assert float(aligner.log_odds(vectors, texts)[0, 1]) == pytest.approx(expected, abs=1e-4)


def test_nothing_has_no_vectors(aligner: Aligner) -> None:
    assert aligner.embed_images([]).shape == (0, 16)
    assert aligner.embed_texts([]).shape == (0, 16)


def test_letters_in_another_order_are_another_text() -> None:
    assert sorted(pieces("stone")) != sorted(pieces("notes"))
    hashed = hash_texts(["stone", "a notes"], 4096)
    assert hashed.shape[:2] == (2, 2)
    assert bool((hashed[0, 1] == PAD).all())


def test_a_saved_aligner_is_the_same(aligner: Aligner, tmp_path: Path) -> None:
    """The files hold half precision: the first loading rounds, and then nothing changes any more."""
    aligner.save(tmp_path)
    again = load_aligner(tmp_path)
    np.testing.assert_allclose(again.embed_texts(["cup"]), aligner.embed_texts(["cup"]), atol=5e-3)
    again.save(tmp_path)
    np.testing.assert_array_equal(load_aligner(tmp_path).embed_texts(["cup"]), again.embed_texts(["cup"]))


def test_broken_checkpoints_cost_one_line(aligner: Aligner, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="give the folder of one"):
        load_aligner(tmp_path / "none")
    aligner.save(tmp_path)
    (tmp_path / "config.json").write_text(TINY.model_copy(update={"embedding": 8}).model_dump_json())
    with pytest.raises(UserError, match=r"does not fit config\.json"):
        load_aligner(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "t5"}')
    with pytest.raises(UserError, match="is not the configuration of one"):
        load_aligner(tmp_path)


@pytest.mark.parametrize("contrast", ["ordinary", "decomposable"])
def test_every_loss_is_in_the_total_and_reaches_both_encoders(contrast: str) -> None:
    losses = LossWeights(
        contrast=contrast, views=True, presence=2.0, separation=0.5, bridge=0.25, consistency=0.125
    )
    recipe = AlignerRecipe(
        name="tiny", aligner=TINY, training=AlignerTraining(batch_size=4, pairs=6, losses=losses)
    )
    trainee = AlignerTrainee(make_encoder(TINY, 0), recipe.training)
    found = trainee(batches(recipe)(0, 0, 1))
    expected = (
        found["contrast"]
        + 2 * found["presence"]
        + 0.5 * found["separation"]
        + 0.25 * found["bridge"]
        + 0.125 * found["consistency"]
    )
    torch.testing.assert_close(found["total"], expected)
    found["total"].backward()
    assert all(p.grad is not None for p in trainee.parameters())


def test_batches_depend_on_the_step_alone() -> None:
    recipe = AlignerRecipe(name="tiny", aligner=TINY, training=AlignerTraining(batch_size=3, pairs=4))
    one, other = batches(recipe), batches(recipe)
    other(0, 0, 1)
    assert torch.equal(one(1, 0, 1)["pictures"], other(1, 0, 1)["pictures"])
    assert torch.equal(one(1, 0, 1)["captions"], other(1, 0, 1)["captions"])
