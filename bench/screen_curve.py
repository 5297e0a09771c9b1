"""How much `-J votes=screened` saves against how many cells differ, for each screen and number of probes.

    OMP_NUM_THREADS=1 python bench/screen_curve.py [--responses 60] [--json FILE]

The shipped judges read descriptions of Scenes and are asked about everything once. From these votes and the CPU time of
each judge, the script works out what each way would ask. The ratio is that of the time of the questions alone:
`bench/saved_votes.py` times whole calls. Votes join the screen in the order in which they find most missed cells for
their time. Without an audit, as the cells that differ are counted here.
"""

import argparse
import json
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from saved_votes import responses

from eidolon.models.backends.text_models import language_models
from eidolon.scorers.judges.qa import QuestionJudge
from eidolon.scorers.judges.saved_votes import is_settled, spread, worth_asking

PROBES = (2, 4, 8, 16, None)


@dataclass(frozen=True, slots=True)
class Asked:
    """All votes on some responses."""

    names: list[str]
    votes: NDArray[np.bool_]
    """Shape (responses, categories, votes)."""
    named: NDArray[np.bool_]
    """Whether a reading finds the category, shape (responses, categories)."""
    seconds: NDArray[np.float64]
    """CPU time of a question, by vote."""

    @property
    def missed(self) -> NDArray[np.bool_]:
        """The cells that are not absent although no reading names them, shape (responses, categories)."""
        found: NDArray[np.bool_] = self.votes.any(axis=2) & ~self.named
        return found


def ask_everything(count: int) -> Asked:
    """Ask each shipped judge about all categories of `count` responses."""
    rows = responses(count)
    names, votes, seconds = list[str](), list[NDArray[np.bool_]](), list[float]()
    for model in language_models(None, {}):
        judge = QuestionJudge([model], reading="windows")
        started = time.process_time()
        found = [*judge.judge(rows)]
        share = (time.process_time() - started) / len(rows) / len(judge.vocabulary) / len(judge.formats)
        for form in judge.formats:
            name = f"{model.name}/{form}"
            names.append(name)
            seconds.append(share)
            votes.append(
                np.array(
                    [
                        [bool((one.votes or {}).get(c, {}).get(name)) for c in judge.vocabulary]
                        for one in found
                    ]
                )
            )
    worth = worth_asking(judge.reader().namers(), rows, judge.vocabulary)
    named = np.array([[c in of_one for c in judge.vocabulary] for of_one in worth])
    return Asked(names, np.stack(votes, axis=2), named, np.array(seconds))


def saving(asked: Asked, screen: Sequence[int], probes: int | None) -> tuple[float, int]:
    """Return how many times as fast the questions of a way are as all, and the number of cells that differ."""
    voters = len(asked.names)
    rest = [vote for vote in range(voters) if vote not in screen]
    spent, kept = 0.0, np.zeros_like(asked.named)
    for i, (votes, named) in enumerate(zip(asked.votes, asked.named, strict=True)):
        others = tuple(np.flatnonzero(~named)) if screen else ()
        first = others if probes is None else spread(others, probes)
        affirmed = votes[:, list(screen)].any(axis=1)
        if affirmed[list(first)].any():
            first = others
        for c in (*np.flatnonzero(named), *first):
            given = list[int]()
            for number, vote in enumerate([*screen, *rest]):
                if number == len(screen) and not (named[c] or any(given)):
                    break
                if is_settled(given, voters, voters):
                    break
                given.append(int(votes[c, vote]))
                spent += asked.seconds[vote]
            kept[i, c] = named[c] or affirmed[c]
    whole = asked.named.size * asked.seconds.sum()
    return whole / spent, int((asked.missed & ~kept).sum())


def main() -> None:
    """Print the curve, and write it as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--responses", type=int, default=60)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    asked = ask_everything(given.responses)
    print("cells that differ without a screen, by response:", asked.missed.sum(axis=1).tolist())
    rows, screen, left = [], list[int](), asked.missed.copy()
    while True:
        for probes in PROBES if len(screen) == 1 else (None,):
            ratio, differing = saving(asked, screen, probes)
            row = {
                "screen": [asked.names[vote] for vote in screen], "probes": probes, "ratio": round(ratio, 2),
                "differing": differing, "cells": asked.named.size,
            }  # fmt: skip
            rows.append(row)
            print(
                f"{ratio:6.2f} times  {differing / asked.named.size:7.3%}  {row['screen']} probes {probes}",
                flush=True,
            )
        if not left.any() or len(screen) == len(asked.names):
            break
        gains = [
            -1.0 if vote in screen else (left & asked.votes[:, :, vote]).sum() / asked.seconds[vote]
            for vote in range(len(asked.names))
        ]
        screen.append(int(np.argmax(gains)))
        left &= ~asked.votes[:, :, screen[-1]]
    if given.json is not None:
        given.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
