import numpy as np
import pytest

from eidolon.scorers.core.errors import UserError
from eidolon.scorers.discovery.clusters import learn_grouping
from eidolon.scorers.discovery.contexts import KEPT, Contexts, NounVectors, phrase_around, read_nouns
from eidolon.scorers.discovery.proposal import known_categories, propose
from eidolon.scorers.judges.noun_readers import TaggedNouns
from eidolon.scorers.text.lexicon import load_lexicon

# Each noun with its direction, its mentions and its occurrences as a word.
NOUNS = {
    "dog": (0, 40, 40),
    "cat": (1, 39, 39),
    "chair": (2, 38, 38),
    "puppy": (0, 20, 20),
    "kitten": (1, 19, 19),
    "armchair": (2, 18, 18),
    "lantern": (3, 9, 9),
    "chandelier": (3, 8, 8),
    "barker": (0, 7, 7),
    "can": (4, 6, 900),
}


@pytest.fixture
def found() -> NounVectors:
    rng = np.random.default_rng(0)
    axes = [axis for axis, _, _ in NOUNS.values()]
    # The threshold is the smallest that joins the known pairs, so the others are nearer together.
    size = np.where(np.arange(len(NOUNS)) < 6, 0.1, 0.02)
    directions = np.eye(8)
    directions[1, 0] = 1  # cats are nearer to dogs than to chairs
    vectors = directions[axes] + size[:, None] * rng.normal(size=(len(NOUNS), 8))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[8] = (vectors[0] + vectors[3]) / 2  # "barker" is between "dog" and "puppy"
    return NounVectors(
        tuple(NOUNS),
        tuple(mentions for _, mentions, _ in NOUNS.values()),
        tuple(words for _, _, words in NOUNS.values()),
        vectors,
        tuple(f"An example of {noun}." for noun in NOUNS),
        Contexts(np.arange(len(NOUNS)), vectors),
    )


def test_what_is_proposed(found: NounVectors) -> None:
    proposal = propose(found, load_lexicon("coco80"))
    assert [[one.name for one in category.names] for category in proposal.categories] == [
        ["lantern", "chandelier"],
        ["barker"],
    ]
    assert [one.near for category in proposal.categories for one in category.names] == [None, None, "dog"]
    assert proposal.categories[1].supercategory == "animal"
    assert proposal.lexicon("mine").terms() == {
        "lantern": "lantern",
        "chandelier": "lantern",
        "barker": "barker",
    }


def test_separation_is_the_mean_distance_to_the_nearest_group(found: NounVectors) -> None:
    proposal = propose(found, load_lexicon("coco80"))
    # Categories in the order of their names: cat, chair, dog.
    grouping = learn_grouping(found.vectors[:6], [2, 0, 1, 2, 0, 1])
    points = found.vectors @ grouping.projection
    groups = {"lantern": [6, 7], "barker": [8], "dog": [0, 3], "cat": [1, 4], "chair": [2, 5]}
    for one in proposal.categories:
        means = [
            np.mean([np.linalg.norm(points[i] - points[j]) for i in groups[one.name] for j in members])
            for name, members in groups.items()
            if name != one.name
        ]
        assert one.separation == pytest.approx(min(means) / proposal.threshold)


def test_a_last_word_of_one_category_alone_names_it() -> None:
    nouns = ("hydrant", "light", "glove", "bat", "pants")
    covered = known_categories(nouns, load_lexicon("coco80"))
    assert covered["hydrant"] == "fire hydrant"
    assert "pants" not in covered


def test_nothing_around_the_nouns_is_too_little() -> None:
    known = load_lexicon("coco80")
    bare = read_nouns(["dog", "puppy", "cat", "kitten", "chair"], TaggedNouns(known), least=1)
    with pytest.raises(UserError, match="too little to learn"):
        propose(bare, known)


def test_occurrences_count_every_use_of_a_word() -> None:
    found = read_nouns(
        ["A dog can sleep. The dog has a dog house."], TaggedNouns(load_lexicon("coco80")), least=1
    )
    at = found.nouns.index("dog")
    assert (found.counts[at], found.words[at]) == (2, 3)


def test_mentions_have_a_vector_of_their_own_context() -> None:
    texts = [
        "A dog barks on grass.",
        "The dog barks on grass!",
        "A dog swims in water.",
        "Red cups and a dog house.",
    ]
    found = read_nouns(texts, TaggedNouns(load_lexicon("coco80")), least=1)
    dog = found.contexts.vectors[found.contexts.noun == found.nouns.index("dog")]
    assert len(dog) == 3  # a noun before another one is no mention
    assert dog[0] == pytest.approx(dog[1])
    assert dog[0] @ dog[2] < 0.9
    many = read_nouns([texts[0]] * 20, TaggedNouns(load_lexicon("coco80")), least=1)
    assert np.bincount(many.contexts.noun).tolist() == [KEPT] * len(many.nouns)


def test_an_embedder_reads_two_words_on_each_side() -> None:
    text = "It rains. Near the old brown dog a small child waits."
    start = text.index("dog")
    assert phrase_around(text, start, start + 3) == "old brown dog a small"
    assert phrase_around("One. A dog. Two", 7, 10) == "A dog"
