"""The questions after each text: balanced, about what is true, and not about what the text names."""

import itertools
import re
from collections import Counter
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from eidolon.benchmark.store.record import SampleRow
from eidolon.benchmark.tasks.forget.retention.design import (
    FACTS,
    RUN_CONDITIONS,
    Context,
    make_design,
    most_of,
)
from eidolon.benchmark.tasks.forget.retention.filler import filler, random_words
from eidolon.models.base.model import Interview, Odds
from eidolon.scorers.core.types import Response
from eidolon.scorers.judges.lexicon import READINGS, LexiconJudge
from eidolon.scorers.retention.records import CONDITIONS, Condition

CATEGORIES = ("bus", "car", "cat", "cup", "dog", "fork", "person", "tv")
LENGTHS = (2, 5, 12)


class Words:
    """A model with one token per word."""

    max_positions: int | None = None
    layout = "words"

    def __init__(self) -> None:
        self.words: dict[str, int] = {}

    def check_interview(self) -> None:
        return

    def encode_reply(self, text: str) -> tuple[int, ...]:
        return tuple(self.words.setdefault(word, len(self.words)) for word in text.split())

    def decode_reply(self, tokens: Sequence[int]) -> str:
        return " ".join([*self.words][token] for token in tokens)

    def interview(self, interviews: Sequence[Interview]) -> list[list[Odds]]:
        raise AssertionError("the design must not ask the model")


def named(text: str) -> frozenset[str]:
    return frozenset(re.findall("[a-z]+", text.lower())) & frozenset(CATEGORIES)


subsets = st.lists(st.sampled_from(CATEGORIES), unique=True, max_size=len(CATEGORIES))
sentences = st.lists(st.sampled_from([*CATEGORIES, "the", "and", "no", "quiet"]), max_size=20).map(" ".join)
datasets = st.lists(st.tuples(subsets, st.one_of(st.none(), sentences)), min_size=1, max_size=8)


def design_of(
    images: Sequence[tuple[list[str], str | None]],
    model: Words,
    seed: int = 0,
    conditions: Sequence[Condition] = CONDITIONS,
) -> list[Context]:
    rows = [
        SampleRow(sample_id=f"s{i}", image_id=i, objects=tuple(objects))
        for i, (objects, _) in enumerate(images)
    ]
    responses = [
        Response(sample_id=f"s{i}", image_id=i, response=text, error=None if text is not None else "failed")
        for i, (_, text) in enumerate(images)
    ]
    found = make_design(rows, responses, model, named, lengths=LENGTHS, seed=seed, conditions=conditions)
    missing = Counter({key: sum(reasons.values()) for key, reasons in found.missing.items()})
    for condition in conditions:
        for n in LENGTHS:
            there = sum((c.condition, c.n) == (condition, n) for c in found.contexts)
            assert there + missing[condition, n] == len(images)
    return list(found.contexts)


@settings(deadline=None)
@given(datasets, st.integers(0, 5))
def test_every_context_is_balanced_and_true(images: list[tuple[list[str], str | None]], seed: int) -> None:
    model = Words()
    for context in design_of(images, model, seed):
        if context.condition is None:
            continue
        objects = set(images[int(context.image_id)][0])
        text = named(model.decode_reply(context.given))
        assert len(context.given) == context.n
        kinds = Counter((query.kind, query.named, query.truth) for query in context.queries)
        expected = {("object", False, True): 1, ("object", False, False): 1}
        if context.condition == "other":
            expected |= {("object", True, True): 1, ("object", True, False): 1}
        if context.condition != "before":
            expected |= {("text", False, True): 1, ("text", False, False): 1}
        assert kinds == expected
        for query in context.queries:
            if query.kind == "object":
                assert query.truth == (query.about in objects)
                assert query.named == (query.about in text)
        if context.condition == "own":
            assert model.decode_reply(context.given) in " ".join(
                (images[int(context.image_id)][1] or "").split()
            )
        if context.condition == "other":
            assert context.donor not in (None, context.sample_id)


@settings(deadline=None)
@given(datasets)
def test_every_question_is_also_asked_at_0(images: list[tuple[list[str], str | None]]) -> None:
    contexts = design_of(images, Words())
    first = {c.image_id: {(q.kind, q.about, q.text) for q in c.queries} for c in contexts if not c.n}
    for context in contexts:
        assert {(q.kind, q.about, q.text) for q in context.queries} <= first[context.image_id]
    keys = [(c.sample_id, c.number) for c in contexts]
    assert len(set(keys)) == len(keys)
    assert [c.n for c in contexts] == sorted(c.n for c in contexts)


@settings(deadline=None)
@given(datasets)
def test_no_design_exceeds_its_upper_bounds(images: list[tuple[list[str], str | None]]) -> None:
    contexts = design_of(images, Words(), conditions=RUN_CONDITIONS)
    most = most_of(len(images), LENGTHS)
    assert len(contexts) <= most.contexts
    assert sum(len(c.queries) for c in contexts) <= most.questions
    assert sum(c.n for c in contexts) <= most.tokens


def test_a_design_can_reach_its_upper_bounds() -> None:
    """Long descriptions that name some of the present and absent objects, and leave enough of both."""
    images = [
        (["bus", "car", "cat", "cup"], "bus fork " + "quiet " * 20),
        (["dog", "fork", "person", "tv"], "car dog " + "the " * 20),
    ]
    contexts = design_of(images, Words(), conditions=RUN_CONDITIONS)
    most = most_of(2, LENGTHS)
    assert (len(contexts), sum(c.n for c in contexts)) == (most.contexts, most.tokens)
    asked = sum(len(c.queries) for c in contexts if c.condition is not None)
    assert asked == 2 * len(LENGTHS) * (4 + 4 + 6 + 2)


def test_a_text_beyond_the_positions_of_the_model_is_counted() -> None:
    model = Words()
    model.max_positions = 70
    images: list[tuple[list[str], str | None]] = [(["dog"], "quiet " * 20), (["cat"], "the " * 20)]
    contexts = design_of(images, model)
    assert {c.n for c in contexts} == {0, 2, 5}


def test_the_absent_object_occurs_beside_the_present_one_elsewhere() -> None:
    images: list[tuple[list[str], str | None]] = [
        (["dog"], None),
        (["dog", "cat"], None),
        (["dog", "cat"], None),
        (["dog", "car"], None),
        (["fork", "bus"], None),
    ]
    (context, *_) = (c for c in design_of(images, Words()) if c.image_id == 0 and c.condition == "filler")
    assert [query.about for query in context.queries if query.kind == "object"] == ["dog", "cat"]


def test_filler_names_nothing_and_states_no_fact() -> None:
    text = " ".join(filler(f"s{i}", 300) for i in range(20))
    for reading in READINGS:
        judge = LexiconJudge(reading)
        (judgement,) = judge.judge([Response(sample_id="f", image_id="f", response=text)])
        assert judgement.mentions == ()
    words = set(re.findall(r"\w+", text.lower()))
    assert not words & {value.lower() for values in FACTS.values() for value in values}
    assert filler("a", 50) == filler("a", 50) != filler("b", 50)
    assert filler("a", 50).startswith(filler("a", 20))


def test_random_words_are_the_words_of_the_filler_in_another_order() -> None:
    sentences, words = filler("s0", 200), random_words("s0", 200)
    said = [word.strip(".,").lower() for word in sentences.split()]
    assert Counter(words.split()) == Counter(said)
    assert words == random_words("s0", 200) != random_words("s1", 200)
    pairs = Counter(itertools.pairwise(said))
    kept = sum(pair in pairs for pair in itertools.pairwise(words.split())) / len(said)
    assert kept < 0.25


def test_a_run_asks_after_no_random_words_and_may_be_given_other_descriptions() -> None:
    objects = (("cup", "dog"), ("cat", "fork"))
    rows = [SampleRow(sample_id=f"s{i}", image_id=i, objects=names) for i, names in enumerate(objects)]
    responses = [Response(sample_id=f"s{i}", image_id=i, response="short") for i in range(2)]
    plain = make_design(rows, responses, Words(), named, lengths=LENGTHS)
    assert {context.condition for context in plain.contexts} <= {None, *RUN_CONDITIONS}
    assert "words" not in RUN_CONDITIONS
    assert all(context.condition != "other" for context in plain.contexts)
    assert ("other", LENGTHS[0]) in plain.missing
    told = {"s0": "cup cat " * 6, "s1": "cat cup " * 6}
    model = Words()
    found = make_design(rows, responses, model, named, lengths=LENGTHS, others=told)
    other = {
        (c.sample_id, c.n): model.decode_reply(c.given) for c in found.contexts if c.condition == "other"
    }
    assert other["s0", 12] == told["s1"].strip()
    assert other["s1", 12] == told["s0"].strip()
