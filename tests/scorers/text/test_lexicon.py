"""The lexicon file, its validation, and the judge that uses the readings."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.types import Judgement, Response
from eidolon.scorers.judges.lexicon import NOT_ENGLISH, LexiconJudge
from eidolon.scorers.judges.mentions import NO_RESPONSE
from eidolon.scorers.text.lexicon import (
    Lexicon,
    LexiconCategory,
    available_lexicons,
    load_lexicon,
)
from eidolon.scorers.text.plurals import plural_forms


def judge_text(judge: LexiconJudge, text: str | None, **fields: object) -> Judgement:
    response = Response.model_validate({"sample_id": "s", "image_id": 1, "response": text, **fields})
    (judgement,) = judge.judge([response])
    return judgement


@pytest.fixture(scope="module")
def careful() -> LexiconJudge:
    return LexiconJudge()


def test_coco80_is_complete() -> None:
    lexicon = load_lexicon("coco80")
    assert available_lexicons() == ("coco80",)
    assert len(lexicon.vocabulary) == 80
    ids = [category.id for category in lexicon.categories if category.id is not None]
    assert ids == sorted(ids)
    assert (ids[0], ids[-1]) == (1, 90)
    assert lexicon.licence == "BSD-2-Clause"
    assert "Rohrbach" in lexicon.source
    assert all(category.terms[0] == category.name for category in lexicon.categories)


def test_coco80_carries_the_reference_terms(reference_data: Path) -> None:
    table = json.loads((reference_data / "chair_lexicon.json").read_text(encoding="utf-8"))
    reachable = {
        term: name for name, terms in table["synonyms"].items() for term in terms if term == term.strip()
    }
    assert load_lexicon("coco80").terms() == reachable
    assert dict(load_lexicon("coco80").pairs) == table["two_word_names"]


def test_careful_tables_speak_of_known_terms() -> None:
    lexicon = load_lexicon("coco80")
    tables, terms = lexicon.careful, lexicon.careful_terms()
    grouped = [term for group in tables.compound_heads for term in group.terms]
    sensed = [term for group in (*tables.senses, *tables.short_names) for term in group.terms]
    parts = [term for terms in tables.linked_parts.values() for term in terms]
    named = [
        *tables.excluded_terms,
        *(term for term in tables.plurals if term not in tables.blocked_phrases),
        *tables.modifiers,
        *tables.verbs,
        *tables.kin,
        *grouped,
        *tables.things,
        *tables.part_names,
        *sensed,
        *parts,
    ]
    assert [term for term in named if term not in terms] == []
    assert [phrase for phrase in tables.blocked_phrases if phrase in terms] == []


@pytest.mark.parametrize(
    ("term", "plural"),
    [("dog", "dogs"), ("bench", "benches"), ("lady", "ladies"), ("trolley", "trolleys")],
)
def test_plural_forms(term: str, plural: str) -> None:
    assert plural_forms(term) == (plural,)


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: LexiconJudge(reading="carefull"), "did you mean 'careful'"),
        (lambda: LexiconJudge(lexicon="coco8"), "did you mean 'coco80'"),
        (lambda: LexiconJudge(categories=["tedy bear"]), "did you mean 'teddy bear'"),
        (lambda: LexiconJudge(categories=[]), "no categories"),
        (lambda: load_lexicon("nowhere/lexicon.json"), "nowhere/lexicon.json"),
    ],
)
def test_user_errors(build: object, said: str) -> None:
    assert callable(build)
    with pytest.raises(UserError, match=said):
        build()


def test_own_lexicon_file(tmp_path: Path) -> None:
    path = tmp_path / "shapes.json"
    path.write_text('{"name": "shapes", "categories": [{"name": "square", "terms": ["square", "box"]}]}')
    judge = LexiconJudge(lexicon=str(path))
    assert re.fullmatch(r"lexicon\(reading=careful-2,vocabulary=shapes#[0-9a-f]{12}\)", judge.signature())
    assert [mention.text for mention in judge_text(judge, "Two boxes and a square.").mentions] == [
        "boxes",
        "square",
    ]


@pytest.mark.parametrize(
    "content",
    [
        "{",
        '{"name": "x"}',
        '{"name": "x", "categories": [], "colors": []}',
        '{"name": "x", "categories": [{"name": "a", "terms": ["t"]}, {"name": "b", "terms": ["t"]}]}',
        '{"name": "x", "categories": [], "careful": {"extra_terms": {"a": ["t"]}}}',
    ],
)
def test_invalid_lexicon_file(tmp_path: Path, content: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(content)
    with pytest.raises(UserError, match=r"bad\.json: not a lexicon"):
        load_lexicon(str(path))


def test_lexicon_without_file() -> None:
    lexicon = Lexicon(name="glyphs", categories=(LexiconCategory(name="star", terms=("star",)),))
    judge = LexiconJudge(lexicon=lexicon, reading="original")
    assert [mention.category for mention in judge_text(judge, "Stars, and one star.").mentions] == [
        "star"
    ] * 2


def test_signature_follows_the_content_of_a_user_lexicon() -> None:
    """Otherwise a run could continue with a changed file."""
    one = Lexicon(name="coco80", categories=(LexiconCategory(name="dog", terms=("dog",)),))
    other = Lexicon(name="coco80", categories=(LexiconCategory(name="dog", terms=("dog", "hound")),))
    assert LexiconJudge(lexicon=one).signature() == LexiconJudge(lexicon=one).signature()
    assert LexiconJudge(lexicon=one).signature() != LexiconJudge(lexicon=other).signature()


def test_categories_as_text() -> None:
    assert LexiconJudge("original", categories="dog, cat").vocabulary == ("cat", "dog")
    with pytest.raises(UserError, match="no category 'dgo'; did you mean 'dog'"):
        LexiconJudge("original", categories="dgo")


def test_signature() -> None:
    assert LexiconJudge("original").signature() == "lexicon(reading=original,vocabulary=coco80)"
    narrowed = LexiconJudge("original", categories=["dog", "cat"])
    assert narrowed.vocabulary == ("cat", "dog")
    assert narrowed.signature() == "lexicon(reading=original,vocabulary=coco80:cat+dog)"


def test_narrowing_reports_less_and_reads_the_same() -> None:
    judge = LexiconJudge(categories=["dog"])
    mentions = judge_text(judge, "A hot dog, a cat and a dog.").mentions
    assert [(mention.category, mention.start) for mention in mentions] == [("dog", 23)]


def test_mentions_are_placed(careful: LexiconJudge) -> None:
    text = "Two  dogs\nand a hot dog."
    ends = (3, 5, 9, 10, 13, 15, 19, 23, 24)
    mentions = judge_text(careful, text, token_ends=ends).mentions
    placed = [(mention.text, mention.start, mention.end, mention.word, mention.token) for mention in mentions]
    assert placed == [("dogs", 5, 9, 1, 2), ("hot dog", 16, 23, 4, 6)]


def test_token_beyond_the_recorded_ones_is_unknown(careful: LexiconJudge) -> None:
    (mention,) = judge_text(careful, "a dog", token_ends=(1,)).mentions
    assert mention.token is None


def test_what_cannot_be_judged(careful: LexiconJudge) -> None:
    assert judge_text(careful, "Un perro y un gato en la mesa.").unscored == NOT_ENGLISH
    assert judge_text(careful, None, error="timeout").unscored == "timeout"
    assert judge_text(careful, None).unscored == NO_RESPONSE


@pytest.mark.parametrize("text", ["", " \n", "...", "I'm sorry, I cannot identify people in this image."])
def test_silence_and_refusals_name_nothing(careful: LexiconJudge, text: str) -> None:
    judgement = judge_text(careful, text)
    assert judgement.mentions == ()
    assert judgement.unscored is None


def test_original_reads_every_text() -> None:
    judge = LexiconJudge("original")
    assert [mention.text for mention in judge_text(judge, "Sorry, I cannot help this person.").mentions] == [
        "person"
    ]
    assert judge_text(judge, "Un perro y un gato en la mesa.").unscored is None


def test_generation_is_kept(careful: LexiconJudge) -> None:
    assert judge_text(careful, "a dog", generation=3).generation == 3


def test_importing_loads_no_heavy_library() -> None:
    code = (
        "import sys; import eidolon.scorers.judges.lexicon, eidolon.scorers.text.reading_careful; "
        "import eidolon.scorers.text.reading_original; "
        "sys.exit(', '.join({'spacy', 'nltk', 'textblob', 'torch'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
