"""AMBER, compared with the reference program, results computed by hand, and a naive twin."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eidolon.scorers.core.errors import UserError
from eidolon.scorers.metrics.amber import DIMENSIONS, GROUPS, TYPES, Amber, ClosedAnswer, FreeAnswer
from eidolon.scorers.metrics.amber_words import VECTOR_VERSION, LexiconMatcher, VectorMatcher, vocabulary_of

RELATIONS = {
    "person": ("man", "woman", "people"),
    "man": (),
    "dog": ("puppy",),
    "cat": (),
    "sky": (),
    "light": ("lamp",),
    "can": (),
    "leave": (),
    "orange": (),
    "knife": (),
}
MATCHER = LexiconMatcher(vocabulary_of(RELATIONS))
PREFIXES = {"hallucination_": "existence_", "attr_": "attribute_"}


def closed(index: int, dimension: str, truth: bool, answer: str) -> ClosedAnswer:
    return ClosedAnswer(index, index // 4, dimension, truth, answer)


def free(index: int, response: str, truth: list[str], feared: list[str]) -> FreeAnswer:
    return FreeAnswer(index, index, tuple(truth), tuple(feared), response)


def compute(mode: str, samples: list[Any], safe: frozenset[str] = frozenset()) -> dict[str, float]:
    metric = Amber(mode, RELATIONS, MATCHER, safe)
    values = metric.compute(metric.statistics(samples).sum(axis=0))
    return {name: float(value) for name, value in values.items()}


def naive_closed(mode: str, samples: list[ClosedAnswer]) -> dict[str, float]:
    """The closed questions as the reference counts them, in a loop and without columns."""
    found = {}
    for prefix, dimensions in GROUPS.items():
        mine = [s for s in samples if s.dimension in dimensions]
        metric = Amber(mode, RELATIONS, MATCHER)
        read = [metric.parse(s.answer) for s in mine]
        start = 0.0
        if mode == "compat":
            start = 0.001 * (1 if prefix == "" else len(dimensions))
        right = sum(r == s.truth for r, s in zip(read, mine, strict=True))
        denied = sum(r is False and not s.truth for r, s in zip(read, mine, strict=True))
        said, due = sum(r is False for r in read), sum(not s.truth for s in mine)
        rates = []
        for top, bottom in ((right, len(mine)), (denied, said), (denied, due)):
            rates.append(top / (bottom + start) if bottom + start else math.nan)
        accuracy, p, r = rates
        if mode == "compat":
            accuracy, p, r = (round(rate * 100, 1) for rate in rates)
            extra = 0.001 if prefix == "existence_" else 0.0001
            f1 = round(2 * (p / 100) * (r / 100) / ((p / 100) + (r / 100) + extra) * 100, 1)
            accuracy, p, r, f1 = (value / 100 for value in (accuracy, p, r, f1))
        else:
            f1 = 2 * denied / (said + due) if said + due else math.nan
        if not mine:
            accuracy = p = r = f1 = math.nan
        names = ("accuracy", "precision", "recall", "f1")
        found |= {prefix + name: value for name, value in zip(names, (accuracy, p, r, f1), strict=True)}
    return found


@st.composite
def answers(draw: st.DrawFn) -> list[ClosedAnswer]:
    phrases = st.sampled_from(["Yes", "No", "yes", "No.", "", "Unsure", "No, it is not."])
    rows = draw(st.lists(st.tuples(st.sampled_from(DIMENSIONS), st.booleans(), phrases), max_size=20))
    return [closed(i, *row) for i, row in enumerate(rows)]


WORDS = ["man", "men", "a puppy", "the dog", "cats", "sky", "tree", "people"]


@st.composite
def descriptions(draw: st.DrawFn) -> list[FreeAnswer]:
    objects = st.lists(st.sampled_from(["person", "man", "dog", "cat", "sky"]), max_size=3)
    texts = st.lists(st.sampled_from(WORDS), max_size=5).map(" and ".join)
    rows = draw(st.lists(st.tuples(texts, objects, objects), max_size=6))
    return [free(i, text, truth, feared) for i, (text, truth, feared) in enumerate(rows)]


def naive_free(samples: list[FreeAnswer]) -> dict[str, float]:
    """The mode `fixed` with sets of objects, one noun at a time."""
    forms = {"man": "man", "men": "man", "a puppy": "puppy", "the dog": "dog", "cats": "cat", "sky": "sky"}
    forms["people"] = "people"
    nouns = wrong = bad = true = covered = fears = feared = 0
    for s in samples:
        named = [forms[word] for word in s.response.split(" and ") if word in forms]

        def objects_of(noun: str, objects: tuple[str, ...]) -> set[str]:
            return {noun} if noun in objects else {o for o in objects if noun in RELATIONS[o]}

        hit = [objects_of(noun, s.truth) for noun in named]
        missed = [noun for noun, found in zip(named, hit, strict=True) if not found]
        nouns, wrong, bad = nouns + len(named), wrong + len(missed), bad + bool(missed)
        true, covered = true + len(set(s.truth)), covered + len(set().union(*hit))
        fears += len(set(s.feared))
        feared += len(set().union(*(objects_of(noun, s.feared) for noun in missed)))

    def over(top: int, bottom: int) -> float:
        return top / bottom if bottom else math.nan

    return {
        "chair": over(wrong, nouns),
        "cover": over(covered, true),
        "hal": over(bad, len(samples)),
        "cog": over(feared, fears),
    }


@pytest.mark.parametrize("name", ["clean", "loose"])
def test_equals_the_reference_program(reference_data: Path, name: str) -> None:
    expected = json.loads((reference_data / "expected" / "amber_discriminative.json").read_text())[name]
    annotations = json.loads((reference_data / "amber" / "annotations.json").read_text())
    samples = [
        ClosedAnswer(row["id"], row["id"], TYPES[item["type"]], item["truth"] == "yes", row["response"])
        for row in json.loads((reference_data / "amber" / f"answers_{name}.json").read_text())
        for item in [annotations[row["id"] - 1]]
    ]
    values = compute("compat", samples)
    for theirs, percent in expected["reference_rounded_values"].items():
        prefix, _, measure = theirs.rpartition("_")
        prefix = f"{prefix}_" if prefix else ""
        assert values[PREFIXES.get(prefix, prefix) + measure.lower()] == pytest.approx(
            percent / 100, abs=1e-12
        )
    metric = Amber("compat", RELATIONS, MATCHER)
    totals = dict(zip(metric.columns, metric.statistics(samples).sum(axis=0), strict=True))
    counters = expected["reference_counters"]
    shorts = {"as": "state", "an": "number", "aa": "action", "asso": "relation", "ha": "existence"}
    for short, dimension in shorts.items():
        for theirs, ours in (
            ("correct_score", "right"),
            ("correct_num", "questions"),
            ("no_score", "denied"),
            ("no_num", "truth_no"),
            ("ans_no_num", "said_no"),
        ):
            assert totals[f"{dimension}_{ours}"] == int(counters[f"{short}_qa_{theirs}"])


HAND = [
    closed(0, "existence", False, "No"),
    closed(1, "state", True, "Yes"),
    closed(2, "state", False, "no."),
    free(3, "A man and his dog under the sky.", ["person", "dog"], ["cat"]),
    free(4, "A cat.", ["sky"], ["cat", "dog"]),
]
"""The example of docs/reference/metrics/amber.md."""


def test_worked_by_hand() -> None:
    """In `compat` "no." is no answer. Nouns: man, dog, sky* | cat*, * is wrong. Covered: person, dog. Feared: cat."""
    compat, fixed = compute("compat", HAND), compute("fixed", HAND)
    wanted = {"accuracy": 0.666, "precision": 0.999, "recall": 0.5, "f1": 0.666, "unparsed": 1 / 3}
    assert {name: compat[name] for name in wanted} == pytest.approx(wanted)
    assert {name: fixed[name] for name in wanted} == dict(zip(wanted, (1, 1, 1, 1, 0), strict=True))
    wanted = {"chair": 2 / 4, "cover": 2 / 3, "hal": 2 / 2, "cog": 1 / 3, "score": (1 - 2 / 4 + 1) / 2}
    assert {name: fixed[name] for name in wanted} == pytest.approx(wanted)
    assert {name: compat[name] for name in ("chair", "cover", "hal", "cog")} == pytest.approx(
        {"chair": 0.5, "cover": 0.666, "hal": 1.0, "cog": 0.333}
    )
    assert math.isnan(compat["relation_f1"])


def test_rounding_is_pythons() -> None:
    samples = [closed(i, "state", True, "Yes" if i < 5 else "No") for i in range(8)]
    assert compute("compat", samples)["state_accuracy"] == round(5 / 8.001 * 100, 1) / 100


def test_a_safe_word_is_a_noun_and_never_wrong() -> None:
    values = compute("fixed", [free(0, "A man and a cat.", ["dog"], [])], frozenset({"cat"}))
    assert values["chair"] == 1 / 2


def test_the_first_object_gets_the_credit_in_compat() -> None:
    """ "man" is associated with the person, and associated words come first."""
    metric = Amber("compat", RELATIONS, MATCHER)
    assert metric.named(free(0, "A man.", ["man", "person"], [])).covered == {1}
    metric = Amber("fixed", RELATIONS, MATCHER)
    assert metric.named(free(0, "A man.", ["man", "person"], [])).covered == {0}


@pytest.mark.parametrize(
    ("text", "nouns"),
    [
        ("Two dogs, a puppy and PEOPLE.", ["dog", "puppy", "people"]),
        ("Knives and oranges on the leaves.", ["knife", "orange", "leave"]),
        ("You can see a can.", ["can"]),
        ("An orange shirt in a light room; he leaves.", []),
        ("The light is on. An orange.", ["light", "orange"]),
        ("A doghouse, a skyline", []),
        ("", []),
    ],
)
def test_which_nouns_the_lexicon_finds(text: str, nouns: list[str]) -> None:
    assert MATCHER.nouns(text) == nouns


@given(answers(), st.sampled_from(["compat", "fixed"]))
def test_closed_equals_its_naive_twin(samples: list[ClosedAnswer], mode: str) -> None:
    values = compute(mode, samples)
    wanted = naive_closed(mode, samples)
    assert {name: values[name] for name in wanted} == pytest.approx(wanted, nan_ok=True, abs=1e-12)


@given(descriptions())
def test_free_form_equals_its_naive_twin(samples: list[FreeAnswer]) -> None:
    values, wanted = compute("fixed", samples), naive_free(samples)
    assert {name: values[name] for name in wanted} == pytest.approx(wanted, nan_ok=True, abs=1e-12)


@given(answers(), descriptions(), st.randoms(use_true_random=False))
def test_order_and_duplication_change_nothing(
    asked: list[ClosedAnswer], described: list[FreeAnswer], random: Any
) -> None:
    samples = [*asked, *described]
    before = compute("fixed", samples)
    assert compute("fixed", random.sample(samples, len(samples))) == pytest.approx(before, nan_ok=True, abs=0)
    assert compute("fixed", samples * 2) == pytest.approx(before, nan_ok=True, rel=1e-12)


def test_vectors_demand_their_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(version: str) -> Any:
        return lambda name: version

    def absent(name: str) -> str:
        from importlib.metadata import PackageNotFoundError

        raise PackageNotFoundError(name)

    module = "eidolon.scorers.metrics.amber_words.version"
    monkeypatch.setattr(module, absent)
    with pytest.raises(UserError, match=f"en_core_web_lg {VECTOR_VERSION}, which is not installed"):
        VectorMatcher(frozenset())
    monkeypatch.setattr(module, found("3.7.1"))
    with pytest.raises(UserError, match=r"3\.7\.1 is installed"):
        VectorMatcher(frozenset())

    class Other:
        meta: dict[str, str]

        def __init__(self) -> None:
            self.meta = {"lang": "en", "name": "core_web_sm", "version": VECTOR_VERSION}

    monkeypatch.setattr(module, found(VECTOR_VERSION))
    monkeypatch.setattr("spacy.load", lambda name: Other())
    with pytest.raises(UserError, match="the package of that name loads en_core_web_sm"):
        VectorMatcher(frozenset())


def test_alike_words_count_as_the_object_with_vectors() -> None:
    class Alike(LexiconMatcher):
        def alike(self, noun: str, word: str) -> bool:
            return {noun, word} == {"cat", "dog"}

    metric = Amber("compat", RELATIONS, Alike(vocabulary_of(RELATIONS)))
    named = metric.named(free(0, "A cat and the sky.", ["dog"], ["cat", "dog"]))
    assert named.hallucinated == ("sky",)
    assert named.covered == {0}
    assert named.feared == {0, 1}
