"""Singulars that are words of English."""

import pytest

from eidolon.scorers.text.english_data import load_lemmas
from eidolon.scorers.text.plurals import plural_forms
from eidolon.scorers.text.singular_nouns import UNCHANGED, singular


@pytest.mark.parametrize(
    "noun",
    [
        *(
            "slice",
            "police",
            "pasta",
            "focus",
            "tour",
            "pizza",
            "spaghetti",
            "nostalgia",
            "house",
            "dress",
            "iris",
        ),
        *(
            "radius",
            "circus",
            "atlas",
            "cheese",
            "lingerie",
            "detour",
            "harbour",
            "bus",
            "gas",
            "lens",
            "chess",
        ),
        *("scissors", "skis", "goggles", "jeans", "clothes", "series", "news", "supabad", "us"),
    ],
)
def test_a_singular_stays(noun: str) -> None:
    assert singular(noun) == noun


@pytest.mark.parametrize(
    ("plural", "noun"),
    [
        *(("slices", "slice"), ("olives", "olive"), ("vases", "vase"), ("axes", "axe"), ("lenses", "lens")),
        *(("bunches", "bunch"), ("dishes", "dish"), ("glasses", "glass"), ("buses", "bus"), ("ties", "tie")),
        *(
            ("cookies", "cookie"),
            ("berries", "berry"),
            ("people", "person"),
            ("men", "man"),
            ("geese", "goose"),
        ),
        *(
            ("knives", "knife"),
            ("leaves", "leaf"),
            ("gloves", "glove"),
            ("potatoes", "potato"),
            ("shoes", "shoe"),
        ),
        *(("tours", "tour"), ("selfies", "selfie"), ("smartwatches", "smartwatch"), ("vapes", "vape")),
        *(
            ("shelves", "shelf"),
            ("radii", "radius"),
            ("women", "woman"),
            ("quizzes", "quiz"),
            ("menus", "menu"),
        ),
    ],
)
def test_a_plural_loses_its_ending(plural: str, noun: str) -> None:
    assert singular(plural) == noun


def test_no_noun_of_wordnet_becomes_a_word_that_wordnet_lacks() -> None:
    nouns = load_lemmas().lemmas["n"]
    changed = {noun: singular(noun) for noun in nouns if singular(noun) != noun}
    assert [noun for noun, found in changed.items() if found not in nouns] == []
    assert all(
        noun.endswith("s") or noun in plural_forms(found)
        for noun, found in changed.items()
        if "-" not in noun
    )


def test_unchanged_words_are_no_plurals_of_the_lexicon() -> None:
    assert all(singular(noun) == noun for noun in UNCHANGED)
