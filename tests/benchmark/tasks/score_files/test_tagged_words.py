"""The tagged captions of DetailVerifyBench, as its rows are published, with a wording made here."""

import json
from pathlib import Path

import pytest

from tests.benchmark.conftest import Cli, read_lines, write_lines

TEXTS = (
    # The second word is wrong; a span within "red," flags the whole word; two spans; nothing wrong.
    "A <HALLUCINATION>zebra</HALLUCINATION> stands here.",
    "A <HALLUCINATION>red</HALLUCINATION>, round ball.",
    "<HALLUCINATION>Two dogs</HALLUCINATION> and <HALLUCINATION>snow</HALLUCINATION>.",
    "A quiet street.",
)
FLAGS = (
    [False, True, False, False],
    [False, True, False, False],
    [True, True, False, True],
    [False, False, False],
)


def lines(path: Path, texts: tuple[str, ...] = TEXTS) -> Path:
    return write_lines(
        path,
        [
            {
                "filename": f"{number}.jpg",
                "category": "Nature",
                "GT_description": "A ball and a street, a horse that stands here.",
                "description_tag": text,
                "hallucination_labels": [],
            }
            for number, text in enumerate(texts)
        ],
    )


def command(tmp_path: Path, responses: Path) -> list[object]:
    return [
        "score", "--metric", "detection", "--responses", responses, "--judge", "words",
        "--out", tmp_path / "out", "--resamples", 100,
    ]  # fmt: skip


def test_tags_become_flags_of_words(cli: Cli, tmp_path: Path) -> None:
    result = cli(*command(tmp_path, lines(tmp_path / "real_test.jsonl")))
    assert result.code == 0, result.err
    rows = read_lines(tmp_path / "out" / "words.jsonl")
    assert tuple(row["human"] for row in rows) == FLAGS
    assert rows[1]["words"] == ["A", "red,", "round", "ball."]
    said = [row["response"] for row in read_lines(tmp_path / "out" / "responses.jsonl")]
    assert said[2] == "Two dogs and snow."
    found = json.loads((tmp_path / "out" / "scores.json").read_text())["metrics"]["detection"]
    # By hand: 3 of 4 captions and 5 of 15 words are flagged by people.
    assert found["response_flagged_by_people"]["value"] == 3 / 4
    assert found["word_flagged_by_people"]["value"] == pytest.approx(5 / 15)
    checked = cli("check", tmp_path / "out")
    assert checked.code == 0, checked.out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A <HALLUCINATION>dog.", "the last <HALLUCINATION> has no partner"),
        ("A dog</HALLUCINATION>.", "</HALLUCINATION> at character 5 has no partner"),
        (
            "<HALLUCINATION>A <HALLUCINATION>dog</HALLUCINATION>.",
            "<HALLUCINATION> at character 17 has no partner",
        ),
    ],
)
def test_a_tag_without_a_partner_is_said(cli: Cli, tmp_path: Path, text: str, message: str) -> None:
    result = cli(*command(tmp_path, lines(tmp_path / "r.jsonl", (TEXTS[0], text))))
    assert result.code == 2
    assert "r.jsonl:2: field 'description_tag': " in result.err
    assert message in result.err
