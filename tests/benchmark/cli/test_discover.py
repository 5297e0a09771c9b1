import json
from pathlib import Path

import pytest

from tests.benchmark.conftest import Cli, Result, write_lines

# Nouns of one line are named with the same words. Only the last two lines are outside of the vocabulary.
SENTENCES = {
    "A brown {} runs across green grass, chasing birds {}.": ("dog", "puppy", "hound"),
    "A sleepy {} purrs softly near some warm wool {}.": ("cat", "kitten"),
    "A wooden {} belongs to the low desk, painted red {}.": ("chair", "armchair"),
    "The soft {} invites guests with plush velvet arms {}.": ("couch", "sofa"),
    "A glowing {} hangs above, bright golden shining crystal {}.": ("chandelier", "lantern"),
    "An iron {} protects the steep narrow stairs outside {}.": ("railing", "banister"),
}


@pytest.fixture
def responses(tmp_path: Path) -> Path:
    texts = [
        sentence.format(name, turn)
        for turn in range(6)
        for sentence, names in SENTENCES.items()
        for name in names
    ]
    rows = [{"image_id": i, "response": text} for i, text in enumerate(texts)]
    return write_lines(tmp_path / "responses.jsonl", rows)


def refused(result: Result, *expected: str) -> None:
    assert result.code == 2
    (line,) = result.err.splitlines()[-1:]
    assert line.startswith("error: ")
    assert all(text in line for text in expected), line


def test_what_is_found_is_a_vocabulary(cli: Cli, tmp_path: Path, responses: Path) -> None:
    out = tmp_path / "found.json"
    result = cli("discover", responses, "--out", out)
    assert result.code == 0, result.err
    evidence = json.loads((tmp_path / "found.evidence.json").read_text())
    found = {name["name"]: one["name"] for one in evidence["categories"] for name in one["names"]}
    assert found["chandelier"] == found["lantern"] != found["railing"] == found["banister"]
    assert not {"dog", "couch"} & found.keys()
    chandelier = next(one for one in evidence["categories"] if one["name"] == found["chandelier"])
    assert {one["mentions"] for one in chandelier["names"]} == {6}
    assert "hangs above" in chandelier["names"][0]["example"]
    # Judges take the file as it is.
    objects = write_lines(tmp_path / "objects.jsonl", [{"image_id": i, "objects": []} for i in range(78)])
    scored = cli(
        *("score", "--responses", responses, "--objects", objects, "-J", f"lexicon={out}"),
        *("--metric", "chair", "--out", tmp_path / "scored"),
    )
    assert scored.code == 0, scored.err


def test_mistakes(cli: Cli, tmp_path: Path, responses: Path) -> None:
    refused(cli("discover", responses, "--out", tmp_path / "found.txt"), "must end in .json")
    there = tmp_path / "there.json"
    there.write_text("{}")
    refused(cli("discover", responses, "--out", there), "exists already")
    refused(cli("discover", responses, "--out", tmp_path / "a.json", "--least", 1000), "too little to learn")
    refused(cli("discover", tmp_path / "none.jsonl", "--out", tmp_path / "b.json"), "none.jsonl")


def test_one_category_is_too_little(cli: Cli, tmp_path: Path) -> None:
    texts = ("A small {} barks loudly.", "The {} sleeps beside a lantern.")
    rows = [
        {"image_id": i, "response": text.format(name)}
        for i in range(6)
        for text in texts
        for name in ("dog", "puppy")
    ]
    only = write_lines(tmp_path / "only.jsonl", rows)
    refused(
        cli("discover", only, "--out", tmp_path / "found.json"), "1 known categories", "too little to learn"
    )


@pytest.mark.parametrize("evidence", ["nouns", "mentions"])
def test_what_decides_known_or_unknown(cli: Cli, tmp_path: Path, responses: Path, evidence: str) -> None:
    for name, given in (("default", ()), (evidence, ("--known-by", evidence))):
        result = cli("discover", responses, *given, "--out", tmp_path / f"{name}.json")
        assert result.code == 0, result.err
    default, chosen = (
        json.loads((tmp_path / f"{name}.evidence.json").read_text()) for name in ("default", evidence)
    )
    assert [one["name"] for one in chosen["categories"]] == [one["name"] for one in default["categories"]]
    wrong = cli("discover", responses, "--known-by", "words", "--out", tmp_path / "wrong.json")
    assert wrong.code == 2
    assert "words" in wrong.err


def test_nothing_outside_the_vocabulary(cli: Cli, tmp_path: Path) -> None:
    names = {
        "A small {} barks loudly.": ("dog", "puppy"),
        "The sleepy {} purrs softly.": ("cat", "kitten"),
        "This wooden {} was painted red.": ("chair", "armchair"),
    }
    rows = [
        {"image_id": i, "response": text.format(name)}
        for i in range(6)
        for text, both in names.items()
        for name in both
    ]
    covered = write_lines(tmp_path / "covered.jsonl", rows)
    refused(cli("discover", covered, "--out", tmp_path / "found.json"), "coco80 covers every noun")
    assert not (tmp_path / "found.json").exists()


def test_an_encoder_groups_nouns_by_meaning(cli: Cli, tmp_path: Path, responses: Path, minilm: Path) -> None:
    out = tmp_path / "found.json"
    result = cli("discover", responses, "--encoder", minilm, "--out", out)
    assert result.code == 0, result.err
    evidence = json.loads((tmp_path / "found.evidence.json").read_text())
    names = {name["name"]: name for one in evidence["categories"] for name in one["names"]}
    assert {"chandelier", "lantern", "railing", "banister"} <= names.keys()
    known = [name["known"] for name in names.values()]
    assert all(one is None or 0 <= one <= 1 for one in known)
    missing = cli("discover", responses, "--encoder", tmp_path / "none", "--out", tmp_path / "other.json")
    refused(missing, "--encoder", "cannot be loaded")
