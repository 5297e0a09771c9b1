"""Times the judge `qa` with all votes against ways to ask fewer, and counts the cells that differ.

    OMP_NUM_THREADS=1 python bench/saved_votes.py [--responses 8] [--cells-of 60] [--pairs 5] [--json FILE]

The shipped judges read descriptions of Scenes. The times are of `--responses` descriptions, the differing cells of
`--cells-of`. A cell is a category of a response, and differs if its verdict (present, ignored, absent) does.
"""

import argparse
import logging
from pathlib import Path

import torch
from pairs import PAIRS, compare_all, show

from eidolon.benchmark.study.training.judge_evaluation import description_questions
from eidolon.models.backends.text_models import language_models
from eidolon.scorers.core.types import Response
from eidolon.scorers.judges.qa import QuestionJudge

SCREEN = "judge-large/1b"
"""The vote of the shipped judges that affirms most of what no text names."""
WAYS: dict[str, tuple[dict[str, str], float | None]] = {
    "votes=needed": ({"votes": "needed"}, None),
    "votes=screened": ({"votes": "screened"}, 8.0),
    f"screened, screen={SCREEN}, probes=4": ({"votes": "screened", "screen": SCREEN, "probes": "4"}, 8.0),
    f"screened, screen={SCREEN}": ({"votes": "screened", "screen": SCREEN}, 8.0),
}


def responses(n: int) -> list[Response]:
    """Return descriptions of Scenes."""
    texts = dict.fromkeys(asked.text for asked in description_questions(4 * n, 2))
    return [Response(sample_id=str(i), image_id=i, response=text) for i, text in enumerate([*texts][:n])]


def verdicts(judge: QuestionJudge, rows: list[Response]) -> list[dict[str, str]]:
    """Return for each response the verdict on each category that is not absent."""
    return [
        {mention.category: mention.verdict or "present" for mention in judgement.mentions}
        for judgement in judge.judge(rows)
    ]


def differing(a: list[dict[str, str]], b: list[dict[str, str]]) -> int:
    """Return the number of cells on which two verdicts differ."""
    return sum(x.get(c) != y.get(c) for x, y in zip(a, b, strict=True) for c in {*x, *y})


def main() -> None:
    """Print a line for each way to ask."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--responses", type=int, default=8)
    parser.add_argument("--cells-of", type=int, default=60)
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    models = language_models(None, {})
    judges = {
        name: QuestionJudge(models, reading="windows", **options) for name, (options, _) in WAYS.items()
    }
    plain = QuestionJudge(models, reading="windows")
    many, few = responses(given.cells_of), responses(given.responses)
    whole = verdicts(plain, many)
    calls = {name: (lambda judge=judge: verdicts(judge, few)) for name, judge in judges.items()}
    rows = compare_all(
        lambda: verdicts(plain, few),
        calls,
        pairs=given.pairs,
        least={name: goal for name, (_, goal) in WAYS.items()},
        same=lambda a, b: differing(a, b) <= max(1, len(few) * 80 // 1000),
    )
    for name, row in zip(WAYS, rows, strict=True):
        found = differing(whole, verdicts(judges[name], many))
        cells = len(many) * len(plain.vocabulary)
        row |= {"cells": cells, "differing": found, "share": found / cells}
        print(f"{name}: {found} of {cells} cells differ ({found / cells:.3%})", flush=True)
    show(rows, given.json)


if __name__ == "__main__":
    main()
