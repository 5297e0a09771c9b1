"""A vocabulary file made from a dataset's annotations."""

import json
from pathlib import Path

import pytest

from eidolon.benchmark.data.vocabulary import make_lexicon, read_categories
from eidolon.scorers.core.types import Response
from eidolon.scorers.judges.lexicon import LexiconJudge
from eidolon.scorers.text.lexicon import load_lexicon
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
            {"annotations": [], "categories": [{"id": "1", "name": "a"}]},
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
    assert {word for word, _ in words} == {word for item in items for word in item["truth"] + item["hallu"]}
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
    ],
)
def test_terms(name: str, terms: tuple[str, ...]) -> None:
    lexicon, notes = make_lexicon([(name, 1)], "x")
    assert (lexicon.categories[0].terms, notes) == (terms, [])
