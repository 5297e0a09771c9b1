"""The labelled segments of M-HalDetect, as its rows are published, with a wording made here."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.benchmark.conftest import Cli, read_lines, write_lines

IMAGE = "COCO_val2014_{:012d}.jpg"
PARTS: tuple[tuple[tuple[str, str | None], ...], ...] = (
    # Segments of a response with their labels; None is text between two segments.
    (("A dog lies on a", "ACCURATE"), (" red", "INACCURATE"), (" rug.", "ACCURATE")),
    (("Two cats", "INACCURATE"), (", a mug.", "ACCURATE"), (" It feels calm.", "ANALYSIS")),
    (("A mug, ", "ACCURATE"), ("perhaps a lamp", "UNSURE"), (".", "INACCURATE")),
    (("A street", None), (" with two cars.", "ACCURATE")),
)
FLAGS = (
    [False, False, False, False, False, True, False],
    [True, True, False, False, None, None, None],
    # The full stop alone is wrong: "lamp." has no letter in a segment of people's judgement.
    [False, False, None, None, None],
    [None, None, False, False, False],
)


def rows() -> list[dict[str, Any]]:
    made = []
    for number, parts in enumerate(PARTS):
        response, annotations = "", []
        for text, label in parts:
            start, response = len(response), response + text
            if label is not None:
                annotations.append({"text": text, "start": start, "end": len(response), "label": label})
        made.append(
            {
                "question": "Describe the picture.",
                "response": response,
                "image": IMAGE.format(number // 2),
                "annotations": annotations,
            }
        )
    return made


def command(tmp_path: Path, content: list[dict[str, Any]]) -> list[object]:
    path = tmp_path / "val_raw.json"
    path.write_text(json.dumps(content), encoding="utf-8")
    objects = [{"image_id": i, "objects": ["dog", "cup", "car"]} for i in range(2)]
    return [
        "score", "--metric", "detection", "--responses", path,
        "--objects", write_lines(tmp_path / "objects.jsonl", objects), "--out", tmp_path / "out", "--resamples", 100,
    ]  # fmt: skip


@pytest.mark.parametrize("as_text", [False, True])
def test_segments_become_flags_of_words(cli: Cli, tmp_path: Path, as_text: bool) -> None:
    content = rows()
    if as_text:  # as the rows of the Hub's table have them
        content = [row | {"annotations": json.dumps(row["annotations"])} for row in content]
    result = cli(*command(tmp_path, content))
    assert result.code == 0, result.err
    written = read_lines(tmp_path / "out" / "words.jsonl")
    assert tuple(row["human"] for row in written) == FLAGS
    assert [row["sample_id"] for row in written] == ["0", "1", "2", "3"]
    found = json.loads((tmp_path / "out" / "scores.json").read_text())["metrics"]["detection"]
    # By hand: people flag 2 of 4 responses, and 3 of the 16 words that they call right or wrong.
    assert found["response_flagged_by_people"]["value"] == 2 / 4
    assert found["word_flagged_by_people"]["value"] == pytest.approx(3 / 16)
    # The lexicon names dog, cats, mug and cars: "cats" is the one that is not in the truth, and people flag it too.
    assert found["word_precision"]["value"] == 1.0
    assert found["word_recall"]["value"] == pytest.approx(1 / 3)
    checked = cli("check", tmp_path / "out")
    assert checked.code == 0, checked.out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"annotations": None}, "field 'annotations' must be a list"),
        ({"annotations": "{"}, "field 'annotations' is not valid JSON"),
        ({"annotations": [3]}, "annotations[0]: must be an object"),
        (
            {"annotations": [{"start": 0, "end": 1, "label": "WRONG"}]},
            "annotations[0]: field 'label' must be one of ACCURATE, INACCURATE, ANALYSIS, UNSURE, found",
        ),
        ({"annotations": [{"start": 0, "end": 1}]}, "annotations[0]: field 'label' must be one of"),
        (
            {"annotations": [{"start": 5, "end": 99, "label": "ACCURATE"}]},
            "annotations[0]: fields 'start' and 'end' must lie in the response of 23 characters",
        ),
        (
            {"annotations": [{"start": 0, "end": 5, "label": "ACCURATE", "text": "A cat"}]},
            "annotations[0]: field 'text' is",
        ),
        ({"response": 4}, "field 'response' must be a string"),
    ],
)
def test_wrong_segments_are_said(cli: Cli, tmp_path: Path, change: dict[str, Any], message: str) -> None:
    content = rows()
    content[3] |= change
    result = cli(*command(tmp_path, content))
    assert result.code == 2
    assert "val_raw.json: item 3: " in " ".join(result.err.split())
    assert message in " ".join(result.err.split())
