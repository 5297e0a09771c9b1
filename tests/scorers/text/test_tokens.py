"""The tokenizer and the phrases, compared with spaCy's."""

import json
import random
from importlib.resources import files
from pathlib import Path

import pytest
from spacy.lang.en import English
from spacy.matcher import PhraseMatcher
from spacy.tokens import Doc

from eidolon.scorers.text.phrases import Found, PhraseIndex
from eidolon.scorers.text.tokens import RULES, english_tokenizer, spacy_rules

PIECES = (
    *(
        "don't",
        "I'm",
        "(:)",
        ":-)",
        "8am",
        "a.m.",
        "e.g.",
        "http://x.org/a?b=c,d",
        "cat's",
        "dog.cat",
        "x/y",
        "--",
    ),
    *(
        "...",
        "'",
        '"',
        "\u201c",
        "\u2019s",
        "$5.00",
        "10km",
        "U.S.",
        "Mr.",
        "well-known",
        "a\u2014b",
        " ",
        "  ",
        "\n",
    ),
    *(
        "\n\n",
        "\t",
        ",",
        "cat",
        "Dog,Bench",
        "3.5",
        "(a)",
        "[b]",
        "<c>",
        "@x",
        "#tag",
        "%",
        "&amp;",
        "\u2019cause",
    ),
    *(
        "o'clock",
        "can't've",
        "ain't!",
        "\u00a0",
        "\u00e9",
        "\u65e5\u672c",
        "\U0001f436",
        "x_y",
        "A.B.C",
        "hi!!!",
    ),
    *(
        "no..",
        "user@mail.com",
        "C++",
        "\u200b",
        "he'll",
        "'em",
        "Ph.D.",
        "vs.",
        "12:30pm",
        "+1-2",
        ":(",
        "^_^",
    ),
)


def spacy_tokens(text: str) -> list[tuple[int, str]]:
    return [(token.idx, token.text) for token in SPACY(text)]


SPACY = English().tokenizer


def test_the_rules_are_those_of_the_installed_spacy() -> None:
    stored = json.loads((files("eidolon.scorers.text") / "data" / RULES).read_text(encoding="utf-8"))
    assert stored == spacy_rules(), "run: python -m eidolon.scorers.text.tokens"


@pytest.mark.parametrize("seed", range(20))
def test_tokens_of_random_text(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(100):
        text = "".join(rng.choices(PIECES, k=rng.randrange(9)))
        assert english_tokenizer()(text) == spacy_tokens(text)


def test_tokens_of_real_responses(reference_data: Path) -> None:
    for path in sorted((reference_data / "responses").glob("*.jsonl")):
        for line in path.read_text().splitlines()[::7]:
            text = json.loads(line)["response"]
            assert english_tokenizer()(text) == spacy_tokens(text)


def test_a_full_memory_is_emptied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eidolon.scorers.text.tokens.MAX_CACHED", 2)
    for text in ("a b c d e", "one, two", "don't"):
        assert english_tokenizer()(text) == spacy_tokens(text)


@pytest.mark.parametrize("seed", range(20))
def test_phrases_as_spacy_finds_them(seed: int) -> None:
    rng = random.Random(seed)
    vocabulary = English().vocab
    phrases = {tuple(rng.choices("abc", k=rng.randrange(1, 4))) for _ in range(5)}
    matcher = PhraseMatcher(vocabulary, attr="LOWER")
    for phrase in phrases:
        matcher.add("".join(phrase), [Doc(vocabulary, words=list(phrase))])
    tokens = rng.choices("abcd", k=12)
    expected = {
        (first, end, vocabulary.strings[key])
        for key, first, end in matcher(Doc(vocabulary, words=[token.upper() for token in tokens]))
    }
    found = list(PhraseIndex({phrase: "".join(phrase) for phrase in phrases}).find(tokens))
    assert set(map(tuple, found)) == expected
    assert len(found) == len(expected)
    assert Found(0, 1, "x") == (0, 1, "x")
