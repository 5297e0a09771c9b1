"""The kind of each token."""

from hypothesis import given
from hypothesis import strategies as st

from eidolon.scorers.forgetting.token_kinds import KINDS, token_kinds


def kinds(pieces: list[str], *names: str) -> list[str]:
    """Return the kinds of the pieces of a text in which each of the names is mentioned at its first place."""
    text = "".join(pieces)
    ends = [sum(map(len, pieces[: i + 1])) for i in range(len(pieces))]
    return list(token_kinds(text, ends, [(text.index(name), text.index(name) + len(name)) for name in names]))


def test_a_sentence() -> None:
    pieces = [
        "There",
        " is",
        " a",
        " red",
        " stop",
        " sign",
        ",",
        " bright",
        "ly",
        " lit",
        ".",
        "\n",
        " Don",
        "\u2019t",
    ]
    expected = [
        "function",
        "function",
        "function",
        "content",
        "object",
        "rest",
        "function",
        "content",
        "rest",
    ]
    expected += ["content", "function", "function", "content", "rest"]
    assert kinds(pieces, "stop sign") == expected


def test_only_a_token_that_begins_a_mention_is_an_object() -> None:
    assert kinds([" ref", "riger", "ator"], "refrigerator") == ["object", "rest", "rest"]
    assert kinds([" a cup of", " tea"], "cup") == ["function", "content"], "it holds more before the name"
    assert kinds(["a", " ", "cup"], "cup") == ["function", "function", "object"]


def test_tokens_without_characters_are_rest() -> None:
    """Parts of a character of several bytes, and a thinking block before the answer."""
    assert token_kinds("é cup", [0, 1, 5], [(2, 5)]) == ("rest", "content", "object")


def test_stop_words_are_found_in_any_case_and_not_by_their_beginning() -> None:
    assert kinds(["The", " theatre", " THE", " over", "land"]) == [
        "function",
        "content",
        "function",
        "content",
        "rest",
    ]


@given(st.lists(st.text(max_size=6), max_size=12), st.lists(st.tuples(st.integers(0, 40), st.integers(1, 8))))
def test_any_text_has_a_kind_for_every_token(pieces: list[str], spans: list[tuple[int, int]]) -> None:
    text = "".join(pieces)
    ends = [sum(map(len, pieces[: i + 1])) for i in range(len(pieces))]
    found = token_kinds(text, ends, [(start, start + length) for start, length in spans])
    assert len(found) == len(pieces)
    assert set(found) <= set(KINDS)
    if not spans:
        assert "object" not in found
