"""Published result files, scored again: equal, or by how much. The files here are our own."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.benchmark.conftest import Cli

SENTENCES = [
    {
        "caption": "A dog sleeps near two cats.",
        "mscoco_gt_words": ["dog"],
        "mscoco_generated_words": ["dog", "cat"],
    },
    {"caption": "A bus on the street.", "mscoco_gt_words": ["bus"], "mscoco_generated_words": []},
]
"""The first CHAIR program misses "bus"; the one with WordNet's lemmas does not."""


def write(folder: Path, name: str, sentences: list[dict[str, Any]], s: float, i: float) -> None:
    content = {"sentences": sentences, "overall_metrics": {"CHAIRs": s, "CHAIRi": i}}
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(json.dumps(content), encoding="utf-8")


def test_equal_files_and_a_page(cli: Cli, tmp_path: Path) -> None:
    write(tmp_path / "raw", "own_chair_results.json", SENTENCES, 1 / 2, 1 / 2)
    (tmp_path / "raw" / "other.json").write_text("[1]")
    result = cli("reproduce", tmp_path / "raw", "--out", tmp_path / "page.md")
    assert result.code == 0
    assert "own_chair_results.json: 50.0 / 50.00 reading=original: equal" in result.out
    assert "1 of 1 files equal" in result.out
    page = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert "1 of 1 | 0 of 2 |" in page
    assert "`own_chair_results.json`" not in page


def test_by_how_much_a_file_differs(cli: Cli, tmp_path: Path) -> None:
    write(tmp_path / "raw", "own_chair_results.json", SENTENCES, 0.25, 0.25)
    result = cli("reproduce", tmp_path / "raw", "--out", tmp_path / "page.md")
    assert "| `own_chair_results.json` | 25.0 / 25.00 | 50.0 / 50.00 |" in (tmp_path / "page.md").read_text()
    assert "CHAIR_s +25.00, CHAIR_i +25.00; 0 of 2 captions differ" in result.out
    assert "0 of 1 files equal" in result.out


def test_the_digits_that_a_repository_reports(cli: Cli, tmp_path: Path) -> None:
    write(tmp_path / "raw", "regular_chair.jsonl", SENTENCES, 0.5, 1 / 3)
    result = cli("reproduce", tmp_path / "raw")
    assert "reading=wordnet" in result.out  # it finds the bus, which the file lacks
    assert "1 of 2 captions differ" in result.out


def test_an_unknown_file_is_read_as_it_fits_best(cli: Cli, tmp_path: Path) -> None:
    found = [SENTENCES[0], {**SENTENCES[1], "mscoco_generated_words": ["bus"]}]
    write(tmp_path / "raw", "mine.json", found, 0.5, 1 / 3)
    assert "mine.json: 50.0 / 33.33 reading=wordnet: equal" in cli("reproduce", tmp_path / "raw").out


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "holds no file of a CHAIR program"),
        ('{"overall_metrics": ', "is no JSON"),
        ('{"sentences": [{"caption": "A dog."}], "overall_metrics": {"CHAIRs": 0, "CHAIRi": 0}}', "KeyError"),
    ],
)
def test_files_that_cannot_be_scored(cli: Cli, tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "bad.json").write_text(content, encoding="utf-8")
    result = cli("reproduce", tmp_path)
    assert result.code == 2
    assert message in result.err


def test_where_the_files_are(cli: Cli, tmp_path: Path) -> None:
    assert "github.com/BillChan226/HALC" in cli("reproduce", "--list").out
    assert "give a folder with published files" in cli("reproduce").err
    assert "is not a folder" in cli("reproduce", tmp_path / "none").err
