"""The judge `words`, and the figures of docs/reference/metrics/detection.md."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eidolon.scorers.core.judge import Evidence
from eidolon.scorers.core.types import Judgement, Response
from eidolon.scorers.judges.matching import decide
from eidolon.scorers.judges.mentions import NO_RESPONSE, NOT_ENGLISH
from eidolon.scorers.judges.reference_matcher import (
    ReferenceMatcher,
    ReferenceWords,
    number,
    related,
    stated_numbers,
)
from eidolon.scorers.judges.words import HEDGED, LIGHTLY, NOUN, NUMBER, OTHER, WordsJudge
from eidolon.scorers.metrics.detection import judged_words, word_spans
from eidolon.scorers.text.lexicon import load_lexicon

TERMS = load_lexicon("coco80").careful_terms()


def response(text: str | None, **fields: object) -> Response:
    return Response.model_validate({"sample_id": "s", "image_id": 1, "response": text, **fields})


def judged(text: str, *references: str) -> Judgement:
    judge = WordsJudge()
    (judgement,) = decide(judge, judge.judge([response(text)]), [Evidence(frozenset(), references)])
    return judgement


def test_weights_by_kind_of_word() -> None:
    (judgement,) = WordsJudge().judge(
        [response("Two dogs sitting in a big red boat, possibly barking. 3 cats.")]
    )
    assert {m.category: m.weight for m in judgement.mentions} == {
        "two": NUMBER,
        "dogs": NOUN,
        "sitting": LIGHTLY,
        "big": LIGHTLY,
        "red": OTHER,
        "boat": NOUN,
        "barking": OTHER * HEDGED,
        "3": NUMBER,
        "cats": NOUN,
    }
    first = judgement.mentions[0]
    assert (first.text, first.start, first.end, first.word, first.verdict) == ("Two", 0, 3, 0, None)


def test_worked_by_hand() -> None:
    """The example of docs/reference/metrics/detection.md."""
    text = "Two brown dogs possibly on a sofa with a large ball."
    judgement = judged(text, "A puppy lies on a couch.", "Three dogs.", "Two dogs sleep.")
    words = text.split()
    scores = judged_words(judgement, word_spans(words, text))
    assert dict(zip(words, scores, strict=True)) == {
        "Two": 3 / 8, "brown": 1 / 8, "dogs": 0, "possibly": 0, "on": 0, "a": 0, "sofa": 0, "with": 0,
        "large": 1 / 32, "ball.": 1 / 8,
    }  # fmt: skip
    assert sum(scores) / len(scores) == pytest.approx(21 / 352)
    assert {m.category: m.verdict for m in judgement.mentions} == {
        "two": "grounded", "brown": "hallucinated", "dogs": "grounded", "sofa": "grounded",
        "large": "hallucinated", "ball": "hallucinated",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("word", "reference", "expected"),
    [
        ("dogs", "A dog.", 1),  # inflection
        ("wooden", "Made of wood.", 1),  # a stem that begins another
        ("board", "A skateboard.", 1),  # … or ends it
        ("boy", "A person.", 1),  # one category
        ("road", "A street.", 1),  # the same category
        ("three-tiered", "Three of it, tiered.", 1),  # similar words
        ("car", "A cart.", 0),  # too short to be related
        ("dog", "A cat.", 0),
        ("two", "A couple of dogs.", 1),
        ("two", "Three dogs.", 0),
        ("two", "Some dogs.", 0),  # no number in the references
        ("2", "Two dogs.", 1),
    ],
)
def test_what_supports_a_word(word: str, reference: str, expected: float) -> None:
    assert ReferenceWords([reference], TERMS).support(word) == expected


def test_a_number_is_supported_by_the_share_that_states_it() -> None:
    sources = ReferenceWords(["Two dogs.", "3 dogs and two cats.", "Four.", "Dogs."], TERMS)
    assert sources.support("two") == pytest.approx(2 / 3)
    assert number("one") is number("1") is number("dog") is number("9" * 5000) is None
    assert stated_numbers(["a", "pair", "of", "12"]) == {2, 12}


def naive_support(word: str, references: list[str]) -> float:
    """The support of a word, computed reference by reference."""
    if word in ("two", "three"):
        stating = [r.split() for r in references if {"two", "three", "pair"} & set(r.split())]
        agreeing = [r for r in stating if word in r or (word == "two" and "pair" in r)]
        return len(agreeing) / len(stating) if stating else 0.0
    alike = {"dog": {"dog", "dogs"}, "dogs": {"dog", "dogs"}, "cat": {"cat"}, "road": {"road", "street"}}
    return float(any(alike[word] & set(r.split()) for r in references))


VOCABULARY = st.sampled_from(["two", "three", "pair", "dog", "dogs", "cat", "road", "street", "a"])
CAPTION = st.lists(VOCABULARY, max_size=4).map(" ".join)


@given(st.sampled_from(["two", "three", "dog", "dogs", "cat", "road"]), st.lists(CAPTION, max_size=4))
def test_equals_its_naive_twin(word: str, references: list[str]) -> None:
    assert ReferenceWords(references, {}).support(word) == pytest.approx(naive_support(word, references))


@given(st.permutations(["Two dogs.", "Three dogs in a car.", "A cat."]), st.integers(1, 3))
def test_neither_order_nor_duplication_of_references_matters(references: list[str], times: int) -> None:
    text = "Two cats on a mat."
    assert judged(text, *references * times) == judged(text, "A cat.", "Three dogs in a car.", "Two dogs.")


def test_relatives_share_enough() -> None:
    assert related("wood", "wooden")
    assert related("a", "a")
    assert not related("car", "cart")


@pytest.mark.parametrize(
    ("text", "fields", "unscored"),
    [
        (None, {}, NO_RESPONSE),
        (None, {"error": "timeout"}, "timeout"),
        ("Un perro y un gato en la calle con el hombre.", {}, NOT_ENGLISH),
        ("", {}, None),
        ("I'm sorry, I cannot see the image.", {}, None),
    ],
)
def test_what_cannot_be_judged_has_no_mentions(
    text: str | None, fields: dict[str, str], unscored: str | None
) -> None:
    (judgement,) = WordsJudge().judge([response(text, **fields)])
    assert judgement.mentions == ()
    assert judgement.unscored == unscored


def test_signature() -> None:
    assert (
        WordsJudge().signature()
        == "words(tagger=textblob,match=references/2+coco80,weights=0.75:0.25:0.125:0.0625:0.5)"
    )
    assert ReferenceMatcher(load_lexicon("coco80")).verdicts_from == "references"
