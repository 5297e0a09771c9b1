"""How far the voters of an ensemble agree with each other: read it before the scores that rest on them."""

from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict

from eidolon.scorers.types import Record


class JudgeVotes(Record):
    """How often one judge says yes: over all its votes, and with each question format in order."""

    model_config = ConfigDict(allow_inf_nan=False)

    yes_rate: float | None
    yes_rate_by_format: tuple[float | None, ...]


class JudgePair(Record):
    """The share of (image, category, format) votes on which two judges say the same."""

    judges: tuple[str, str]
    agreement: float | None


class Calibration(Record):
    """Agreement among the votes; fractions, null where there are no votes to take them from."""

    model_config = ConfigDict(allow_inf_nan=False)

    voters: int
    """Judges times question formats: the votes on each cell."""
    cells: int
    """(image, category) pairs voted on."""
    threshold: int
    """Votes that make a category present."""
    ignored: float | None
    """Share of cells on which the votes do not decide at that threshold."""
    judges: dict[str, JudgeVotes]
    yes_rate_by_format: tuple[float | None, ...]
    pairwise_agreement: tuple[JudgePair, ...]
    fleiss_kappa: float | None
    """Agreement of all votes beyond chance (Fleiss 1971); null with fewer than two voters, or where all
    votes are the same."""


def calibrate(
    votes: NDArray[np.bool_], judges: tuple[str, ...], ignored: NDArray[np.bool_], threshold: int
) -> Calibration:
    """Summarise votes of shape (judges, formats, images, categories), `ignored` (images, categories)."""
    judge_count, formats, images, categories = votes.shape
    yes = votes.sum(axis=(0, 1))
    pairs = combinations(range(judge_count), 2)
    return Calibration(
        voters=judge_count * formats,
        cells=images * categories,
        threshold=threshold,
        ignored=_mean(ignored),
        judges={
            name: JudgeVotes(yes_rate=_mean(votes[i]), yes_rate_by_format=tuple(_mean(v) for v in votes[i]))
            for i, name in enumerate(judges)
        },
        yes_rate_by_format=tuple(_mean(votes[:, m]) for m in range(formats)),
        pairwise_agreement=tuple(
            JudgePair(judges=(judges[a], judges[b]), agreement=_mean(votes[a] == votes[b])) for a, b in pairs
        ),
        fleiss_kappa=fleiss_kappa(yes.ravel(), judge_count * formats),
    )


def fleiss_kappa(yes: NDArray[np.int64], voters: int) -> float | None:
    """Return Fleiss' kappa of yes/no votes, from the number of yes votes on each cell.

    κ = (P̄ - P_e)/(1 - P_e): P̄ is the mean share of agreeing pairs of votes on a cell, and
    P_e = p² + (1 - p)² with p the share of yes votes (Fleiss, Psychological Bulletin 1971).
    None where it is undefined: fewer than two voters, no cells, or all votes the same.
    """
    if voters < 2 or not yes.size:
        return None
    no = voters - yes
    agreeing = float((yes * (yes - 1) + no * (no - 1)).mean()) / (voters * (voters - 1))
    share = float(yes.sum()) / (yes.size * voters)
    chance = share**2 + (1 - share) ** 2
    return None if chance == 1 else (agreeing - chance) / (1 - chance)


def _mean(values: NDArray[Any]) -> float | None:
    return float(values.mean()) if values.size else None
