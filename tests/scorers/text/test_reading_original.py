"""The original reading: its quirks, its offsets, a naive twin, and the numbers of the reference program."""

import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eidolon.scorers.text.lexicon import load_lexicon
from eidolon.scorers.text.reading_original import OriginalReading
from eidolon.scorers.text.singular import singularizer, textblob_rules
from eidolon.scorers.text.treebank import tokenize

READING = OriginalReading(load_lexicon("coco80"))
PIECES = st.sampled_from(
    [
        *("dog", "Dogs", "toilet", "seat", "hot", "traffic", "lights", "baby", "cannot", "gonna", "'s", "--"),
        *("\u0130", "\u03a3", "\u00df", "\u201d", "\u00a0", "\U0001f436", "\x00", " ", "  ", "\n"),
        *('"', "''", "``", ".", "?!", ")", "(", ","),
    ]
)
TEXTS = st.one_of(st.text(), st.lists(PIECES).map("".join), st.lists(PIECES).map(" ".join))


def names(text: str) -> list[str]:
    return [named.category for named in READING.read(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A dog and two cats.", ["dog", "cat"]),
        ("A bus. Two buses.", ["bus"]),
        ("He wears a tie; they wear ties.", ["tie"]),
        ("An orange cat.", ["orange", "cat"]),
        ("a hot dog, hot dogs", ["hot dog", "hot dog"]),
        ("a baby elephant", ["elephant"]),
        ("a passenger train on train tracks", ["train"]),
        ("two wine glasses and a glass", ["wine glass"]),
        ("a motor bike", []),
        ("a cheesecake, a tennis racket", ["tennis racket"]),
        ("the toilet seat", ["toilet"]),
        ("a toilet. a seat.", ["toilet"]),
        ("a seat", ["chair"]),
        ("a table.The dog", ["dog"]),
        ("no cups", ["cup"]),
        # NLTK up to 3.8 splits nothing from a word at the end of a line, no opening quote, and no word at a dash.
        ("the child's toy, the child's\nbed", ["person", "bed"]),
        ("The cat' sleeps. The cat'\n\nsleeps.", ["cat"]),
        ("a cup labelled 'cat'", ["cup"]),
        ("a cat\u2014a dog", ["dog"]),
        ("a hot \u00a0 dog", ["hot dog"]),
        ("an iPhone", []),
        ("people", ["person"]),
        ("", []),
        (" \n\x00", []),
    ],
)
def test_by_hand(text: str, expected: list[str]) -> None:
    assert names(text) == expected


def test_terms_are_singular_and_spans_are_not() -> None:
    text = "Stop. \u0130\u0130 TRAFFIC  LIGHTS and \u201cKnives\u201d"
    assert [(named.term, text[named.start : named.end]) for named in READING.read(text)] == [
        ("traffic light", "TRAFFIC  LIGHTS"),
        ("knife", "Knives"),
    ]


def tokenizer_of_nltk_3_8() -> Callable[[str], list[str]]:
    """Return the installed tokeniser with the rules that NLTK had up to 3.8."""
    from nltk.tokenize.destructive import NLTKWordTokenizer

    old = NLTKWordTokenizer()
    old.ENDING_QUOTES = [rule for rule in old.ENDING_QUOTES if rule[0].pattern != r"\s+"]
    old.PUNCTUATION = [rule for rule in old.PUNCTUATION if r"\u2012" not in rule[0].pattern]
    opening_quote = re.compile(r"(?i)(\')(?!re|ve|ll|m|t|s|d|n)(\w)\b"), r"\1 \2"
    old.STARTING_QUOTES = [*old.STARTING_QUOTES[:-1], opening_quote]
    tokenize: Callable[[str], list[str]] = old.tokenize
    return tokenize


def twin(text: str) -> list[tuple[str, str]]:
    """Read as the description of the reference says, without offsets and without a cache."""
    from textblob.inflect import singularize  # type: ignore[import-untyped]

    lexicon = load_lexicon("coco80")
    cut = re.sub("([.!?]+[\"'\u201d\u2019)\\]]*\\s+)", "\\1\ue000", text.lower())
    nltk = tokenizer_of_nltk_3_8()
    words = [singularize(t) for piece in cut.split("\ue000") for t in nltk(piece.strip())]
    merged: list[str] = []
    while words:
        pair = lexicon.pairs.get(" ".join(words[:2]))
        merged.append(pair or words[0])
        words = words[2 if pair else 1 :]
    if "toilet" in merged and "seat" in merged:
        merged = [word for word in merged if word != "seat"]
    return [(word, lexicon.terms()[word]) for word in merged if word in lexicon.terms()]


@given(TEXTS.filter(lambda text: "\ue000" not in text))
def test_equals_its_naive_twin(text: str) -> None:
    assert [(named.term, named.category) for named in READING.read(text)] == twin(text)


MARKS = st.text(st.sampled_from("ab.,:;!?'\"`()[]{}<>-*&\u201d\u2019\u00bb \n\t"), max_size=30)
SENTENCES = st.one_of(
    MARKS,
    st.lists(st.one_of(PIECES, MARKS, st.just("dogs'"), st.just("hot"), st.just("child's"))).map(" ".join),
)


@given(SENTENCES)
def test_equals_its_naive_twin_among_marks(text: str) -> None:
    assert [(named.term, named.category) for named in READING.read(text)] == twin(text)


@given(SENTENCES)
def test_the_tokens_are_those_of_nltk(text: str) -> None:
    assert tokenize(text.strip()) == tokenizer_of_nltk_3_8()(text.strip())


@given(
    st.one_of(
        st.text(min_size=1),
        st.tuples(
            st.text("abehilmnorstx", min_size=1, max_size=6),
            st.sampled_from(
                [
                    "s",
                    "es",
                    "ies",
                    "ves",
                    "oses",
                    "ice",
                    "i",
                    "a",
                    "ae",
                    "eaux",
                    "itis",
                    "'",
                    "-in-law",
                    "men",
                    "\n",
                ]
            ),
        ).map("".join),
    )
)
def test_the_singular_is_that_of_textblob(word: str) -> None:
    from textblob.inflect import singularize

    assert singularizer()(word) == singularize(word)


def test_the_rules_of_singulars_are_those_of_the_installed_textblob() -> None:
    from importlib.resources import files

    stored = json.loads((files("eidolon.scorers.text") / "data" / "singular.json").read_text())
    assert stored == json.loads(json.dumps(textblob_rules()))


@given(TEXTS)
def test_spans_are_ordered_and_hold_the_words(text: str) -> None:
    end = 0
    for named in READING.read(text):
        assert end <= named.start < named.end <= len(text)
        end = named.end
        surface = text[named.start : named.end].lower().split()
        assert named.term.split()[-1][:2] in [word[:2] for word in surface]


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


@pytest.fixture(scope="module")
def truth(reference_data: Path) -> dict[int, frozenset[str]]:
    path = reference_data / "coco_gt" / "objects.jsonl"
    return {row["image_id"]: frozenset(row["objects"]) for row in rows(path)}


def test_reference_counts(reference_data: Path, truth: dict[int, frozenset[str]]) -> None:
    expected = json.loads((reference_data / "expected" / "chair_runs.json").read_text(encoding="utf-8"))
    for run, numbers in expected.items():
        counts = dict.fromkeys(numbers["counts"], 0)
        for row in rows(reference_data / "responses" / f"{run}.jsonl"):
            objects = truth[row["image_id"]]
            named = Counter(names(row["response"]))
            wrong = sum(count for category, count in named.items() if category not in objects)
            counts["hallucinated_captions"] += wrong > 0
            counts["hallucinated_words"] += wrong
            counts["coco_words"] += named.total()
            counts["recalled_gt_objects"] += len(objects & named.keys())
            counts["gt_objects"] += len(objects)
            counts["captions_without_coco_words"] += not named
            counts["captions_with_empty_gt"] += not objects
        assert counts == numbers["counts"], run


def test_reference_words(reference_data: Path) -> None:
    for path in sorted((reference_data / "expected" / "chair_per_caption").glob("*.jsonl")):
        hat = path.stem == "hat"
        source = reference_data / ("hat" if hat else "responses") / path.name
        pairs = zip(rows(source), rows(path), strict=True)
        for row, expected in pairs:
            found = READING.read(row["caption" if hat else "response"])
            assert [[named.term, named.category] for named in found] == expected["words"]
