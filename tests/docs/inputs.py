"""Small inputs under the names that the pages use, so that their commands can run in a folder that holds them."""

import json
from pathlib import Path
from typing import Any

from PIL import Image

RESPONSES = [
    {"image_id": 139, "response": "A kitchen with a refrigerator and two cups on the table."},
    {"image_id": 724, "response": "A stop sign beside a car. There is no dog."},
]
OBJECTS = [
    {"image_id": 139, "objects": ["refrigerator", "dining table", "chair"]},
    {"image_id": 724, "objects": ["stop sign", "truck"]},
]
FLAGGED = [
    {
        "image_id": 139,
        "words": ["Two", "brown", "dogs", "on", "a", "sofa."],
        "human_hallucinated": [False, True, False, False, False, False],
        "references": ["A puppy lies on a couch.", "Two dogs sleep."],
    },
    {
        "image_id": 724,
        "words": ["A", "red", "car", "in", "a", "street."],
        "human_hallucinated": [False] * 6,
        "references": ["A red car on a road.", "A car is parked."],
    },
]
QUESTIONS = [
    {"question_id": 1, "image": "a.jpg", "text": "Is there a dog in the image?", "label": "yes"},
    {"question_id": 2, "image": "a.jpg", "text": "Is there a cat in the image?", "label": "no"},
    {"question_id": 3, "image": "b.jpg", "text": "Is there a car in the image?", "label": "yes"},
]
ANSWERS = [
    {"question_id": 1, "answer": "Yes."},
    {"question_id": 2, "answer": "yes"},
    {"question_id": 3, "answer": "no"},
]
MODEL = '''
class Blind:
    """Says the same of every picture."""

    def generate(self, requests):
        for request in requests:
            yield "A red car on the left side of the street, and a person with an umbrella."
'''


def write_inputs(folder: Path) -> None:
    """Write every input below `folder`."""
    _write_lines(folder / "responses.jsonl", RESPONSES)
    renamed = [{"image_id": row["image_id"], "caption": row["response"]} for row in RESPONSES]
    _write_lines(folder / "captions.jsonl", renamed)
    _write_lines(folder / "objects.jsonl", OBJECTS)
    _write_lines(folder / "flagged.jsonl", FLAGGED)
    _write_lines(folder / "coco_pope_random.json", QUESTIONS)
    _write_lines(folder / "answers.jsonl", ANSWERS)
    (folder / "mine.py").write_text(MODEL, encoding="utf-8")
    photos = folder / "photos"
    photos.mkdir()
    for name in ("kitchen", "dog"):
        Image.new("RGB", (64, 64), (120, 90, 40)).save(photos / f"{name}.png")
    pictures = folder / "pictures"
    pictures.mkdir()
    for row in RESPONSES:
        Image.new("RGB", (64, 64), (120, 90, 40)).save(pictures / f"{row['image_id']}.jpg")
    _write_lines(
        photos / "objects.jsonl",
        [
            {"image_id": 1, "image": "kitchen.png", "objects": ["cup", "dining table"]},
            {"image_id": 2, "image": "dog.png", "objects": ["dog"]},
        ],
    )


def _write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
