"""Which responses a rule-based English judge can read."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eidolon.scorers.text.english import FUNCTION_WORDS
from eidolon.scorers.text.judgeability import _FOREIGN, _is_foreign, classify

SORTED = {
    "ok": [
        "two dogs",
        "dog",
        "No.",
        "a man, an umbrella",
        "dog, cat, table, chair, bottle, cup, fork, knife, spoon, bowl, pizza, cake",
        "surfers at La Jolla",
        "a caf\u00e9 with a cr\u00e8me br\u00fbl\u00e9e on the table",
        "The sign reads \u99c5 and a man stands under it.",
        "I'm sorry, but I can't identify the person. However, I can see a dog on a bench.",
        "Sorry for the quality. The image shows a dog.",
        "I cannot see any dogs in the image.",
        "12:30",
    ],
    "empty": ["", " \n\t", "...", "\x00", "\U0001f436"],
    "refusal": [
        "I'm sorry, but I cannot help with that.",
        "I\u2019m sorry, I can\u2019t assist with this request.",
        "Sorry, the picture did not load.",
        "As an AI language model, I am not able to view images.",
        "Unfortunately, I cannot see the image.",
        "I don't have the ability to view images.",
        "I am unable to process this.",
        "No image was provided.",
        "Please upload an image.",
    ],
    "non_english": [
        "Un perro y un gato en la mesa.",
        "Ein Hund und eine Katze",
        "Deux chiens dans un parc",
        "die Frau sitzt auf dem Stuhl",
        "\u72ac\u304c\u4e8c\u5339\u3044\u307e\u3059",
        "\u0434\u0432\u0435 \u0441\u043e\u0431\u0430\u043a\u0438",
        "Hai con ch\u00f3 \u0111ang ch\u01a1i tr\u00ean b\u00e3i c\u1ecf",
        "Sebuah meja dengan dua ekor anjing dan kursi",
    ],
}


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in SORTED.items() for text in texts])
def test_by_hand(kind: str, text: str) -> None:
    assert classify(text) == kind


def test_long_apologies_are_read() -> None:
    assert classify("I'm sorry. " + "A dog sits on a bench. " * 20) == "ok"


@given(st.text())
def test_any_text_has_a_kind(text: str) -> None:
    assert classify(text) in SORTED


@pytest.mark.parametrize("unit", ["i cannot ", "I'm sorry ", "as an a ", "but it ", " ", "\u72ac"])
def test_long_texts(unit: str) -> None:
    assert classify(unit * 20_000) in SORTED


def test_reference_responses_are_english(reference_data: Path) -> None:
    for path in sorted((reference_data / "responses").glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            text = json.loads(line)["response"]
            assert classify(text) == "ok", text


@given(
    st.lists(
        st.sampled_from(["the", "un", "Una", "el", "van", "3", "d'un", "es-", "is", "\u00e9t\u00e9", "dog"])
    ).map(" ".join)
)
def test_ascii_texts_are_foreign_by_the_general_rule(text: str) -> None:
    found = [word.lower() for word in re.findall(r"[^\W\d_]+", text)]
    english, foreign = (sum(word in known for word in found) for known in (FUNCTION_WORDS, _FOREIGN))
    accented = sum(not word.isascii() for word in found)
    by_words = foreign >= 2 and foreign > english
    by_accents = english == 0 and accented >= 2 and accented / len(found) >= 0.15
    assert _is_foreign(text) == (by_words or by_accents)
