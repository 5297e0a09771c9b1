"""Times the judge `qa` with all votes against `votes=needed` and `votes=screened`, and counts the cells that differ.

    OMP_NUM_THREADS=1 python bench/saved_votes.py [--responses 8] [--cells-of 60] [--pairs 5] [--json FILE]

The shipped judges read descriptions of Scenes. The times are of `--responses` descriptions, the differing cells of
`--cells-of`. A cell is a category of a response, and differs if its verdict (present, ignored, absent) does.
"""

import argparse
import logging
from pathlib import Path

import torch
from pairs import PAIRS, compare, show

from eidolon.benchmark.study.training.judge_evaluation import description_questions
from eidolon.models.backends.text_models import language_models
from eidolon.scorers.core.types import Response
from eidolon.scorers.judges.qa import QuestionJudge

GOALS = {"needed": None, "screened": 8.0}


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
    judges = {votes: QuestionJudge(models, reading="windows", votes=votes) for votes in ("all", *GOALS)}
    many, few = responses(given.cells_of), responses(given.responses)
    whole = verdicts(judges["all"], many)
    rows = []
    for votes, goal in GOALS.items():
        found = differing(whole, verdicts(judges[votes], many))
        cells = len(many) * len(judges[votes].vocabulary)
        row = compare(
            f"votes={votes}, {len(few)} responses",
            lambda: verdicts(judges["all"], few),
            lambda votes=votes: verdicts(judges[votes], few),  # type: ignore[misc]
            pairs=given.pairs,
            least=goal,
            same=lambda a, b: differing(a, b) <= max(1, len(few) * 80 // 1000),
        )
        row |= {"cells": cells, "differing": found, "share": found / cells}
        print(f"votes={votes}: {found} of {cells} cells differ ({found / cells:.3%})", flush=True)
        rows.append(row)
    show(rows, given.json)


if __name__ == "__main__":
    main()
