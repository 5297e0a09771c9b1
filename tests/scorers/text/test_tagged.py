"""Tags and spans without a downloaded model."""

from hypothesis import given
from hypothesis import strategies as st

from eidolon.scorers.text.tagged import spans_of_words, stem, tag, words_of


def test_tags_of_a_caption() -> None:
    tokens = tag("Two boys are flying a red kite. A DOG runs!")
    assert [(t.text, t.tag) for t in tokens if t.is_noun] == [("boys", "NNS"), ("kite", "NN"), ("dog", "NN")]
    assert [t.tag for t in tokens if t.text in ("two", "flying", "red")] == ["CD", "VBG", "JJ"]


@given(st.text(alphabet="aB'-. \n\u2019é3!\U0001f600", max_size=40))
def test_tokens_stand_where_they_say(text: str) -> None:
    tokens = tag(text)
    assert [text[t.start : t.end].lower() for t in tokens] == [t.text for t in tokens]
    assert "".join(text.split()) == "".join(text[t.start : t.end] for t in tokens)
    assert all(text[start:end].lower() == word for word, start, end in spans_of_words(text))


def test_words_and_stems() -> None:
    assert words_of("A black-and-white dog's ball, 2 m.") == [
        "a",
        "black-and-white",
        "dog's",
        "ball",
        "2",
        "m",
    ]
    assert stem("flying") == stem("flies") != stem("flowers")
