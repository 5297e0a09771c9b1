"""The voting rule of THRONE, and the votes of a judge as an array (Kaul et al., CVPR 2024).

V votes decide on every (image, category) cell: present with at least k yes votes, ignored with more than
V - k and fewer than k, else absent. An ignored cell leaves the prediction and the truth of its image.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eidolon.scorers.core.errors import UserError
from eidolon.scorers.core.judge import VotingJudge
from eidolon.scorers.core.metric import JudgedSample


def is_yes(answer: str) -> bool:
    """Tell whether an answer is a yes vote: exactly `yes`, in any case, between any white space."""
    return answer.lower().strip() == "yes"


def cannot_become_yes(start: str) -> bool:
    """Tell whether no answer that begins with this text is a yes vote, so that the rest need not be generated."""
    return not "yes".startswith(start.lower().strip())


@dataclass(frozen=True, slots=True, eq=False)
class VotedCells:
    """The decisions on all cells, each of shape (images, categories). An ignored cell is in no other set."""

    predicted: NDArray[np.bool_]
    ignored: NDArray[np.bool_]
    truth: NDArray[np.bool_]


def decide(
    yes: NDArray[np.int64],
    truth: NDArray[np.bool_],
    *,
    voters: int,
    threshold: int,
    undecided: NDArray[np.int64] | None = None,
) -> VotedCells:
    """Apply the voting rule to counts of yes votes and truth, both (images, categories).

    `undecided` counts votes that are neither yes nor no, in the same shape. A cell on which they matter is ignored.
    """
    ignored = ignored_cells(yes, voters=voters, threshold=threshold, undecided=undecided)
    return VotedCells(predicted=yes >= threshold, ignored=ignored, truth=truth & ~ignored)


def ignored_cells(
    yes: NDArray[np.int64], *, voters: int, threshold: int, undecided: NDArray[np.int64] | None = None
) -> NDArray[np.bool_]:
    """Return on which cells the votes do not decide, in the shape of `yes`, the counts of yes votes."""
    most = yes if undecided is None else yes + undecided
    return (most > voters - threshold) & (yes < threshold)


def check_threshold(threshold: int, voters: int, flag: str = "--threshold ") -> int:
    """Return the threshold.

    Raises:
        UserError: it is less than a majority of the votes, or more than all of them.
    """
    least = voters // 2 + 1
    if not least <= threshold <= voters:
        raise UserError(
            f"{flag}{threshold}: of {voters} votes it must be from {least} (majority) to {voters} (all)"
        )
    return threshold


def votes_of(judge: VotingJudge, samples: Sequence[JudgedSample]) -> NDArray[np.bool_]:
    """Return all votes, shape (judges, formats, samples, categories).

    Raises:
        ValueError: a sample has no votes, because another judge judged it.
    """
    category = {name: i for i, name in enumerate(judge.vocabulary)}
    voter = {
        f"{name}/{f}": (j, m) for j, name in enumerate(judge.judges) for m, f in enumerate(judge.formats)
    }
    found = np.zeros((len(judge.judges), len(judge.formats), len(samples), len(category)), dtype=bool)
    for i, sample in enumerate(samples):
        if sample.judgement.votes is None:
            raise ValueError(f"sample {sample.judgement.sample_id!r} has no votes")
        for name, votes in sample.judgement.votes.items():
            for key, vote in votes.items():
                found[(*voter[key], i, category[name])] = vote == 1
    return found


def undecided_of(judge: VotingJudge, samples: Sequence[JudgedSample]) -> NDArray[np.int64]:
    """Return how many votes on each cell are undecided, shape (samples, categories)."""
    category = {name: i for i, name in enumerate(judge.vocabulary)}
    found = np.zeros((len(samples), len(category)), dtype=np.int64)
    for i, sample in enumerate(samples):
        for name, votes in (sample.judgement.votes or {}).items():
            found[i, category[name]] = undecided_votes(votes)
    return found


def undecided_votes(votes: Mapping[str, int | None]) -> int:
    """Return how many votes on one cell are undecided."""
    return sum(vote is None for vote in votes.values())
