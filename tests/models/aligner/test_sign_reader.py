"""The reader of signs: its vectors, its losses and its files."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from eidolon.models.aligner.losses.proxies import proxy_nca_hn
from eidolon.models.aligner.proxy_training import ProxyTrainee, ProxyTraining, spelling_loss
from eidolon.models.aligner.sign_architecture import SignArchitecture
from eidolon.models.aligner.sign_network import make_sign_network
from eidolon.models.aligner.sign_reader import SignReader, load_sign_reader
from eidolon.models.aligner.spelling import letters_by_place, padded_symbols, spell
from eidolon.scorers.core.errors import UserError

TINY = SignArchitecture(height=16, width=64, channels=(4, 4, 8, 8), frame=16, letter=8)
NAMES = ("STONE", "NOTES", "STORE", "QUIB")


@pytest.fixture
def reader() -> SignReader:
    return SignReader(make_sign_network(TINY, 0))


def test_names_are_compared_place_by_place(reader: SignReader) -> None:
    vectors = reader.embed_texts([*NAMES, "stone", "123"])
    near = vectors @ vectors.T
    assert near[0, 4] == pytest.approx(1)
    assert near[0, 2] > near[0, 1]  # one letter off is nearer than another order
    assert near[0, 2] < 0.95
    assert not vectors[5].any()


def test_crops_of_any_size_have_vectors_and_words(reader: SignReader) -> None:
    crops = [Image.new("RGB", size, (200, 30, 30)) for size in ((40, 10), (200, 90), (7, 7))]
    vectors = reader.embed_images(crops)
    assert vectors.shape == (3, reader.network.embedding)
    assert (np.linalg.norm(vectors, axis=1) <= 1 + 1e-5).all()
    assert len(reader.read(crops)) == 3
    assert reader.embed_images([]).shape == (0, reader.network.embedding)
    assert reader.read([]) == []


def test_a_saved_reader_is_the_same(reader: SignReader, tmp_path: Path) -> None:
    """The files hold half precision: the first loading rounds, and then nothing changes any more."""
    reader.save(tmp_path)
    again = load_sign_reader(tmp_path)
    np.testing.assert_allclose(again.embed_texts(NAMES), reader.embed_texts(NAMES), atol=5e-3)
    again.save(tmp_path)
    np.testing.assert_array_equal(load_sign_reader(tmp_path).embed_texts(NAMES), again.embed_texts(NAMES))


def test_a_folder_of_another_model_costs_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="give the folder of one"):
        load_sign_reader(tmp_path / "none")
    (tmp_path / "config.json").write_text('{"model_type": "eidolon_aligner"}')
    with pytest.raises(UserError, match="is not the configuration of one"):
        load_sign_reader(tmp_path)


def test_the_spelling_loss_is_that_of_the_words_probability() -> None:
    """A word of one letter in two frames: three paths."""
    log_probabilities = torch.randn(1, 2, 27, generator=torch.Generator().manual_seed(1)).log_softmax(-1)
    p = log_probabilities.exp()[0]
    probability = p[0, 1] * p[1, 1] + p[0, 1] * p[1, 0] + p[0, 0] * p[1, 1]
    torch.testing.assert_close(spelling_loss(log_probabilities, *padded_symbols(["A"])), -probability.log())
    # The letter is first in these words, and in those with a second letter after it.
    assert letters_by_place(log_probabilities.exp())[0, 0, 0] > probability


@pytest.mark.parametrize("spelled", [True, False])
def test_every_loss_is_in_the_total_and_reaches_the_network(spelled: bool) -> None:
    config = ProxyTraining(classes=2, samples_each=1, spelling=0.5, spelled_proxies=spelled)
    hard = np.zeros((4, 4), dtype=bool)
    hard[0, 1] = hard[1, 0] = True
    trainee = ProxyTrainee(make_sign_network(TINY, 0), NAMES, hard, config)
    rows, lengths = padded_symbols(NAMES[:2])
    batch = {
        "pictures": torch.randint(
            0, 255, (2, 3, 16, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
        ),
        "symbols": rows,
        "lengths": lengths,
        "spellings": spell(NAMES[:2]),
        "labels": torch.tensor([0, 1]),
    }
    first, second = trainee(batch, True), trainee(batch, False)
    torch.testing.assert_close(first["total"], first["contrast"] + 0.5 * first["spelling"])
    torch.testing.assert_close(second["total"], second["proxies"] + 0.5 * second["spelling"])
    names = trainee.network.embed(spell(NAMES))
    if spelled:
        torch.testing.assert_close(trainee.proxies(), names)
    else:
        assert float((trainee.proxies() * names).sum(-1).abs().max().detach()) < 0.9
    images = trainee.network(batch["pictures"])[1]
    wanted = proxy_nca_hn(images, trainee.proxies(), batch["labels"], torch.from_numpy(hard), config.sigma)
    torch.testing.assert_close(second["proxies"], wanted)
    (first["total"] + second["total"]).backward()
    assert all(p.grad is not None for p in trainee.parameters())
