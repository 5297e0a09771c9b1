"""Nouns matched with true objects: the stages, and the assignment compared with all permutations."""

import re
from collections.abc import Sequence
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.judge import Evidence
from eidolon.scorers.core.metric import FloatArray
from eidolon.scorers.core.types import Judgement, Mention, Response
from eidolon.scorers.core.verdict import with_verdicts
from eidolon.scorers.judges.lexicon import LexiconJudge
from eidolon.scorers.judges.matching import NameMatcher, cosines, decide, join, most_alike, read_threshold
from eidolon.scorers.text.lexicon import load_lexicon

COCO = load_lexicon("coco80")


class Letters:
    """The vector of a word is the count of each letter: deterministic, and easy to compute by hand."""

    def signature(self) -> str:
        return "embeddings=letters"

    def embed(self, texts: Sequence[str]) -> FloatArray:
        return np.array([[text.count(chr(97 + i)) for i in range(26)] for text in texts], dtype=float)


def judgement(*nouns: str, ignored: Sequence[str] = ()) -> Judgement:
    mentions = [
        Mention(
            category=noun, text=noun, start=0, end=1, word=0, verdict="ignored" if noun in ignored else None
        )
        for noun in nouns
    ]
    return Judgement(sample_id="s", image_id=1, mentions=tuple(mentions))


def match(matcher: NameMatcher, nouns: Sequence[str], objects: Sequence[str]) -> list[tuple[Any, ...]]:
    (found,) = matcher.match([judgement(*nouns)], [Evidence(frozenset(objects))])
    return [(m.category, m.verdict, m.match, m.similarity) for m in found.mentions]


def test_stages_by_name() -> None:
    nouns = ["dog", "fire-hydrant", "sofa", "woman", "man", "tree"]
    assert match(NameMatcher(COCO), nouns, ["Dog", "fire hydrants", "couch", "person"]) == [
        ("Dog", "grounded", "Dog", 1.0),
        ("fire hydrants", "grounded", "fire hydrants", 1.0),
        ("couch", "grounded", "couch", 1.0),
        ("person", "grounded", "person", 1.0),
        ("person", "grounded", "person", 1.0),
        ("tree", "hallucinated", None, 0.0),
    ]


def test_the_nearer_name_wins() -> None:
    """The same name is preferred to a synonym."""
    assert match(NameMatcher(COCO), ["sofa", "couch"], ["sofa", "couch"]) == [
        ("sofa", "grounded", "sofa", 1.0),
        ("couch", "grounded", "couch", 1.0),
    ]


def test_what_is_left_is_paired_by_similarity() -> None:
    # "tab" and "bat" have the same letters. "cat" shares two of three with "bat", which is taken.
    found = match(NameMatcher(COCO, Letters(), 0.9), ["dog", "tab", "cat"], ["dog", "bat", "zebra"])
    assert found == [
        ("dog", "grounded", "dog", 1.0),
        ("bat", "grounded", "bat", 1.0),
        ("cat", "hallucinated", "zebra", pytest.approx(1 / np.sqrt(3 * 5), abs=1e-6)),
    ]


def test_an_ignored_mention_stays_and_takes_nothing() -> None:
    (found,) = NameMatcher(COCO).match(
        [judgement("dog", "cat", ignored=["cat"])], [Evidence(frozenset({"cat"}))]
    )
    assert [(m.verdict, m.similarity) for m in found.mentions] == [("hallucinated", 0.0), ("ignored", None)]


def best(similarities: FloatArray) -> float:
    """The largest sum of a one-to-one pairing, over all pairings."""
    rows, columns = similarities.shape
    if rows > columns:
        return best(similarities.T)
    return max(
        (
            sum(similarities[i, j] for i, j in enumerate(chosen))
            for chosen in permutations(range(columns), rows)
        ),
        default=0.0,
    )


WORD = st.text(alphabet="abcd", min_size=1, max_size=4)
WORDS = st.lists(WORD, max_size=5, unique=True)


@given(WORDS, WORDS)
def test_pairs_have_the_largest_sum_of_all_permutations(nouns: list[str], objects: list[str]) -> None:
    pairs = most_alike(nouns, objects, Letters())
    assert len(pairs) == min(len(nouns), len(objects)) == len({name for name, _ in pairs.values()})
    similarities = cosines(Letters().embed(nouns), Letters().embed(objects)) if pairs else np.zeros((0, 0))
    assert sum(similarity for _, similarity in pairs.values()) == pytest.approx(best(similarities))
    for noun, (name, similarity) in pairs.items():
        assert similarity == similarities[nouns.index(noun), objects.index(name)]


@given(WORDS, WORDS, st.randoms(use_true_random=False))
def test_order_and_repetition_change_nothing(nouns: list[str], objects: list[str], random: Any) -> None:
    matcher = NameMatcher(COCO, Letters())
    before = dict(zip(nouns, match(matcher, nouns, objects), strict=True))
    shuffled = random.sample(nouns, len(nouns)) * 2
    after = match(matcher, shuffled, random.sample(objects, len(objects)))
    assert [before[noun] for noun in shuffled] == after


@given(WORDS, WORDS)
def test_categories_agree_with_verdicts(nouns: list[str], objects: list[str]) -> None:
    """The condition of object metrics: grounded exactly if the category is true."""
    (found,) = NameMatcher(COCO, Letters()).match([judgement(*nouns)], [Evidence(frozenset(objects))])
    assert [m.verdict for m in found.mentions] == [
        m.verdict for m in with_verdicts(found, frozenset(objects)).mentions
    ]


def test_cosines_by_hand() -> None:
    found = cosines(np.array([[1.0, 0], [0, 0], [-1, 0]]), np.array([[1.0, 1.0], [3.0, 0]]))
    assert found == pytest.approx(np.array([[2**-0.5, 1], [0, 0], [0, 0]]), abs=1e-6)


def test_nouns_of_captions_join_unless_an_object_stands_for_them() -> None:
    matcher = NameMatcher(COCO)
    assert matcher.join({"couch", "Traffic-Light"}, {"sofa", "traffic light", "trees", "man"}) == {
        "couch",
        "Traffic-Light",
        "tree",
        "person",
    }
    assert join(LexiconJudge(), {"dog"}, {"cat"}) == {"dog", "cat"}


def test_a_closed_vocabulary_is_decided_by_the_objects() -> None:
    judge = LexiconJudge()
    judged = judge.judge([Response(sample_id="s", image_id=1, response="A dog and a cat.")])
    (found,) = decide(judge, judged, [Evidence(frozenset({"dog"}))])
    assert [(m.category, m.verdict) for m in found.mentions] == [("dog", "grounded"), ("cat", "hallucinated")]


def test_thresholds() -> None:
    assert read_threshold("0.5", "nouns") == 0.5
    for value in ("x", "1.5", "nan"):
        with pytest.raises(UserError, match=f"judge nouns: threshold '{value}' must be a number from 0 to 1"):
            read_threshold(value, "nouns")


def test_signatures() -> None:
    assert NameMatcher(COCO).signature() == "names/2+coco80"
    own = COCO.model_copy(update={"pairs": {}})
    assert re.fullmatch("names/2[+]coco80#[0-9a-f]{12}", NameMatcher(own).signature())
    assert NameMatcher(COCO, Letters(), 0.5).signature() == "names/2+coco80+embeddings=letters>=0.5"
