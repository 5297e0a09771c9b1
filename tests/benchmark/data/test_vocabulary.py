"""A vocabulary file made from a dataset's annotations."""

import json
from pathlib import Path

import pytest

from eidolon.benchmark.data.vocabulary import NamedCategory, make_lexicon, read_categories
from eidolon.scorers.core.types import Response
from eidolon.scorers.judges.lexicon import LexiconJudge
from eidolon.scorers.text.lexicon import Lexicon, LexiconCategory, load_lexicon
from tests.benchmark.conftest import Cli

CATEGORIES = [
    {"id": 3, "name": "Handbag/Satchel"},
    {"id": 1, "name": "Sneakers"},
    {"id": 2, "name": "Cell Phone"},
    {"id": 4, "name": "Glasses"},
    {"id": 5, "name": "Satchel"},
]


@pytest.fixture
def annotations(tmp_path: Path) -> Path:
    file = tmp_path / "instances.json"
    file.write_text(json.dumps({"images": [], "annotations": [], "categories": CATEGORIES}))
    return file


def test_a_judge_uses_the_file(annotations: Path, cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "mine.json"
    result = cli("vocabulary", "--annotations", annotations, "--out", out)
    assert result.code == 0, result.err
    assert "look at: 'satchel' of 'Satchel' goes to 'Handbag/Satchel'" in result.out
    assert "look at: 'Satchel' has no term of its own" in result.out
    assert "5 categories" in result.out
    lexicon = load_lexicon(str(out))
    assert lexicon.vocabulary == ("Sneakers", "Cell Phone", "Handbag/Satchel", "Glasses", "Satchel")
    text = "A woman in sneakers and glasses holds two cell phones beside a satchel; one sneaker is red."
    judge = LexiconJudge(lexicon=str(out))
    (judgement,) = judge.judge([Response(sample_id="1", image_id=1, response=text)])
    assert [mention.category for mention in judgement.mentions] == [
        "Sneakers",
        "Glasses",
        "Cell Phone",
        "Handbag/Satchel",
        "Sneakers",
    ]


def test_a_file_is_never_overwritten(annotations: Path, cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "mine.json"
    out.write_text("mine")
    result = cli("vocabulary", "--annotations", annotations, "--out", out)
    assert (result.code, "is there already" in result.err, out.read_text()) == (2, True, "mine")
    for wrong in (tmp_path / "mine.txt", tmp_path / "nowhere" / "mine.json"):
        assert cli("vocabulary", "--annotations", annotations, "--out", wrong).code == 2


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"annotations": [], "categories": []}, "holds no categories"),
        (
            {"annotations": [], "categories": [{"id": "one", "name": "a"}]},
            "categories[0]: 'id' must be a whole number",
        ),
        ({"annotations": [], "categories": [{"id": 1}]}, "categories[0]: field 'name' is missing"),
        ([{"id": 1, "type": "relation", "truth": "no"}], "holds neither COCO categories nor AMBER's items"),
    ],
)
def test_mistakes(content: object, expected: str, cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "instances.json"
    file.write_text(json.dumps(content))
    result = cli("vocabulary", "--annotations", file, "--out", tmp_path / "out.json")
    assert (result.code, expected in result.err) == (2, True), result.err
    assert not (tmp_path / "out.json").exists()


def test_words_of_amber(reference_data: Path) -> None:
    file = reference_data / "amber" / "annotations.json"
    items = [i for i in json.loads(file.read_text(encoding="utf-8")) if i["type"] == "generative"]
    words = read_categories(file)
    assert {word.name for word in words} == {word for item in items for word in item["truth"] + item["hallu"]}
    lexicon, _ = make_lexicon(words, "amber")
    assert len(lexicon.vocabulary) == len(words)
    (judgement,) = LexiconJudge(lexicon=lexicon).judge(
        [Response(sample_id="1", image_id=1, response="A ship on a lake under the sky.")]
    )
    assert [mention.category for mention in judgement.mentions] == ["ship", "lake", "sky"]


@pytest.mark.parametrize(
    ("name", "terms"),
    [
        ("Bus", ("bus",)),
        ("Street Lights", ("street light",)),
        ("Watches", ("watch",)),
        ("Berries", ("berry",)),
        ("Cookies", ("cookie",)),
        ("Glass", ("glass",)),
        ("Scissors", ("scissors",)),
        ("wine_glass", ("wine glass",)),
        ("Gas", ("gas",)),
        ("Monitor/TV", ("monitor", "tv")),
        ("Knives", ("knife",)),
        ("Bookshelves", ("bookshelf",)),
        ("Tomatoes", ("tomato",)),
        ("Shoes", ("shoe",)),
        ("People", ("person",)),
        ("Snowmen", ("snowman",)),
        ("sign, traffic sign", ("sign", "traffic sign")),
    ],
)
def test_terms(name: str, terms: tuple[str, ...]) -> None:
    lexicon, notes = make_lexicon([NamedCategory(name, 1)], "x")
    assert (lexicon.categories[0].terms, notes) == (terms, [])


PLURALS = {
    "Person": "people",
    "Woman": "women",
    "Knife": "knives",
    "Computer Mouse": "computer mice",
    "Bookshelf": "bookshelves",
    "Cherry Tomato": "cherry tomatoes",
    "Canada Goose": "canada geese",
    "Wolf": "wolves",
    "Scarf": "scarves",
    "Sheep": "sheep",
    "Aircraft": "aircraft",
    "Snowman": "snowmen",
    "Goldfish": "goldfishes",
    "Roman": "romans",
    "Mongoose": "mongooses",
    "Mango": "mangos",
    "Roof": "roofs",
    "Giraffe": "giraffes",
    "Piano": "pianos",
    "Quiz": "quizzes",
    "Cactus": "cacti",
    "Toy": "toys",
    "Lorry": "lorries",
    "Wristwatch": "wristwatches",
}


@pytest.mark.parametrize(("name", "plural"), PLURALS.items())
def test_plural_of_a_category(name: str, plural: str) -> None:
    """The word is found in the singular and in the plural; both belong to the category."""
    lexicon, _ = make_lexicon([NamedCategory(name, 1)], "x")
    text = f"One {name.lower()} stands here, and there are two {plural} over there."
    (judgement,) = LexiconJudge(lexicon=lexicon).judge([Response(sample_id="1", image_id=1, response=text)])
    assert [mention.text for mention in judgement.mentions] == [name.lower(), plural]


SENSED = [
    NamedCategory("bow_(weapon)", 1, ("bow_(weapon)",)),
    NamedCategory("bow_(knot)", 2, ("bow_(knot)", "ribbon_bow")),
    NamedCategory("mouse_(computer_equipment)", 3, ("mouse_(computer_equipment)", "computer_mouse")),
    NamedCategory("crane", 4, ("crane",)),
    NamedCategory("heron", 5, ("heron", "crane_(bird)")),
    NamedCategory("settee", 6, ("couch", "Sofa")),
]


def test_senses_in_brackets_and_synonyms() -> None:
    """A sense is never written; a synonym is read, unless its word is another category's name."""
    lexicon, notes = make_lexicon(SENSED, "x")
    assert {category.name: category.terms for category in lexicon.categories} == {
        "bow_(weapon)": ("bow",),
        "bow_(knot)": ("ribbon bow",),
        "mouse_(computer_equipment)": ("mouse", "computer mouse"),
        "crane": ("crane",),
        "heron": ("heron",),
        "settee": ("settee", "couch", "sofa"),
    }
    assert notes == [
        "'bow' of 'bow_(knot)' goes to 'bow_(weapon)'",
        "'crane' of 'heron' goes to 'crane'",
        "3 names have a sense in brackets, which the terms leave out: their words are read in every sense "
        "(bow_(weapon), bow_(knot), mouse_(computer_equipment))",
    ]


def test_a_file_that_lists_synonyms(cli: Cli, tmp_path: Path) -> None:
    """From annotations to a score: ids as strings, a sense in brackets, a synonym, a plural."""
    categories = [
        {"id": "3", "name": "mouse_(computer_equipment)", "synonyms": ["computer_mouse"]},
        {"id": "1", "name": "Person"},
        {"id": "2", "name": "settee", "synonyms": ["sofa"]},
    ]
    document = {
        "images": [{"id": 1}],
        "categories": categories,
        "annotations": [{"image_id": 1, "category_id": str(number)} for number in (1, 2, 3)],
    }
    annotations, out = tmp_path / "instances.json", tmp_path / "mine.json"
    annotations.write_text(json.dumps(document))
    assert cli("vocabulary", "--annotations", annotations, "--out", out).code == 0
    assert load_lexicon(str(out)).vocabulary == ("Person", "settee", "mouse_(computer_equipment)")
    responses = tmp_path / "r.jsonl"
    responses.write_text('{"image_id": 1, "response": "Two people on sofas hold a computer mouse."}')
    arguments = ("--responses", responses, "--objects", annotations, "-J", f"lexicon={out}")
    result = cli("score", *arguments, "--resamples", 0, "--out", tmp_path / "out")
    assert result.code == 0, result.err
    values = json.loads((tmp_path / "out" / "scores.json").read_text())["metrics"]["chair"]
    assert (values["recall"]["value"], values["chair_i"]["value"]) == (1, 0)


def test_a_vocabulary_that_kept_the_brackets() -> None:
    """A file made by hand, or by an earlier version, with senses in its terms is read without them."""
    terms = {"bat": ("bat (animal)",), "club": ("baseball bat", "club (stick)")}
    lexicon = Lexicon(
        name="x",
        categories=tuple(LexiconCategory(name=name, terms=found) for name, found in terms.items()),
    )
    (judgement,) = LexiconJudge(lexicon=lexicon).judge(
        [Response(sample_id="1", image_id=1, response="A bat above a club and a baseball bat.")]
    )
    assert [mention.category for mention in judgement.mentions] == ["bat", "club", "club"]
