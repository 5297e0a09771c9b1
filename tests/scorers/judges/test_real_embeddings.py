"""Matching by real sentence embeddings, from a folder, without a network."""

from pathlib import Path

import numpy as np
import pytest

from eidolon.scorers.judges.embeddings import SentenceEmbedder
from eidolon.scorers.judges.matching import NameMatcher, cosines
from eidolon.scorers.text.lexicon import load_lexicon

WORDS = ("sofa", "couch", "puppy", "dog", "freight train on the tracks", "locomotive", "ocean", "hair dryer")


@pytest.fixture(scope="module")
def embedder(minilm: Path) -> SentenceEmbedder:
    return SentenceEmbedder(str(minilm))


def test_a_vector_does_not_depend_on_its_batch(minilm: Path, embedder: SentenceEmbedder) -> None:
    together = embedder.embed(WORDS)
    alone = np.concatenate([SentenceEmbedder.embed(embedder, [word]) for word in WORDS])
    fresh = SentenceEmbedder(str(minilm))
    one_by_one = np.concatenate([fresh.embed([word]) for word in WORDS])
    assert np.array_equal(together, alone)
    assert np.abs(cosines(together, together) - cosines(one_by_one, one_by_one)).max() <= 1.5e-5


def test_what_is_alike(embedder: SentenceEmbedder) -> None:
    matcher = NameMatcher(load_lexicon("coco80"), embedder)
    pairs = matcher.pair({"hairdryer", "stallion"}, {"hair drier", "horse", "boat"})
    assert pairs["stallion"][0] == "horse"
    assert all(0.4 < similarity <= 1 for _, similarity in pairs.values())
