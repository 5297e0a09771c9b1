"""Sentence embeddings by the real package, with a tiny model made in the test."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.judge import Evidence
from eidolon.scorers.core.types import Response
from eidolon.scorers.judges.embeddings import SentenceEmbedder
from eidolon.scorers.judges.matching import cosines, decide
from eidolon.scorers.judges.nouns import NounsJudge

LETTERS = "abcdefghijklmnopqrstuvwxyz"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sentence-transformers model: one random BERT layer over letters, mean pooling."""
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    base, folder = tmp_path_factory.mktemp("bert"), tmp_path_factory.mktemp("sentences") / "tiny"
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *("##" + c for c in LETTERS)]
    (base / "vocab.txt").write_text("\n".join(vocabulary))
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=32,
    )
    BertModel(config).save_pretrained(base)
    BertTokenizerFast(vocab=str(base / "vocab.txt")).save_pretrained(base)
    SentenceTransformer(str(base), device="cpu").save(str(folder))
    return folder


def test_vectors_do_not_depend_on_their_batch(folder: Path) -> None:
    embedder = SentenceEmbedder(str(folder))
    together = embedder.embed(["dog", "zebra crossing", "dog"])
    assert together.shape == (3, 16)
    assert np.array_equal(together[0], together[2])
    assert np.array_equal(SentenceEmbedder(str(folder)).embed(["zebra crossing"])[0], together[1])
    assert cosines(together, together)[0, 0] == 1
    assert cosines(together, together)[0, 1] < 1


def test_a_judge_with_them(folder: Path) -> None:
    judge = NounsJudge(embeddings=str(folder), threshold="0")
    assert f"match=names/2+coco80+embeddings=tiny#{SentenceEmbedder(str(folder)).signature()[-12:]}>=0," in (
        judge.signature()
    )
    judged = judge.judge([Response(sample_id="1", image_id=1, response="A dog and a lamp.")])
    (found,) = decide(judge, judged, [Evidence(frozenset({"dog", "lantern"}))])
    assert [(m.category, m.text, m.match) for m in found.mentions] == [
        ("dog", "dog", "dog"),
        ("lantern", "lamp", "lantern"),
    ]
    assert 0 < (found.mentions[1].similarity or 0) < 1


def test_the_signature_follows_the_files(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "tiny"
    copy.mkdir()
    for path in folder.rglob("*"):
        if path.is_file():
            (copy / path.relative_to(folder)).parent.mkdir(exist_ok=True, parents=True)
            (copy / path.relative_to(folder)).write_bytes(path.read_bytes())
    assert SentenceEmbedder(str(copy)).signature() == SentenceEmbedder(str(folder)).signature()
    (copy / "README.md").write_text("other")
    assert SentenceEmbedder(str(copy)).signature() != SentenceEmbedder(str(folder)).signature()
    assert SentenceEmbedder("name/on-the-hub").signature() == "embeddings=name/on-the-hub"


def test_what_cannot_be_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = tmp_path / "nowhere"
    with pytest.raises(UserError, match=f"-J embeddings={nowhere}: cannot be loaded"):
        SentenceEmbedder(str(nowhere)).embed(["dog"])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        UserError, match=r"needs the package sentence-transformers; pip install 'eidolon-bench\[emb"
    ):
        SentenceEmbedder("x")
