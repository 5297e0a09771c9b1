"""Score responses that exist already: CHAIR, precision and recall of the objects they name, with intervals.

python examples/score_a_file.py
"""

import json
import tempfile
from pathlib import Path

import eidolon

RESPONSES = [
    {"image_id": 139, "response": "A kitchen with a refrigerator, two cups and a cat."},
    {"image_id": 285, "response": "A bear stands in the grass. There is no person."},
    {"image_id": 632, "response": "A bed beside a bookshelf. A dog lies on the bed."},
]
OBJECTS = [
    {"image_id": 139, "objects": ["refrigerator", "cup", "dining table"]},
    {"image_id": 285, "objects": ["bear"]},
    {"image_id": 632, "objects": ["bed", "book"]},
]


def write_lines(path: Path, lines: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = eidolon.score(
            responses=write_lines(Path(folder) / "responses.jsonl", RESPONSES),
            objects=write_lines(Path(folder) / "objects.jsonl", OBJECTS),
            metrics=["chair", "objects"],
            out=Path(folder) / "run",  # also written: run.json, judgements.jsonl, scores.json, report.html
        )
    for family in ("chair", "objects"):
        for name, number in run[family].quantities().items():
            print(f"{family}.{name} = {number.value} {number.ci}")
    print(run.signature)
    mentions = run.to_pandas().mentions
    print(mentions[mentions.verdict == "hallucinated"][["image_id", "category", "text", "start"]])


if __name__ == "__main__":
    main()
