"""Leaderboards for the tests of their page and exports: rows without run folders, unless a test makes some."""

from typing import Any

from eidolon.benchmark.report.leaderboard import SCHEMA, Leaderboard, Row
from eidolon.scorers.core.signature import Signature

JUDGES = ("lexicon(reading=careful-2,vocabulary=coco80)", "lexicon(reading=original,vocabulary=coco80)")
DECODINGS = ("greedy", "sample(t=0.6,p=1.0,max=512,seed=0)", "m3id(lambda=0.02)")


def estimate(value: float | None, width: float = 0.02, better: bool | None = True) -> dict[str, Any]:
    ci = None if value is None else (value - width, value + width)
    return {"value": value, "ci": ci, "n": 300, "higher_is_better": better}


def made_row(index: int, **changed: Any) -> Row:
    """Return a row. Its numbers and its settings follow from the index."""
    f05 = 0.4 + (index * 37 % 100) / 200
    fields: dict[str, Any] = {
        "name": f"model-{index:04d}",
        "run": f"runs/model-{index:04d}",
        "parts": Signature(
            dataset="scenes#7d8ccc59ff84" if index % 4 else "coco-val2014#1f3a00112233",
            prompt="describe#b9dd656520e3",
            decoding=DECODINGS[index % 3],
            judge=JUDGES[index % 7 == 6],
            text="clean/1",
            policy="unscored-left-out",
            n=300,
            resamples=2000,
            seed=0,
            eidolon="0.1.0",
        ),
        "n": {"requested": 300, "samples": 300, "scored": 300 - index % 5, "unscored": index % 5},
        "metrics": {
            "objects": {
                "f05": estimate(f05),
                "recall": estimate(0.9 - f05 / 3),
                "precision": estimate(f05),
                "f1": estimate(f05),
            },
            "chair": {
                "chair_i": estimate(1 - f05, better=False),
                "chair_s": estimate(min(1, 1.2 - f05), better=False),
                "recall": estimate(0.9 - f05 / 3),
                "words": estimate(20 + index % 90, 3, better=None),
            },
        },
        "doctor": ("passed", "not run", "failed")[index % 3],
        "doctor_failed": ("padding", "seeds") if index % 3 == 2 else (),
        "warnings": ("the judge knows the text of Scenes alone",) if index % 17 == 16 else (),
    }
    fields |= changed
    fields.setdefault("signature", fields["parts"].line())
    return Row.model_validate(fields)


def made_board(count: int) -> Leaderboard:
    return Leaderboard(schema=SCHEMA, rows=tuple(made_row(index) for index in range(count)))
