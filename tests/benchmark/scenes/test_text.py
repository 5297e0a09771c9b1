import re

import numpy as np
import pytest

from eidolon.benchmark.scenes.dialogue import FACTS, Mixture, Turn, make_dialogue, training_pair
from eidolon.benchmark.scenes.scene import Dials, Scene, Thing, make_scene
from eidolon.benchmark.scenes.text import (
    LEADS,
    MAX_WORDS,
    MIN_WORDS,
    ask,
    ask_existence,
    ask_presence,
    caption,
    describe,
    filler,
    first_mention_slots,
    introduce,
)
from eidolon.benchmark.scenes.world import CATEGORIES, VOCABULARY
from eidolon.scorers.core.types import Judgement, Response
from eidolon.scorers.judges.lexicon import LexiconJudge

SCENES = [make_scene(5, index, Dials()) for index in range(600)]


def judge(texts: list[str], reading: str = "careful") -> list[Judgement]:
    responses = [Response(sample_id=str(i), image_id=i, response=text) for i, text in enumerate(texts)]
    return list(LexiconJudge(reading=reading).judge(responses))


@pytest.fixture(scope="module")
def descriptions() -> list[str]:
    return [describe(scene, scene.rng("text")) for scene in SCENES]


@pytest.fixture(scope="module")
def judgements(descriptions: list[str]) -> list[Judgement]:
    return judge(descriptions)


def test_descriptions_name_all_objects_and_no_others(judgements: list[Judgement]) -> None:
    for scene, judgement in zip(SCENES, judgements, strict=True):
        assert {mention.category for mention in judgement.mentions} == set(scene.objects)


def test_captions_name_everything() -> None:
    for scene, judgement in zip(SCENES, judge([caption(s, s.rng("c")) for s in SCENES]), strict=True):
        assert {mention.category for mention in judgement.mentions} == set(scene.objects)


def test_filler_names_nothing() -> None:
    rng = np.random.default_rng(0)
    texts = [filler(rng) for _ in range(2000)]
    for reading in ("careful", "original"):
        assert not [m for judgement in judge(texts, reading) for m in judgement.mentions]


def test_descriptions_keep_their_bounds_and_all_differ(descriptions: list[str]) -> None:
    words = [len(text.split()) for text in descriptions]
    assert min(words) >= MIN_WORDS
    assert max(words) <= MAX_WORDS
    assert np.percentile(words, 10) < 60
    assert np.percentile(words, 90) > 180
    assert len(set(descriptions)) == len(descriptions)


def first_words(judgement: Judgement) -> list[int]:
    places: dict[str, int] = {}
    for mention in judgement.mentions:
        places.setdefault(mention.category, mention.word)
    return list(places.values())


def test_the_position_of_a_first_mention_does_not_depend_on_the_number_of_objects() -> None:
    scenes = [make_scene(6, index, Dials()) for index in range(3000)]
    places = [first_words(j) for j in judge([describe(s, s.rng("text")) for s in scenes])]
    number = np.array([len(scene.things) for scene in scenes])
    for place in (np.array([min(p) for p in places]), np.array([np.mean(p) for p in places])):
        # ±0.1 is under 1 % of the variance; noise alone gives ±0.036 (95 %).
        assert abs(np.corrcoef(number, place)[0, 1]) < 0.1
    assert np.mean([min(p) > 50 for p in places]) > 0.05, "some scenes' first object comes late"


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_slots_keep_their_earliest_and_mean_position(n: int) -> None:
    rng = np.random.default_rng(n)
    rows = [first_mention_slots(n, 40, rng) for _ in range(4000)]
    assert all(len(set(row)) == n and row == sorted(row) for row in rows)
    assert np.mean([row[0] for row in rows]) / 39 == pytest.approx(0.11, abs=0.02)
    if n > 1:
        assert np.mean(rows) / 39 == pytest.approx(0.45, abs=0.03)


def test_words_are_free(descriptions: list[str]) -> None:
    text = " ".join(descriptions)
    for wanted in (
        "There is no ",
        "I cannot see any ",
        " to the left of ",
        " two ",
        "bike",
        "television",
        "above",
    ):
        assert wanted in text, wanted
    assert sum(lead in text for lead in LEADS) == len(LEADS)


def thing(category: str, colour: str | None, *xs: float) -> Thing:
    return Thing(category, colour, tuple((x, 0.4, x + 0.2, 0.6) for x in xs))


def scene_of(*things: Thing) -> Scene:
    return Scene(0, 0, "kitchen", things, Dials())


def test_sentences_of_a_known_scene_are_true() -> None:
    cup, scissors = thing("cup", "red", 0.0), thing("scissors", "blue", 0.7)
    rng = np.random.default_rng(0)
    sentences = {introduce(cup, [scissors], rng) for _ in range(400)}
    assert all("cup" in s and "blue" not in s for s in sentences)
    assert not any("right side" in s or "in the middle" in s for s in sentences)
    assert any("to the left of the scissors" in s for s in sentences)
    assert not any("to the right of" in s for s in sentences)
    sentences = {introduce(scissors, [], rng) for _ in range(400)}
    assert all("a pair of " in s.lower() and " are a pair" not in s for s in sentences)
    assert not any("left side" in s for s in sentences)


def true_answer(scene: Scene, text: str) -> str:
    """Answer a question from its words and the ground truth: the naive twin of `ask`."""
    names = sorted(
        ((n, c.name) for c in CATEGORIES.values() for n in (c.name, c.plural)), key=lambda p: -len(p[0])
    )
    category = next(name for words, name in names if re.search(rf"\b{words}\b", text))
    found = {t.category: t for t in scene.things}
    if category not in found:
        return "No"
    if match := re.search(r"exactly one|Are there (two|three) ", text):
        told = 1 if match.group(1) is None else {"two": 2, "three": 3}[match.group(1)]
        return "Yes" if found[category].count == told else "No"
    if match := re.search(r" (red|blue|green|yellow|purple|pink|white|black|brown|grey)\?", text):
        return "Yes" if found[category].colour == match.group(1) else "No"
    return "Yes"


def test_questions_have_their_true_answers() -> None:
    answers = []
    for scene in SCENES:
        rng = scene.rng("questions")
        for _ in range(5):
            question = ask(scene, rng)
            assert question.answer == true_answer(scene, question.text), (question, scene)
            answers.append(question.answer)
    assert np.mean([a == "Yes" for a in answers]) == pytest.approx(0.5, abs=0.03)


def test_presence_questions_have_the_wanted_answer() -> None:
    for scene in SCENES[:200]:
        rng = scene.rng("presence")
        assert ask_presence(scene, rng, present=True).category in scene.objects
        assert ask_presence(scene, rng, present=False).category in scene.absent


def test_existence_is_also_asked_in_popes_words() -> None:
    rng = np.random.default_rng(0)
    assert {"Is there an umbrella in the image?"} <= {
        ask_existence("umbrella", "Yes", rng).text for _ in range(50)
    }


def dialogues(mixture: Mixture, n: int = 200) -> list[list[Turn]]:
    return [make_dialogue(scene, scene.rng("dialogue"), mixture) for scene in SCENES[:n]]


def test_dialogues_ask_at_varied_distances() -> None:
    only = {"description": 0, "caption": 0, "questions": 0, "filler": 0, "other": 0}
    after_own = dialogues(Mixture(**{**only, "description": 1}))
    assert all(len(turns[0].answer.split()) >= MIN_WORDS and turns[1].is_closed for turns in after_own)
    at_once = dialogues(Mixture(**{**only, "questions": 1}))
    assert all(turn.is_closed and len(turn.ask.split()) < 14 for turns in at_once for turn in turns)
    for kind in ("filler", "other"):
        asked = [len(turns[0].ask.split()) for turns in dialogues(Mixture(**{**only, kind: 1}))]
        assert min(asked) > MIN_WORDS
        assert max(asked) > 200


def test_questions_about_stated_facts_have_true_answers() -> None:
    seen = 0
    for turns in dialogues(Mixture(), 600):
        text = " ".join(turn.ask for turn in turns)
        for name, values in FACTS.items():
            told = re.search(rf"Remember that {name} is (\w+)\.", text)
            for turn in turns:
                if match := re.search(rf"Is {name} (\w+)\?$", turn.ask):
                    assert told is not None
                    assert told.group(1) in values
                    assert turn.answer == ("Yes" if match.group(1) == told.group(1) else "No")
                    seen += 1
    assert seen > 50


def test_training_pairs_are_a_function_of_seed_and_index() -> None:
    assert training_pair(1, 5, Dials(), Mixture()) == training_pair(1, 5, Dials(), Mixture())
    assert training_pair(1, 5, Dials(), Mixture()) != training_pair(1, 6, Dials(), Mixture())


def test_every_category_gets_named_somewhere(judgements: list[Judgement]) -> None:
    assert {m.category for j in judgements for m in j.mentions} == set(VOCABULARY)
