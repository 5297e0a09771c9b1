"""The prefixes of turns: equally many objects in both orders, none in both, in a sentence that names only these."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eidolon.benchmark.store.record import SampleRow
from eidolon.benchmark.tasks.forget.forced_orders.design import (
    MOST_NAMED,
    articled,
    chosen,
    make_design,
    sentence,
)
from eidolon.benchmark.tasks.forget.retention.filler import filler
from eidolon.scorers.core.types import Response
from eidolon.scorers.forgetting.forced_orders import ARMS, WINDOW
from eidolon.scorers.judges.lexicon import READINGS, LexiconJudge
from tests.benchmark.tasks.forget.retention.test_design import Words

COCO = LexiconJudge().vocabulary
objects = st.dictionaries(st.sampled_from(COCO), st.sampled_from([None, 0.01, 0.02, 0.1, 0.5]), max_size=9)


def row(key: int, sizes: dict[str, float | None]) -> SampleRow:
    areas = {name: size for name, size in sizes.items() if size is not None}
    return SampleRow(sample_id=f"s{key}", image_id=key, objects=tuple(sorted(sizes)), areas=areas)


@given(objects)
def test_half_of_the_sized_objects_are_named(sizes: dict[str, float | None]) -> None:
    one = row(0, sizes)
    named = chosen(one)
    small, large = named["small"], named["large"]
    assert len(small) == len(large) == min(MOST_NAMED, len(one.areas) // 2)
    assert not set(small) & set(large)
    assert {*small, *large} <= set(one.areas)
    assert [one.areas[name] for name in small] == sorted(one.areas.values())[: len(small)]
    assert [one.areas[name] for name in large] == sorted(one.areas.values())[::-1][: len(large)]


def test_turns_by_hand() -> None:
    sizes = {"cup": 0.1, "dog": 0.3, "bed": 0.9, "umbrella": 0.2, "skis": 0.05}
    design = make_design([row(0, sizes), row(1, {"cup": 0.1, "dog": None}), row(0, {})], Words())
    assert design.missing == {"fewer than two true objects of known size": 1}
    assert [turn.named for turn in design.turns] == [("skis", "cup"), ("bed", "dog")] * 2
    soon, late = design.turns[:2], design.turns[2:]
    assert [turn.text for turn in soon] == ["I can see skis and a cup.", "I can see a bed and a dog."]
    assert [turn.text for turn in late] == [f"{filler('s0', WINDOW)} {turn.text}" for turn in soon]
    assert [(turn.order, turn.late) for turn in design.turns] == list(ARMS)
    assert [turn.number for turn in design.turns] == [0, 1, 2, 3]


def test_the_short_turns_come_first_in_the_order_of_the_run() -> None:
    rows = [row(key, {"cup": 0.1, "dog": 0.3}) for key in (2, 0, 1)]
    turns = [(turn.late, turn.sample_id) for turn in make_design(rows, Words()).turns]
    assert turns == [(late, f"s{key}") for late in (False, True) for key in (2, 0, 1) for _ in range(2)]


def test_a_tokenizer_that_changes_the_text_gives_a_reason() -> None:
    class Lossy(Words):
        def decode_reply(self, tokens):  # type: ignore[no-untyped-def]
            return super().decode_reply(tokens).lower()

    design = make_design([row(0, {"cup": 0.1, "dog": 0.3})], Lossy())
    assert design.turns == ()
    assert design.missing == {"the model's tokenizer does not give the text back": 1}


@pytest.mark.parametrize("reading", READINGS)
def test_the_sentence_names_its_objects_and_the_filler_nothing(reading: str) -> None:
    judge = LexiconJudge(reading)
    triples = [COCO[i : i + 3] for i in range(len(COCO))]
    texts = [f"{filler(str(i), WINDOW)} {sentence(names)}" for i, names in enumerate(triples)]
    responses = [Response(sample_id=str(i), image_id=i, response=text) for i, text in enumerate(texts)]
    for names, text, judgement in zip(triples, texts, judge.judge(responses), strict=True):
        found = [mention.category for mention in judgement.mentions]
        # The original reading takes "bus" for "bu", as it was written.
        assert found == [name for name in names if reading != "original" or name != "bus"], text
        assert judgement.mentions[0].word >= WINDOW


@pytest.mark.parametrize(
    ("category", "expected"),
    [("cup", "a cup"), ("orange", "an orange"), ("scissors", "scissors"), ("bus", "a bus"),
     ("wine glass", "a wine glass"), ("tv", "a tv")],
)  # fmt: skip
def test_articles(category: str, expected: str) -> None:
    assert articled(category) == expected
