"""The judged runs of the reference data, in the folder that EIDOLON_REFERENCE_DATA names."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from eidolon.scorers.core.types import Judgement, Response
from eidolon.scorers.core.verdict import with_verdicts
from eidolon.scorers.judges.lexicon import LexiconJudge


@dataclass(frozen=True)
class ReferenceRun:
    """One file of responses, judged."""

    name: str
    model: str
    responses: list[Response]
    judgements: list[Judgement]
    objects: list[frozenset[str]]


def reference_folder() -> Path:
    """Return the folder of the reference data."""
    return Path(os.environ["EIDOLON_REFERENCE_DATA"])


def _lines(path: Path) -> Iterator[dict]:
    with path.open(encoding="utf-8") as stream:
        yield from map(json.loads, stream)


def load_runs() -> list[ReferenceRun]:
    """Return all runs with verdicts, by the careful lexicon and the objects of the reference data."""
    folder = reference_folder()
    truth = {
        row["image_id"]: frozenset(row["objects"]) for row in _lines(folder / "coco_gt" / "objects.jsonl")
    }
    judge = LexiconJudge()
    found = []
    for path in sorted((folder / "responses").glob("*.jsonl")):
        rows = [*_lines(path)]
        responses = [
            Response(sample_id=f"{i}", image_id=row["image_id"], response=row["response"])
            for i, row in enumerate(rows)
        ]
        objects = [truth[row["image_id"]] for row in rows]
        judged = [
            with_verdicts(one, there) for one, there in zip(judge.judge(responses), objects, strict=True)
        ]
        found.append(ReferenceRun(path.stem, rows[0]["model"], responses, judged, objects))
    return found


def load_texts() -> list[str]:
    """Return the texts of all responses."""
    return [
        row["response"]
        for path in sorted((reference_folder() / "responses").glob("*.jsonl"))
        for row in _lines(path)
    ]
